"""Mean probabilities of fates of groups of cells, as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.pl._axes import colour_bar
from cellflow.pl._grid import sized_panels
from cellflow.pl._heat import draw_heat, write_numbers

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_heatmap"]

#: Size of a cell in inches: with a number, with an interval too, and without.
_WIDE = 0.62
_WIDER = 0.78
_HIGH = 0.36
_NARROW = 0.3
_FLAT = 0.22
#: Least height of the heat map in inches, that of the label of the colour bar.
_LOWEST = 1.7
#: Fates above which numbers would not be read.
_FEW = 24


def draw_heatmap(table: pd.DataFrame, *, cmap: str, row_label: str, ax: Axes | None) -> Axes:
    """Draw the rows of `cf.get.fates(groupby=...)`, with intervals where it has some.

    Parameters
    ----------
    table
        The groups and fates in its order.
    cmap
        The colormap.
    row_label
        What the groups are.
    ax
        Where to draw.
    """
    groups = list(dict.fromkeys(table["group"]))
    fates = list(dict.fromkeys(table["fate"].astype(str)))
    shape = (len(groups), len(fates))
    values = table["probability"].to_numpy().reshape(shape)
    counts = table["n_cells"].to_numpy().reshape(shape)[:, 0]
    sure = "low" in table and bool(table["low"].notna().any())
    few = len(fates) <= _FEW
    width = (_WIDER if sure else _WIDE) if few else _NARROW
    height = max((_HIGH if few else _FLAT) * len(groups), _LOWEST)
    rows = [f"{drawable(_named(group))} ({n:,})" for group, n in zip(groups, counts, strict=True)]
    with sized_panels(ax, 1, width=width * len(fates), height=height) as (one,):
        drawn = draw_heat(one, values, cmap=cmap, limits=(0.0, 1.0), rows=rows, columns=fates)
        write_numbers(one, drawn, _texts(table, values, sure=sure))
        label = f"{row_label} (number of cells)"
        one.set_ylabel(drawable(label), fontsize=9, fontfamily=font_families([label])[0])
        colour_bar(one, drawn, "mean probability")
    return one


def _named(group: object) -> str:
    return f"{group:g}" if isinstance(group, float) else str(group)


def _texts(table: pd.DataFrame, values: np.ndarray, *, sure: bool) -> list[np.ndarray]:
    """Numbers with their intervals, and without."""
    alone = np.array([f"{value:.2f}" for value in values.ravel()], dtype=object)
    choices = [alone]
    if sure:
        ends = zip(alone, table["low"], table["high"], strict=True)
        with_ends = [_with_interval(text, low, high) for text, low, high in ends]
        choices.insert(0, np.array(with_ends, dtype=object))
    return [texts.reshape(values.shape) for texts in choices]


def _with_interval(text: str, low: float, high: float) -> str:
    """A number with its interval, where that is known and has a width."""
    interval = f"{low:.2f}–{high:.2f}"
    return f"{text}\n{interval}" if np.isfinite(low) and interval != f"{text}–{text}" else text
