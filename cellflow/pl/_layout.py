"""Figures around maps of a fixed size, which become as large as legends and titles need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["arrange", "bar_beside", "is_fixed", "new_maps"]

#: Label of an Axes whose size in inches is kept.
_LABEL = "cellflow map"
#: Space around each map and what belongs to it, in inches.
_PAD = 0.12
#: A colour bar: distance from the map, width and greatest height, in inches.
_BAR_GAP = 0.12
_BAR_WIDTH = 0.12
_BAR_HEIGHT = 2.2


def new_maps(n: int, columns: int, width: float, height: float, *, figure: Figure) -> list[Axes]:
    """Add `n` Axes to a figure, each `width` times `height` inches, `columns` in a row."""
    rows = -(-n // columns)
    figure.set_size_inches(width * columns, height * rows)
    made = []
    for k in range(n):
        place = (k % columns / columns, 1.0 - (k // columns + 1) / rows, 1.0 / columns, 1.0 / rows)
        made.append(figure.add_axes(place, label=_LABEL))
    return made


def is_fixed(ax: Axes) -> bool:
    """Whether the size of an Axes in inches is kept."""
    return bool(ax.get_label() == _LABEL)


def bar_beside(ax: Axes) -> Axes:
    """Axes for a colour bar beside a map of a fixed size."""
    extent = ax.get_window_extent()
    width = extent.width / ax.figure.dpi
    height = extent.height / ax.figure.dpi
    tall = min(0.5, _BAR_HEIGHT / height)
    place = (1.0 + _BAR_GAP / width, 0.97 - tall, _BAR_WIDTH / width, tall)
    made: Axes = ax.inset_axes(place)
    return made


def arrange(axes: Sequence[Axes], columns: int, width: float, height: float) -> None:
    """Resize a figure so that all its maps keep their size and nothing is cut off or overlaps.

    Parameters
    ----------
    axes
        The maps, row by row.
    columns
        Maps in a row.
    width, height
        Of each, in inches.
    """
    figure: Any = axes[0].figure
    around = np.zeros((-(-len(axes) // columns), columns, 4))
    for k, ax in enumerate(axes):
        around[k // columns, k % columns] = _around(ax)
    around = np.maximum(around, 0.0) + _PAD
    left = around[:, :, 0].max(axis=0)
    below = around[:, :, 1].max(axis=1)
    right = around[:, :, 2].max(axis=0)
    above = around[:, :, 3].max(axis=1)
    across = left + width + right
    up = below + height + above
    size = np.array([across.sum(), up.sum()])
    figure.set_size_inches(*size)
    for k, ax in enumerate(axes):
        row, column = divmod(k, columns)
        x = across[:column].sum() + left[column]
        y = size[1] - up[:row].sum() - above[row] - height
        ax.set_position((x / size[0], y / size[1], width / size[0], height / size[1]))


def _around(ax: Axes) -> FloatArray:
    """Inches that an Axes and what belongs to it need left, below, right and above its place."""
    figure: Any = ax.figure
    drawn = ax.get_tightbbox()
    place = ax.get_position(original=True).transformed(figure.transSubfigure)
    assert drawn is not None
    over = (place.x0 - drawn.x0, place.y0 - drawn.y0, drawn.x1 - place.x1, drawn.y1 - place.y1)
    return np.array([inches / figure.dpi for inches in over])
