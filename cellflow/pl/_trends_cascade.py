"""Trends of many genes as a heat map, in the order of their peaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray, IntArray
from cellflow.pl._axes import INK, MAP, colour_bar
from cellflow.pl._grid import sized_panels
from cellflow.pl._heat import name_rows
from cellflow.pl._read import PlottedFit
from cellflow.pl._series import Series
from cellflow.pl._trends_curves import time_axis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_cascade", "order_of_peaks", "scaled"]

#: Width of a panel, and height of a gene, in inches; the whole is between the least and the most.
_WIDTH = 2.2
_ROW = 0.17
_LEAST = 1.7
_MOST = 9.0
#: Genes above which their names would overlap.
_NAMED = 55
#: Times without a value.
_NOTHING = "#bdbdbd"


def scaled(values: FloatArray) -> FloatArray:
    """Values `(series, genes, times)` of each gene from its smallest, 0, to its largest, 1.

    NaN where they are; 0.5 for genes that are constant.
    """
    known = np.isfinite(values).any(axis=(0, 2))
    low = np.full(values.shape[1], np.nan)
    high = low.copy()
    low[known] = np.nanmin(values[:, known], axis=(0, 2))
    high[known] = np.nanmax(values[:, known], axis=(0, 2))
    span = (high - low)[None, :, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = (values - low[None, :, None]) / span
    return np.asarray(np.where(span > 0, moved, np.where(np.isfinite(values), 0.5, np.nan)))


def order_of_peaks(values: FloatArray) -> IntArray:
    """Order of genes `(genes, times)` by the time of their largest value; without any, last."""
    known = np.isfinite(values).any(axis=1)
    peak = np.full(len(values), values.shape[1])
    peak[known] = np.nanargmax(values[known], axis=1)
    # Of those that end, or begin, with their peak, the ones that are high for longer come later.
    filled = np.nan_to_num(values)
    centre = (filled * np.arange(values.shape[1])).sum(axis=1)
    centre = centre / np.maximum(filled.sum(axis=1), np.finfo(np.float64).tiny)
    return np.lexsort((centre, peak))


def draw_cascade(
    fitted: PlottedFit,
    table: pd.DataFrame,
    genes: Sequence[str],
    series: Sequence[Series],
    *,
    columns: int,
    ax: Axes | None,
) -> list[Axes]:
    """Draw a heat map of genes over time for each series; see `cf.pl.trends`.

    Parameters
    ----------
    fitted
        The fit.
    table
        Rows of `cf.get.trends`.
    genes, series
        What to draw.
    columns
        Panels in a row.
    ax
        Of a single series.
    """
    table = table.assign(gene=table["gene"].astype(str))
    times = np.unique(table["time"].to_numpy(dtype=np.float64))
    values = scaled(
        np.stack(
            [
                each.rows(table)
                .pivot_table("mean", "gene", "time", dropna=False)
                .reindex(index=list(genes), columns=times)
                .to_numpy()
                for each in series
            ]
        )
    )
    order = order_of_peaks(values[0])
    edges = _edges(times)
    height = float(np.clip(_ROW * len(genes), _LEAST, _MOST))
    across = min(columns, len(series))
    names = [genes[k] for k in order] if len(genes) <= _NAMED else []
    with sized_panels(ax, len(series), width=_WIDTH, height=height, columns=across) as axes:
        for number, (one, each) in enumerate(zip(axes, series, strict=True)):
            one.patch.set(facecolor="white", hatch="/////", edgecolor=_NOTHING, linewidth=0.0)
            shown = np.ma.masked_invalid(values[number][order])
            rows = np.arange(len(genes) + 1) - 0.5
            drawn = one.pcolormesh(
                edges, rows, shown, cmap=MAP, vmin=0.0, vmax=1.0, rasterized=True
            )
            one.set_ylim(len(genes) - 0.5, -0.5)
            one.set_yticks([])
            if number % across == 0:
                _name_genes(one, names, len(genes))
            time_axis(one, fitted)
            one.spines[:].set_visible(False)
            one.tick_params(axis="y", length=0)
            label = drawable(each.label)
            one.set_title(label, fontsize=9, color=INK, fontfamily=font_families([label])[0])
        colour_bar(axes[across - 1], drawn, "scaled mean")
    return axes


def _name_genes(ax: Axes, names: Sequence[str], n: int) -> None:
    """Write the names of the genes, or how many there are."""
    if not names:
        ax.set_ylabel(f"{n:,} genes", fontsize=9, color=INK)
        return
    name_rows(ax, names)
    for label in ax.get_yticklabels():
        label.set(fontstyle="italic", fontsize=8 if len(names) <= _NAMED // 2 else 7)


def _edges(times: FloatArray) -> FloatArray:
    """Ends of the columns of a heat map, in the middle between times."""
    if len(times) == 1:
        return np.array([times[0] - 0.5, times[0] + 0.5])
    middle = (times[1:] + times[:-1]) / 2.0
    first = times[0] - (middle[0] - times[0])
    last = times[-1] + (times[-1] - middle[-1])
    return np.concatenate([[first], middle, [last]])
