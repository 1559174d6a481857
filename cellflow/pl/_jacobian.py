"""How genes depend on genes, as heat maps and as a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.stored_genes import read_jacobian, wide_jacobian
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number, shown
from cellflow.core._settings import guarded
from cellflow.core._text import drawable
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, closest
from cellflow.pl._axes import INK, colour_bar
from cellflow.pl._grid import require_one, sized_panels
from cellflow.pl._heat import draw_heat
from cellflow.pl._network import MOST_GENES, draw_network
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["jacobian"]

_KINDS = ("heatmap", "network")
_ORDERS = ("clustered", "given")
_VALUES = ("scaled", "value")
#: Diverging, and readable without colour vision (of matplotlib): orange activates.
_MAP = "PuOr_r"
#: Size of a cell in inches, and of a heat map.
_CELL = 0.27
_LEAST = 1.5
_LARGEST = 9.0
#: Rows and columns above which dots and names are not readable.
_MANY = 70
#: Share of the largest value below which a sign says nothing.
_SMALL = 0.05
#: Place of the dot in its cell, from the middle.
_CORNER = 0.28


@guarded
def jacobian(
    adata: AnnData,
    *,
    kind: Literal["heatmap", "network"] = "heatmap",
    group: str | Sequence[str] | None = None,
    value: Literal["scaled", "value"] = "scaled",
    order: Literal["clustered", "given"] = "clustered",
    fdr: float = 0.1,
    n_edges: int = 20,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw how target genes, or growth, depend on regulators, which `cf.tl.jacobian` found.

    Parameters
    ----------
    adata
        Cells with such a result.
    kind
        `"heatmap"`: regulators by targets, with a panel for each group of cells, in diverging
        colours around zero, of one scale in all panels; orange is activation, and a dash marks
        values below zero (of more than a twentieth of the largest). A dot in the corner says that
        the value is significant at the false discovery rate, of an ensemble. `"network"`: genes on
        a circle, with an arrow for each of the largest values of different genes, as wide as it is
        large; of at most 16 genes.
    group
        Groups of cells; all by default.
    value
        `"scaled"`, by the standard deviations of both genes, or `"value"`; see `cf.get.jacobian`.
    order
        `"clustered"`: genes with similar values are neighbours, by average linkage of the
        correlation of rows, and of columns, over all groups. Where regulators and targets are the
        same genes, both have one order. `"given"`: the order in which they were asked for.
    fdr
        False discovery rate, between 0 and 1.
    n_edges
        Arrows of a network.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several groups.

    Raises
    ------
    MissingKeyError
        No fit, or no result of `cf.tl.jacobian`.
    InputError
        No such group, another kind, value or order; a network of growth, or of too many genes; `ax`
        for several groups. No figure is made then.

    See Also
    --------
    cellflow.tl.jacobian, cellflow.get.jacobian

    Notes
    -----
    Snapshots do not show what causes what: an arrow is a slope of the fitted dynamics.

    Examples
    --------
    >>> cf.tl.jacobian(adata, ["TNNT2", "MYH3", "ENO3"])
    >>> ax = cf.pl.jacobian(adata)
    >>> ax = cf.pl.jacobian(adata, kind="network", n_edges=4)
    """
    check_arguments(jacobian, locals())
    _require("kind", kind, _KINDS)
    _require("value", value, _VALUES)
    _require("order", order, _ORDERS)
    level = as_number("fdr", fdr, above=0.0, below=1.0)
    if n_edges < 1:
        msg = f"n_edges={n_edges}; expected at least 1."
        raise InputError(msg)
    fitted = PlottedFit(adata, key)
    fitted.record  # noqa: B018 (raises where there is no fit)
    table = read_jacobian(adata, key)
    groups = _groups(table, group)
    require_one(ax, len(groups), "groups")
    parts = [table[table["group"].astype(str) == name] for name in groups]
    wide = [wide_jacobian(part, value) for part in parts]
    values = np.stack([each.to_numpy(dtype=np.float64) for each in wide])
    sources = [str(name) for name in wide[0].index]
    targets = [str(name) for name in wide[0].columns]
    significant = np.stack([wide_jacobian(part, "q").to_numpy() <= level for part in parts])
    titles = [""] if groups == ["all"] else groups
    label = "scaled derivative" if value == "scaled" else "derivative of the velocity"
    if kind == "network":
        _require_network(sources, targets)
        edges = min(int(n_edges), values[0].size)
        return draw_network(values, sources, targets, titles, label, n_edges=edges, ax=ax)
    rows, columns = _orders(values, sources, targets, order)
    values = values[:, rows][:, :, columns]
    significant = significant[:, rows][:, :, columns]
    names = ([sources[k] for k in rows], [targets[k] for k in columns])
    few = max(values.shape[1:]) <= _MANY
    note = _note(table[table["group"].astype(str).isin(groups)], level, drawn=few)
    axes = _heatmaps(values, significant, names, titles, label, note, ax)
    return axes[0] if len(axes) == 1 else axes


