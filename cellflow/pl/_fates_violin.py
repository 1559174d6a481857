"""Probabilities of fates of the cells of groups, as violins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray, IntArray
from cellflow.pl._axes import INK
from cellflow.pl._grid import sized_panels
from cellflow.pl._heat import name_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Violins", "density_between", "draw_violins"]

#: Width of a panel and height of a violin, in inches.
_WIDTH = 1.7
_HEIGHT = 0.34
#: Panels in a row, at most.
_MOST_PANELS = 6
#: Half of the height of a violin, in rows.
_HALF = 0.42
#: Cells of a group below which each is drawn.
_FEW = 10
#: Bandwidth that smooths at least this much.
_NARROWEST = 0.02
_GRID = np.linspace(0.0, 1.0, 201)


@dataclass(frozen=True, eq=False)
class Violins:
    """What is drawn: for each group, its cells, and the mean of each fate.

    Parameters
    ----------
    names
        Of the groups; the first is drawn at the top.
    shades
        Their colours.
    rows
        Cells of each group.
    weight
        Of the cells, shape `(n,)`.
    mean, low, high
        Of each group and fate, shape `(n_groups, n_fates)`; the ends of the interval are NaN where
        there is none.
    """

    names: Sequence[str]
    shades: Sequence[Any]
    rows: Sequence[IntArray]
    weight: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray


def density_between(values: FloatArray, weight: FloatArray) -> FloatArray:
    r"""Density of values between 0 and 1 on a grid of 201 points, which has the integral one.

    By a normal kernel, whose parts beyond 0 and 1 are reflected. The bandwidth is that of
    Silverman's rule, at least 0.02.

    Parameters
    ----------
    values, weight
        Shape `(n,)`.

    References
    ----------
    Silverman, Density Estimation for Statistics and Data Analysis, 1986 (also the reflection).
    """
    share = weight / weight.sum()
    counts = np.bincount(np.rint(values * 200).astype(int), share, minlength=201)
    spread = np.sqrt(share @ (values - share @ values) ** 2)
    effective = 1.0 / (share @ share)
    width = max(0.9 * spread * effective ** (-0.2), _NARROWEST)
    density = np.zeros(201)
    for centre in (_GRID, -_GRID, 2.0 - _GRID):
        apart = (_GRID[:, None] - centre[None, :]) / width
        density += np.exp(-0.5 * apart**2) @ counts
    return np.asarray(density / (width * np.sqrt(2.0 * np.pi)))


def draw_violins(
    probability: FloatArray,
    fates: Sequence[str],
    found: Violins,
    *,
    row_label: str,
    backward: bool,
    ax: Axes | None,
) -> list[Axes]:
    """Draw one panel for each fate, with a violin for each group and the mean as a dot.

    Parameters
    ----------
    probability
        Shape `(n, n_fates)`.
    fates
        Their names.
    found
        The groups.
    row_label
        What the groups are.
    backward
        Origins.
    ax
        Of a single fate.
    """
    height = max(_HEIGHT * len(found.names), 0.6)
    what = "origin" if backward else "fate"
    across = ceil(len(fates) / ceil(len(fates) / _MOST_PANELS))  # rows of about equal length
    with sized_panels(ax, len(fates), width=_WIDTH, height=height, columns=across) as axes:
        for number, one in enumerate(axes):
            first = number % across == 0
            for row, cells in enumerate(found.rows):
                _violin(
                    one, row, probability[cells, number], found.weight[cells], found.shades[row]
                )
            _means(one, found, number)
            one.set(xlim=(-0.03, 1.03), ylim=(len(found.names) - 0.5, -0.5))
            name_rows(one, found.names if first else [""] * len(found.names))
            title = drawable(fates[number], longest=24)
            one.set_title(title, fontsize=9, fontfamily=font_families([title])[0])
            one.set_xticks([0.0, 0.5, 1.0], ["0", "0.5", "1"], fontsize=8)
            one.set_xlabel(f"probability of\nthe {what}", fontsize=8)
            one.tick_params(axis="y", length=0)
            one.spines[["top", "right", "left"]].set_visible(False)
            if first:
                one.set_ylabel(drawable(row_label), fontsize=9)
    return axes


def _violin(ax: Axes, row: int, values: FloatArray, weight: FloatArray, shade: Any) -> None:
    look: dict[str, Any] = {"color": shade, "linewidth": 0.0, "zorder": 1}
    ax.axhline(row, color="#e6e6e6", linewidth=0.6, zorder=0)
    if len(values) < _FEW:
        ax.scatter(values, np.full(len(values), row), s=9, alpha=0.8, **look)
        return
    height = density_between(np.clip(values, 0.0, 1.0), weight)
    height = _HALF * height / height.max()
    ax.fill_between(_GRID, row - height, row + height, alpha=0.75, **look)


def _means(ax: Axes, found: Violins, number: int) -> None:
    """The mean of each group as a dot, with its interval as a line."""
    at = np.arange(len(found.names))
    ends = np.stack([found.low[:, number], found.high[:, number]])
    known = np.isfinite(ends).all(axis=0)
    ax.hlines(at[known], *ends[:, known], color=INK, linewidth=1.4, zorder=3)
    dots: dict[str, Any] = {
        "s": 16,
        "color": "white",
        "edgecolors": INK,
        "linewidths": 0.9,
        "zorder": 4,
    }
    ax.scatter(found.mean[:, number], at, **dots)
