"""Rows of effects with their intervals: what drivers, screens and perturbations are drawn by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.core._typing import BoolArray, FloatArray
from cellflow.pl._axes import INK, legend
from cellflow.pl._heat import name_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["AGAINST", "FAVOUR", "ROW", "Rows", "draw_rows", "key_of"]

#: Effects for and against a fate (Okabe and Ito), which colour-blind readers can distinguish.
FAVOUR = "#d55e00"
AGAINST = "#0072b2"
#: Height of a row, in inches.
ROW = 0.22
_GREY = "#8c8c8c"


@dataclass(frozen=True, eq=False)
class Rows:
    """Effects, from the top to the bottom, each of shape `(r,)`.

    Parameters
    ----------
    value, low, high
        NaN where there is none.
    certain
        Which are filled.
    apart
        Which have a square instead of a circle.
    null_low, null_high
        Ends of a grey bar behind the effect; NaN for none.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray
    certain: BoolArray
    apart: BoolArray | None = None
    null_low: FloatArray = field(default_factory=lambda: np.zeros(0))
    null_high: FloatArray = field(default_factory=lambda: np.zeros(0))


def draw_rows(
    ax: Axes, rows: Rows, *, names: Sequence[str], label: str, title: str = "", italic: bool = False
) -> None:
    """Draw effects as dots with intervals, around a line at zero.

    Parameters
    ----------
    ax
        Where to draw.
    rows
        The effects.
    names
        Beside the rows.
    label
        Of the horizontal axis.
    title
        Above it.
    italic
        Whether names are those of genes.
    """
    at = np.arange(len(rows.value))
    ax.axvline(0.0, color="#9e9e9e", linewidth=0.8, zorder=0)
    shades = np.where(rows.value >= 0, FAVOUR, AGAINST)
    if len(rows.null_low):
        known = np.isfinite(rows.null_low)
        look: dict[str, Any] = {"color": "#d9d9d9", "linewidth": 9.0, "zorder": 0.6}
        ends = rows.null_low[known], rows.null_high[known]
        ax.hlines(at[known], *ends, capstyle="butt", **look)
    sure = np.isfinite(rows.low) & np.isfinite(rows.high)
    ends = rows.low[sure], rows.high[sure]
    ax.hlines(at[sure], *ends, colors=list(shades[sure]), linewidth=1.3, zorder=1)
    apart = np.zeros(len(at), dtype=bool) if rows.apart is None else rows.apart
    for square in (False, True):
        here = np.isfinite(rows.value) & (apart == square)
        fill = np.where(rows.certain[here], shades[here], "white")
        look = {"s": 26, "marker": "s" if square else "o", "linewidths": 1.1, "zorder": 2}
        ax.scatter(rows.value[here], at[here], c=list(fill), edgecolors=list(shades[here]), **look)
    for row in at[~np.isfinite(rows.value)]:
        place = ax.get_yaxis_transform()
        ax.text(
            0.5, row, "none", transform=place, fontsize=7, color=_GREY, ha="center", va="center"
        )
    _style(ax, len(at), names, label, title, italic=italic)


def _style(ax: Axes, n: int, names: Sequence[str], label: str, title: str, *, italic: bool) -> None:
    name_rows(ax, names)
    if italic:
        for text in ax.get_yticklabels():
            text.set_fontstyle("italic")
    ax.set_ylim(n - 0.4, -0.6)
    ax.margins(x=0.08)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=8, length=2.5)
    ax.locator_params(axis="x", nbins=4)
    ax.grid(axis="y", color="#eeeeee", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_xlabel(label, fontsize=8, color=INK)
    if title:
        word = drawable(title)
        ax.set_title(word, fontsize=9, color=INK, fontfamily=font_families([word])[0])


def key_of(ax: Axes, entries: Sequence[tuple[str, str]]) -> None:
    """Draw a legend of marks beside an Axes.

    Parameters
    ----------
    ax
        The rightmost.
    entries
        What is drawn, and what it means: `"filled"`, `"open"`, `"square"`, `"square_open"`,
        `"bar"`, `"null"`, `"favour"`, `"against"`, or `"text"` for words alone.
    """
    butt = {"solid_capstyle": "butt"}
    marks: dict[str, dict[str, Any]] = {
        "filled": {"marker": "o", "color": _GREY},
        "open": {"marker": "o", "color": _GREY, "markerfacecolor": "white"},
        "square": {"marker": "s", "color": _GREY},
        "square_open": {"marker": "s", "color": _GREY, "markerfacecolor": "white"},
        "bar": {"color": _GREY, "linestyle": "-", "linewidth": 1.3},
        "null": {"color": "#d9d9d9", "linestyle": "-", "linewidth": 7.0, **butt},
        "favour": {"marker": "o", "color": FAVOUR},
        "against": {"marker": "o", "color": AGAINST},
        "text": {},
    }
    for mark, words in entries:
        look: dict[str, Any] = {"linestyle": "", "markersize": 5.5} | marks[mark]
        ax.plot([], [], label=words, **look)
    legend(ax, x=1.06)
