"""What every picture shares: an Axes, colours that everybody can tell apart, legends beside the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow._typing import FloatArray, IntArray
from cellflow.errors import InputError, MissingKeyError, closest

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["FAINT", "INK", "OBSERVED", "PREDICTED", "embedding_axes", "new_axes", "paint", "scatter"]

INK = "#262626"
FAINT = "#d9d9d9"
OBSERVED = "#0072b2"
PREDICTED = "#d55e00"
#: Okabe & Ito's palette, for eight groups that colour-blind readers can tell apart; more groups than that nobody can.
_GROUPS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#262626")
_MAP = "viridis"


def new_axes(ax: Axes | None, *, width: float = 6.4, height: float = 4.8) -> Axes:
    """Return `ax`, or the Axes of a new figure that leaves room for what stands beside the data."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def embedding_axes(ax: Axes, basis: str) -> None:
    """Dress an Axes for coordinates without units: equal scales, so that directions are true, and two short arrows as axes."""
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    name = "PC" if basis == "pca" else basis.upper() if len(basis) <= 5 else basis
    tip = {"arrowstyle": "-|>", "color": INK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
    for label, end, where in ((f"{name} 1", (0.14, 0.0), (0.0, -0.015)), (f"{name} 2", (0.0, 0.14), (-0.015, 0.0))):
        upright = end[0] == 0.0
        ax.annotate("", end, (0.0, 0.0), xycoords="axes fraction", arrowprops=tip, annotation_clip=False)
        ax.text(
            *where,
            label,
            transform=ax.transAxes,
            fontsize=7,
            color=INK,
            rotation=90 if upright else 0,
            ha="right" if upright else "left",
            va="bottom" if upright else "top",
        )


def scatter(ax: Axes, xy: FloatArray, *, color: Any, alpha: float = 0.9, label: str | None = None, zorder: float = 1) -> Any:
    """Draw cells as discs whose size suits their number; a vector file holds them as an image."""
    size = float(np.clip(30_000 / max(len(xy), 1), 3.0, 36.0))
    return ax.scatter(
        xy[:, 0], xy[:, 1], s=size, c=color, alpha=alpha, linewidths=0, label=label, zorder=zorder, rasterized=True
    )


@dataclass(frozen=True, eq=False)
class Colours:
    """What cells are coloured by: numbers `(n,)`, or codes `(n,)` of named groups with their colours."""

    label: str
    values: FloatArray | IntArray
    groups: tuple[str, ...] = ()
    palette: tuple[Any, ...] = ()
    ticks: tuple[float, ...] = ()


def _colours(adata: AnnData, color: str, *, times: FloatArray | None, unit: str) -> Colours:
    import pandas as pd

    if times is not None:
        ticks = tuple(np.unique(times[np.isfinite(times)]).tolist())
        return Colours(f"{color} ({unit})" if unit else color, times, ticks=ticks if len(ticks) <= 12 else ())
    if color in adata.obs:
        column = adata.obs[color]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            return Colours(color, column.to_numpy(dtype=np.float64, na_value=np.nan))
        groups = column.astype("category").cat
        names = tuple(map(str, groups.categories))
        given = list(adata.uns.get(f"{color}_colors", ()))
        return Colours(color, groups.codes.to_numpy(), names, tuple(given) if len(given) >= len(names) else _palette(len(names)))
    if color in adata.var_names:
        column = adata.X[:, adata.var_names.get_loc(color)]
        dense = column.toarray() if hasattr(column, "toarray") else np.asarray(column)
        return Colours(color, dense.ravel().astype(np.float64))
    msg = f"color={color!r} is neither a column of `adata.obs` nor a gene{closest(color, [*adata.obs, *adata.var_names])}."
    raise MissingKeyError(msg)


def _palette(n: int) -> tuple[Any, ...]:
    from matplotlib import colormaps

    return _GROUPS[:n] if n <= len(_GROUPS) else tuple(colormaps["turbo"](np.linspace(0.05, 0.95, n)))


def paint(
    ax: Axes, adata: AnnData, xy: FloatArray, color: str, *, times: FloatArray | None = None, unit: str = "", alpha: float = 0.9
) -> None:
    """Draw cells at `xy` `(n, 2)` coloured by an `obs` column or a gene, with a colour bar or a legend beside them.

    `times` `(n,)`, if given, are the numbers that the column `color` stands for, with their `unit`.
    """
    colours = _colours(adata, color, times=times, unit=unit)
    if colours.groups:
        missing = colours.values < 0
        for code, (name, shade) in enumerate(zip(colours.groups, colours.palette, strict=False)):
            if (colours.values == code).any():
                scatter(ax, xy[colours.values == code], color=[shade], alpha=alpha, label=name)
        if missing.any():
            scatter(ax, xy[missing], color=[FAINT], alpha=alpha, label="not given", zorder=0)
        legend(ax, title=colours.label)
        return
    known = np.isfinite(colours.values)
    if not known.any():
        msg = f"color={color!r} holds no finite value."
        raise InputError(msg)
    scatter(ax, xy[~known], color=[FAINT], alpha=alpha, zorder=0)
    # The highest values last, so that a few expressing cells are not buried.
    order = np.flatnonzero(known)
    order = order if times is not None else order[np.argsort(colours.values[order], kind="stable")]
    points = scatter(ax, xy[order], color=colours.values[order], alpha=alpha)
    points.set_cmap(_MAP)
    colour_bar(ax, points, colours.label, colours.ticks)


def colour_bar(ax: Axes, mappable: Any, label: str, ticks: Sequence[float] = ()) -> None:
    """Put a slim colour bar beside the data; `ticks` name the times that were measured."""
    bar = ax.figure.colorbar(mappable, ax=ax, shrink=0.5, aspect=22, pad=0.02)
    bar.solids.set_alpha(1.0)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8)
    bar.ax.set_title(label, fontsize=9, loc="left", pad=6)
    if ticks:
        bar.set_ticks(list(ticks), labels=[f"{t:g}" for t in ticks])


def legend(ax: Axes, *, title: str | None = None) -> None:
    """Put the legend outside, right of the data."""
    _, labels = ax.get_legend_handles_labels()
    box = ax.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=8,
        title=title,
        title_fontsize=9,
        alignment="left",
        ncols=1 + len(labels) // 18,
        borderaxespad=0.0,
        handletextpad=0.4,
    )
    for handle in box.legend_handles:
        if hasattr(handle, "set_sizes"):
            handle.set_sizes([28.0])
            handle.set_alpha(1.0)
