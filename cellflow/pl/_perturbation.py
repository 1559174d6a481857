"""What edits of genes do to fates, and whether the edited cells stay near measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.stored_genes import perturbations, read_perturbations
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.core._text import drawable, font_families
from cellflow.errors import InputError, closest
from cellflow.pl._axes import INK, OBSERVED, PREDICTED
from cellflow.pl._effect_rows import Rows, draw_rows, key_of
from cellflow.pl._grid import require_one, sized_panels
from cellflow.pl._read import PlottedFit
from cellflow.pl._trends_curves import time_axis

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["perturbation"]

_KINDS = ("effects", "genes", "support")
#: Height of a row, and width of a panel, in inches.
_ROW = 0.3
_WIDTH = 2.3
#: Share of states near measured cells, below which an effect is an extrapolation.
_SUPPORTED = 0.5
#: Rounding of an effect on the mass, of a fit without growth.
_NOTHING = 1e-9


@guarded
def perturbation(
    adata: AnnData,
    name: str | None = None,
    *,
    kind: Literal["effects", "genes", "support"] = "effects",
    alpha: float = 0.05,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw what edits of genes do, which `cf.tl.perturb` found.

    Parameters
    ----------
    adata
        Cells with a perturbation.
    name
        Of the perturbation; all of them by default, with a panel each.
    kind
        `"effects"`: change of the share of each fate in percentage points, with intervals of an
        ensemble, and the range of the effects of random genes alike as a grey bar. A dot is filled
        where `p` is at most `alpha`, and a square where `p_matched`, the rank among these genes, is
        so. An effect on the mass is written below, where the fit has growth. `"genes"`:
        expression of the edited genes before and after. `"support"`: share of the states along the
        paths that lie where cells were measured, edited and unedited.
    alpha
        p-value at which a dot is filled, between 0 and 1.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several perturbations. Where less than half of the edited states
    lie near measured cells at some time, "extrapolation" is written in the title.

    Raises
    ------
    MissingKeyError
        No fit, no perturbation, or none of this name.
    InputError
        Another kind; `ax` for several perturbations. No figure is made then.

    See Also
    --------
    cellflow.tl.perturb, cellflow.get.perturbation

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.perturb(adata, {"TNNT2": "-1sd"}, n_null=5)
    >>> ax = cf.pl.perturbation(adata)
    >>> ax = cf.pl.perturbation(adata, kind="support")
    """
    check_arguments(perturbation, locals())
    if kind not in _KINDS:
        msg = f"kind={shown(kind)}; expected one of {list(_KINDS)}{closest(kind, _KINDS)}."
        raise InputError(msg)
    if not 0.0 < alpha < 1.0:
        msg = f"alpha={alpha:g}; expected a number between 0 and 1."
        raise InputError(msg)
    fitted = PlottedFit(adata, key)
    table = read_perturbations(adata, key, name, kind)
    support = read_perturbations(adata, key, name, "support")
    names = list(dict.fromkeys(table["perturbation"]))
    require_one(ax, len(names), "perturbations")
    parts = [table[table["perturbation"] == one] for one in names]
    with sized_panels(ax, len(names), width=_WIDTH, height=_height(kind, parts)) as axes:
        for number, (one, called, part) in enumerate(zip(axes, names, parts, strict=True)):
            if kind == "effects":
                _effects(one, part, alpha, named=number % 4 == 0)
            elif kind == "genes":
                _genes(one, part)
            else:
                _support(one, fitted, part, named=number % 4 == 0)
            least = support[support["perturbation"] == called]["perturbed"].min()
            _title(one, called, extrapolated=least < _SUPPORTED)
        level = float(perturbations(adata, key)[names[0]]["level"])
        _key(axes[min(len(axes), 4) - 1], kind, table, alpha, level)
    return axes[0] if len(axes) == 1 else axes


def _height(kind: str, parts: Sequence[pd.DataFrame]) -> float:
    if kind == "support":
        return 1.6
    return max(_ROW * max(map(len, parts)), 1.2)


def _title(ax: Axes, name: str, *, extrapolated: bool) -> None:
    words = drawable(name, longest=36)
    families = font_families([words])[0]
    words += "\nextrapolation" if extrapolated else ""
    ax.set_title(words, fontsize=9, color=INK, fontfamily=families)