def _require(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        msg = f"{name}={shown(value)}; expected one of {list(known)}{closest(value, known)}."
        raise InputError(msg)


def _groups(table: pd.DataFrame, group: str | Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(table["group"].astype(str)))
    if group is None:
        return known
    asked = [group] if isinstance(group, str) else list(dict.fromkeys(group))
    for name in asked:
        if name not in known:
            msg = f"group={shown(name)}; expected one of {known}{closest(name, known)}."
            raise InputError(msg)
    if not asked:
        msg = f"group=[] names no group; expected some of {known}."
        raise InputError(msg)
    return asked


def _require_network(sources: Sequence[str], targets: Sequence[str]) -> None:
    genes = list(dict.fromkeys([*sources, *targets]))
    if "growth" in targets and "growth" not in sources:
        msg = "kind='network' of growth, which is no gene. Expected kind='heatmap'."
        raise InputError(msg)
    if not 1 < len(genes) <= MOST_GENES:
        msg = (
            f"kind='network' of {len(genes)} genes; expected 2 to {MOST_GENES}, because more are"
            " not readable. Pass kind='heatmap'."
        )
        raise InputError(msg)


def _orders(
    values: FloatArray, sources: Sequence[str], targets: Sequence[str], order: str
) -> tuple[IntArray, IntArray]:
    """Orders of the rows and the columns of all groups `(k, r, t)`."""
    n_rows, n_columns = values.shape[1:]
    if order == "given":
        return np.arange(n_rows), np.arange(n_columns)
    by_row = np.nan_to_num(values).transpose(1, 0, 2).reshape(n_rows, -1)
    by_column = np.nan_to_num(values).transpose(2, 0, 1).reshape(n_columns, -1)
    if list(sources) == list(targets):
        both = clustered(np.hstack([by_row, by_column]))
        return both, both
    return clustered(by_row), clustered(by_column)


def clustered(features: FloatArray) -> IntArray:
    """Order of rows `(n, k)` by average linkage of their correlations, neighbours most alike.

    Examples
    --------
    >>> rows = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [3.0, 1.0, 0.0]])
    >>> clustered(rows).tolist()
    [0, 2, 3, 1]
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    if len(features) < 3:
        return np.arange(len(features))
    centred = features - features.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(length > 0, length, 1.0)
    first, second = np.triu_indices(len(unit), k=1)
    distance = np.clip(1.0 - np.einsum("ik,ik->i", unit[first], unit[second]), 0.0, 2.0)
    tree = linkage(distance, method="average")
    found: IntArray = leaves_list(optimal_leaf_ordering(tree, distance)).astype(np.int64)
    return found if found[0] <= found[-1] else found[::-1]


def _heatmaps(
    values: FloatArray,
    significant: np.ndarray,
    names: tuple[Sequence[str], Sequence[str]],
    titles: Sequence[str],
    label: str,
    note: str,
    ax: Axes | None,
) -> list[Axes]:
    """Draw one heat map for each group."""
    n_rows, n_columns = values.shape[1:]
    finite = np.abs(values[np.isfinite(values)])
    end = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    size = {
        "width": float(np.clip(_CELL * n_columns, _LEAST, _LARGEST)),
        "height": float(np.clip(_CELL * n_rows, _LEAST, _LARGEST)),
    }
    many = max(n_rows, n_columns) > _MANY
    rows, columns = ([""] * n_rows, [""] * n_columns) if many else names
    with sized_panels(ax, len(values), columns=3, **size) as axes:
        for number, (one, title) in enumerate(zip(axes, titles, strict=True)):
            drawn = draw_heat(
                one,
                values[number],
                cmap=_MAP,
                limits=(-end, end),
                rows=rows,
                columns=columns,
                row_names=number % 3 == 0,
                italic=True,
            )
            if not many:
                _marks(one, values[number], significant[number], end)
            one.set_title(drawable(title), fontsize=9, color=INK)
            one.set_xlabel("target", fontsize=9, color=INK)
            if number % 3 == 0:
                one.set_ylabel("regulator", fontsize=9, color=INK)
        last = axes[min(len(axes), 3) - 1]
        colour_bar(last, drawn, label)
        if note:
            last.text(1.04, 0.0, note, fontsize=7, color="#6b6b6b", transform=last.transAxes)
    return axes


def _marks(ax: Axes, values: FloatArray, significant: np.ndarray, end: float) -> None:
    """Mark values below zero, which readers without colours would not know, and what is certain."""
    up, across = np.nonzero(values < -_SMALL * end)
    dark = np.where(values[up, across] < -end / 2.0, "white", INK)
    ax.scatter(across, up, s=22, c=list(dark), marker="_", linewidths=1.0)
    up, across = np.nonzero(significant)
    look: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.6}
    ax.scatter(across + _CORNER, up - _CORNER, s=13, color=INK, **look)


def _note(table: pd.DataFrame, level: float, *, drawn: bool) -> str:
    """What dashes and dots mean."""
    if not drawn:
        return ""
    words = ["dash: below zero"]
    if (table["q"] <= level).any():
        words.append(f"dot: q at most {level:g}")
    elif table["q"].notna().any():
        words.append(f"no q at most {level:g}")
    return "\n".join(words)
