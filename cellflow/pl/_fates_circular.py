"""Fates on a circle: each cell at the mean of the corners, by its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError
from cellflow.pl._axes import INK
from cellflow.pl._circle import circle_order, corners_of, name_corners, shared, space_of
from cellflow.pl._colours import Groups
from cellflow.pl._fate_colours import UNDECIDED, fate_colours
from cellflow.pl._grid import sized_panels
from cellflow.pl._labels import medians, write_labels
from cellflow.pl._maps import paint, remember_colours
from cellflow.pl._points import Cells
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Projection", "draw_circle", "project"]

#: Diameter of the circle, in inches.
_SIZE = 4.4
#: Height of a line between two fates, in inches.
_LINE = 1.9
#: Half of the height over which cells between two fates are spread, by their density.
_BAND = 0.3
#: Distance from a corner at which the median of a group of the same name needs no second name.
_NEAR = 0.15
#: Distance of the name of a group from its median.
_ABOVE = 0.075


@dataclass(frozen=True, eq=False)
class Projection:
    """Places of cells and of fates.

    Parameters
    ----------
    xy
        Of the cells, shape `(n, 2)`, inside the unit circle.
    corners
        Of the fates, shape `(k, 2)`, on the unit circle.
    names
        Of the fates.
    known
        All fates that there are.
    """

    xy: FloatArray
    corners: FloatArray
    names: Sequence[str]
    known: Sequence[str]


def project(
    probability: FloatArray,
    names: Sequence[str],
    weight: FloatArray,
    known: Sequence[str] | None = None,
) -> Projection:
    r"""Place each cell at :math:`\sum_k p_k c_k`, with the corners :math:`c_k` of the fates.

    What is missing to a sum of one, such as undecided mass, counts as the centre. Corners are
    ordered so that fates that share cells are neighbours.

    Parameters
    ----------
    probability
        Of the fates, without undecided mass, shape `(n, k)`.
    names
        Of the fates.
    weight
        Of the cells, shape `(n,)`.
    known
        All fates that there are; these by default.

    Raises
    ------
    InputError
        Fewer than two fates.
    """
    if len(names) < 2:
        msg = (
            f"kind='circular' of the fates {list(names)}; expected at least two besides"
            " 'undecided'. Pass more in fate=, or kind='violin'."
        )
        raise InputError(msg)
    corners = corners_of(circle_order(shared(probability, weight)))
    xy = probability @ corners
    if len(names) == 2:
        xy[:, 1] = _spread(xy[:, 0])
    return Projection(xy, corners, names, known or names)


def _spread(x: FloatArray) -> FloatArray:
    """Heights of cells on a line: even within each part of it, as wide as cells are many there."""
    edges = np.linspace(-1.0, 1.0, 41)
    part = np.clip(np.digitize(x, edges) - 1, 0, len(edges) - 2)
    count = np.bincount(part, minlength=len(edges) - 1)
    heights = np.zeros(len(x))
    for number in np.flatnonzero(count):
        here = np.flatnonzero(part == number)
        # A low-discrepancy sequence: no two neighbours at the same height.
        steps = (0.5 + np.arange(len(here)) * 0.6180339887498949) % 1.0
        heights[here] = (2.0 * steps - 1.0) * _BAND * np.sqrt(count[number] / count.max())
    return heights


def draw_circle(
    fitted: PlottedFit,
    found: Projection,
    style: Style,
    *,
    groups: Groups | None,
    backward: bool,
    ax: Axes | None,
) -> Axes | list[Axes]:
    """Draw cells on a circle in each of the colours of a style, and the medians of groups."""
    shades = list(fate_colours(fitted, found.names, backward=backward).values())
    names = [drawable(name) for name in found.names]
    beyond = space_of(found.corners, names) / (_SIZE / 2.0)
    flat = len(names) == 2
    all_there = len(names) == sum(name != UNDECIDED for name in found.known)
    note = f"centre: undecided,{'' if all_there else ' other fates,'} or shared equally"
    width = (1.0 + beyond[:, 0].sum() / 2.0) * _SIZE
    height = _LINE if flat else (1.0 + beyond[:, 1].sum() / 2.0) * _SIZE
    cells = Cells.of(fitted.adata.obs_names.to_numpy(), found.xy, size=style.size, alpha=0.7)
    with sized_panels(ax, len(style.colours), width=width, height=height, columns=3) as axes:
        for one, colours, title in zip(axes, style.colours, style.titles, strict=True):
            _frame(one, beyond, note, height=height if flat else None)
            name_corners(one, found.corners, names, shades, font_families(names)[0])
            paint(one, cells, colours, fitted=fitted, legend_loc=style.legend_loc)
            if groups is not None:
                _mark(one, found, groups)
            if title:
                one.set_title(drawable(title, longest=80), fontsize=10, color=INK)
    remember_colours(fitted.adata, [*style.colours, *([groups] if groups is not None else [])])
    return axes[0] if len(axes) == 1 else axes


def _frame(ax: Axes, beyond: FloatArray, note: str, *, height: float | None) -> None:
    """Draw the circle, or the line between two fates in a panel of this `height` in inches."""
    from matplotlib.patches import Circle

    grey = "#bdbdbd"
    low, high = np.array([[-1.0], [1.0]]) * (1.0 + beyond)
    if height is None:
        ax.add_patch(Circle((0.0, 0.0), 1.0, fill=False, edgecolor=grey, linewidth=0.8, zorder=0))
    else:
        ax.plot([-1.0, 1.0], [0.0, 0.0], color=grey, linewidth=0.8, zorder=0)
        low[1] = -height / _SIZE
        high[1] = height / _SIZE
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="box")
    ax.spines[:].set_visible(False)
    look: dict[str, Any] = {"fontsize": 7, "color": "#6b6b6b", "va": "bottom"}
    ax.text(0.0, 0.0, note, transform=ax.transAxes, **look)


def _mark(ax: Axes, found: Projection, groups: Groups) -> None:
    """Draw the medians of groups, with their names, unless they are at the fate of this name."""
    places = medians(found.xy, groups.codes, len(groups.names))
    there = np.flatnonzero(np.isfinite(places).all(axis=1))
    look: dict[str, Any] = {"edgecolors": INK, "linewidths": 0.9, "zorder": 5}
    x, y = places[there].T
    ax.scatter(x, y, s=70, c=np.asarray(groups.shades)[there], **look)
    for name, corner in zip(found.names, found.corners, strict=True):
        if name in groups.names:
            number = list(groups.names).index(name)
            if np.linalg.norm(places[number] - corner) < _NEAR:
                places[number] = np.nan
    write_labels(ax, places + np.array([0.0, _ABOVE]), groups.names, groups.sizes)
