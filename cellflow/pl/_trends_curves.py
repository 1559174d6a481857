"""Trends of genes as curves over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.pl._axes import INK, legend
from cellflow.pl._grid import sized_panels
from cellflow.pl._read import PlottedFit
from cellflow.pl._series import Series

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_curves", "time_axis"]

#: Size of a panel alone and beside others, in inches.
_ALONE = (3.4, 2.3)
_BESIDE = (1.9, 1.35)


def draw_curves(
    fitted: PlottedFit,
    table: pd.DataFrame,
    genes: Sequence[str],
    series: Sequence[Series],
    *,
    columns: int,
    ax: Axes | None,
) -> list[Axes]:
    """Draw a panel for each gene, with a curve for each series; see `cf.pl.trends`.

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
        Of a single gene.
    """
    level = float(fitted.record["trends"]["level"])
    parts = _parting(fitted, series)
    width, height = _ALONE if len(genes) == 1 else _BESIDE
    across = min(columns, len(genes))
    with sized_panels(ax, len(genes), width=width, height=height, columns=across) as axes:
        for number, (one, gene) in enumerate(zip(axes, genes, strict=True)):
            mine = table[table["gene"].astype(str) == gene]
            for each in series:
                _draw(one, each.rows(mine), each)
            if parts is not None:
                _mark_parting(one, parts[parts["gene"].astype(str) == gene])
            last = number + across >= len(genes)
            _style(one, fitted, gene, named=number % across == 0, timed=last)
        _legend(axes[across - 1], table, level, parted=parts is not None)
    return axes


def _draw(ax: Axes, rows: pd.DataFrame, each: Series) -> None:
    """One curve, its interval, and the measured means."""
    time = rows["time"].to_numpy(dtype=np.float64)
    mean = rows["mean"].to_numpy(dtype=np.float64)
    low = rows["low"].to_numpy(dtype=np.float64)
    high = rows["high"].to_numpy(dtype=np.float64)
    if np.isfinite(low).any():
        ax.fill_between(time, low, high, color=each.shade, alpha=0.2, linewidth=0.0, zorder=1)
    look: dict[str, Any] = {"color": each.shade, "zorder": 2}
    ax.plot(time, mean, linestyle=each.line, linewidth=1.6, **look)
    measured = rows["measured"].to_numpy(dtype=np.float64)
    supported = rows["supported"].to_numpy(dtype=bool)
    dots: dict[str, Any] = {"marker": each.marker, "markersize": 4.5}
    dots |= {"markeredgecolor": "white", "markeredgewidth": 0.5, "color": each.shade}
    for there, alpha in ((supported, 1.0), (~supported, 0.35)):
        known = there & np.isfinite(measured)
        ax.plot(time[known], measured[known], linestyle="", alpha=alpha, zorder=3, **dots)
    label = drawable(each.label)
    ax.plot([], [], linestyle=each.line, linewidth=1.6, label=label, **dots)


def _parting(fitted: PlottedFit, series: Sequence[Series]) -> pd.DataFrame | None:
    """When the two trends part, by gene; None of more or fewer trends, or without intervals."""
    table: pd.DataFrame | None = fitted.record["trends"].get("parting")
    if len(series) != 2 or table is None:
        return None
    first, second = (each.kind for each in series)
    differ = [name for name in first if first[name] != second[name]]
    if len(differ) != 1:
        return None
    by = differ[0]
    pair = {first[by], second[by]}
    mine = (table["by"].astype(str) == by).to_numpy()
    mine &= [{a, b} == pair for a, b in zip(table["a"], table["b"], strict=True)]
    for name in set(first) - {by}:
        mine &= (table[name].astype(str) == first[name]).to_numpy()
    found = table[mine]
    return found if found["time"].notna().any() else None


def _mark_parting(ax: Axes, rows: pd.DataFrame) -> None:
    for time, low, high in rows[["time", "low", "high"]].to_numpy(dtype=np.float64):
        if np.isfinite(time):
            ax.axvline(time, color=INK, linestyle=":", linewidth=1.0, zorder=0)
            if np.isfinite(low):
                place: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False}
                ax.plot([low, high], [0.0, 0.0], color=INK, linewidth=3.0, **place)


def _style(ax: Axes, fitted: PlottedFit, gene: str, *, named: bool, timed: bool) -> None:
    title = drawable(gene)
    style: dict[str, Any] = {"fontsize": 9, "color": INK}
    ax.set_title(title, fontfamily=font_families([title])[0], fontstyle="italic", **style)
    if named:
        ax.set_ylabel("mean expression", **style)
    time_axis(ax, fitted, labelled=timed)
    ax.margins(x=0.04, y=0.08)
    ax.locator_params(axis="y", nbins=4)


def time_axis(ax: Axes, fitted: PlottedFit, *, labelled: bool = True) -> None:
    """Style an Axes with the time on its horizontal axis."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8, length=2.5)
    if labelled:
        label = f"{fitted.time_key} ({fitted.unit})" if fitted.unit else fitted.time_key
        families = font_families([label])[0]
        ax.set_xlabel(drawable(label), fontsize=9, color=INK, fontfamily=families)


def _legend(ax: Axes, table: pd.DataFrame, level: float, *, parted: bool) -> None:
    """Name the curves, the intervals, the dots and the line in the last panel of the first row."""
    if table["low"].notna().any():
        ax.fill_between([], [], [], color="#8c8c8c", alpha=0.35, label=f"{level:.0%} interval")
    ax.plot([], [], "o", color="#8c8c8c", markersize=4.5, label="measured mean")
    if parted:
        ax.plot([], [], color=INK, linestyle=":", linewidth=1.0, label="trends part")
    legend(ax)
