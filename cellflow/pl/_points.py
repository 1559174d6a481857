"""Cells of a map as dots, or as an image where there are very many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.hashes import name_hashes
from cellflow.core._text import drawable
from cellflow.core._typing import FloatArray, IntArray
from cellflow.pl._colours import Groups, Values
from cellflow.pl._image import box_of, draw_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import PathCollection

__all__ = ["FAINT", "MANY", "Cells", "draw_groups", "draw_plain", "draw_values", "drawing_order"]

#: Cells without a value.
FAINT = "#dcdcdc"
#: From this number of cells on, a map is an image of its pixels.
MANY = 200_000


def drawing_order(names: np.ndarray, xy: FloatArray) -> IntArray:
    """Rows in an arbitrary order that depends on names and positions of cells, not on the file.

    What is drawn later covers what is drawn earlier.
    """
    return np.lexsort((xy[:, 1], xy[:, 0], name_hashes(names)))


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of a map in the order in which they are drawn.

    Parameters
    ----------
    xy
        Coordinates, shape `(n, 2)`.
    order
        Their rows in the file, shape `(n,)`.
    size
        Area of a dot in square points.
    alpha
        Opacity.
    """

    xy: FloatArray
    order: IntArray
    size: float
    alpha: float

    @classmethod
    def of(cls, names: np.ndarray, xy: FloatArray, *, size: float, alpha: float) -> Cells:
        """Sort cells by `drawing_order`; the pixels of an image do not depend on the order."""
        order = np.arange(len(xy)) if len(xy) >= MANY else drawing_order(names, xy)
        return cls(xy[order], order, size, alpha)

    @property
    def as_image(self) -> bool:
        """Whether the cells are so many that they are drawn as an image."""
        return len(self.xy) >= MANY

    @cached_property
    def box(self) -> FloatArray:
        """Corners of the map; see `box_of`."""
        return box_of(self.xy)


def draw_plain(ax: Axes, cells: Cells, color: str = FAINT, zorder: float = 0) -> None:
    """Draw all cells in one colour."""
    _draw_shades(ax, cells, np.arange(len(cells.xy)), color, zorder=zorder)


def draw_values(ax: Axes, cells: Cells, colours: Values) -> ScalarMappable:
    """Draw cells by numbers, those without one in grey below the others."""
    from matplotlib.colors import Normalize

    values = colours.values[cells.order]
    known = np.isfinite(values)
    if not known.all():
        _draw_shades(ax, cells, np.flatnonzero(~known), FAINT, zorder=0)
    shown = values[known]
    norm = Normalize(*(colours.limits or (shown.min(), shown.max())))
    if cells.as_image:
        return draw_image(
            ax,
            cells.xy[known],
            shown[:, None],
            cells.box,
            alpha=cells.alpha,
            zorder=1,
            norm=norm,
            cmap=colours.cmap,
        )
    look = {"zorder": 1, "c": shown, "norm": norm, "cmap": colours.cmap}
    return _dots(ax, cells, np.flatnonzero(known), look)


def draw_groups(ax: Axes, cells: Cells, colours: Groups, named: IntArray) -> None:
    """Draw cells by group, those without one in grey below; handles of the `named` for a legend."""
    codes = colours.codes[cells.order]
    known = np.flatnonzero(codes >= 0)
    shades = np.asarray(colours.shades, dtype=np.float64).reshape(-1, 4)
    if len(known):
        _draw_shades(ax, cells, known, shades[codes[known]], zorder=1)
    for code in named:
        ax.scatter([], [], color=shades[code], linewidths=0, label=drawable(colours.names[code]))
    if len(known) < len(codes):
        _draw_shades(ax, cells, np.flatnonzero(codes < 0), FAINT, zorder=0, label="not given")


def _draw_shades(
    ax: Axes,
    cells: Cells,
    rows: IntArray,
    shades: str | FloatArray,
    *,
    zorder: float,
    label: str | None = None,
) -> None:
    from matplotlib.colors import to_rgba_array

    if not cells.as_image:
        _dots(ax, cells, rows, {"zorder": zorder, "color": shades, "label": label})
        return
    rgb = np.broadcast_to(to_rgba_array(shades)[:, :3], (len(rows), 3))
    draw_image(ax, cells.xy[rows], rgb, cells.box, alpha=cells.alpha, zorder=zorder)
    if label is not None:
        ax.scatter([], [], color=shades, linewidths=0, label=label)


def _dots(ax: Axes, cells: Cells, rows: IntArray, look: Mapping[str, Any]) -> PathCollection:
    """Draw dots; in a vector file they are an image."""
    return ax.scatter(
        cells.xy[rows, 0],
        cells.xy[rows, 1],
        s=cells.size,
        alpha=cells.alpha,
        linewidths=0,
        rasterized=True,
        **look,
    )