def _effects(ax: Axes, part: pd.DataFrame, alpha: float, *, named: bool) -> None:
    """Changes of the shares of fates, and in words that of the mass."""
    of_fates = part[part["quantity"] != "mass"]
    columns = ("effect", "low", "high", "p", "p_matched", "null_low", "null_high")
    nothing = np.full(len(of_fates), np.nan)
    values = {
        name: of_fates[name].to_numpy(dtype=np.float64) if name in of_fates else nothing
        for name in columns
    }
    rows = Rows(
        values["effect"],
        values["low"],
        values["high"],
        values["p"] <= alpha,
        values["p_matched"] <= alpha,
        values["null_low"],
        values["null_high"],
    )
    names = of_fates["fate"].astype(str).tolist() if named else [""] * len(of_fates)
    draw_rows(ax, rows, names=names, label=_label(part))


def _label(part: pd.DataFrame) -> str:
    """Label of the axis, with the effect on the mass where there is one."""
    label = "change of the share (percentage points)"
    mass = part[part["quantity"] == "mass"].iloc[0]
    if abs(mass["effect"]) < _NOTHING:
        return label
    change = f"mass at the end × {np.exp(mass['effect']):.2f}"
    if np.isfinite(mass["low"]):
        change += f" ({np.exp(mass['low']):.2f}–{np.exp(mass['high']):.2f})"
    return f"{label}\n{change}"


def _genes(ax: Axes, part: pd.DataFrame) -> None:
    """Mean expression before and after, as an arrow over the spread of the cells."""
    at = np.arange(len(part))
    before = part["before"].to_numpy(dtype=np.float64)
    after = part["after"].to_numpy(dtype=np.float64)
    sd = part["sd"].to_numpy(dtype=np.float64)
    nothing = np.full(len(part), np.nan)
    band = Rows(before, nothing, nothing, np.zeros(len(part), dtype=bool), None, before - sd)
    rows = Rows(**(vars(band) | {"null_high": before + sd, "value": nothing}))
    names = [f"{row.gene} (R2 {row.r2:.2f})" for row in part.itertuples()]
    draw_rows(ax, rows, names=names, label="expression", italic=True)
    for text in list(ax.texts):
        text.remove()
    arrow = {"arrowstyle": "-|>", "color": PREDICTED, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    for row, first, last in zip(at, before, after, strict=True):
        if first != last:
            ax.annotate("", (last, row), (first, row), arrowprops=arrow)
    ax.scatter(before, at, s=26, color="white", edgecolors=INK, linewidths=1.1, zorder=3)
    ax.scatter(after, at, s=26, color=PREDICTED, linewidths=0, zorder=3)


def _support(ax: Axes, fitted: PlottedFit, part: pd.DataFrame, *, named: bool) -> None:
    """Shares of the states near measured cells, over time."""
    time = part["time"].to_numpy(dtype=np.float64)
    look: dict[str, Any] = {"linewidth": 1.5, "markersize": 4.5}
    unedited = part["unperturbed"].to_numpy(dtype=np.float64)
    edited = part["perturbed"].to_numpy(dtype=np.float64)
    ax.plot(time, unedited, "--s", color=OBSERVED, **look)
    ax.plot(time, edited, "-o", color=PREDICTED, **look)
    ax.axhline(_SUPPORTED, color="#9e9e9e", linestyle=":", linewidth=1.0, zorder=0)
    ax.set_ylim(-0.03, 1.03)
    if named:
        ax.set_ylabel("share of states\nnear measured cells", fontsize=9, color=INK)
    time_axis(ax, fitted)


def _key(ax: Axes, kind: str, table: pd.DataFrame, alpha: float, level: float) -> None:
    """What marks mean."""
    if kind == "support":
        look: dict[str, Any] = {"linewidth": 1.5, "markersize": 4.5}
        ax.plot([], [], "--s", color=OBSERVED, label="unedited", **look)
        ax.plot([], [], "-o", color=PREDICTED, label="edited", **look)
        key_of(ax, [])
        return
    if kind == "genes":
        ax.scatter([], [], s=26, color="white", edgecolors=INK, label="mean before")
        ax.scatter([], [], s=26, color=PREDICTED, label="mean after")
        key_of(ax, [("null", "± sd of the cells before")])
        return
    entries = [("filled", f"p at most {alpha:g}"), ("open", "larger p")]
    entries.append(("bar", f"{level:.0%} interval"))
    if table["p"].isna().all():
        entries = [("open", "single flow: no p-values")]
    if (table["p_matched"] <= alpha).any():
        entries.append(("square_open", f"square: p_matched at most {alpha:g}"))
    if "null_low" in table and table["null_low"].notna().any():
        entries.append(("null", f"{level:.0%} of random genes alike"))
    key_of(ax, entries)
