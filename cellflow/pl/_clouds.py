"""Clouds of cells: their contours, and their densities along both axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._numbers import as_number, shown
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Cloud",
    "as_shares",
    "contour_lines",
    "draw_contours",
    "draw_margins",
    "extent",
    "level_of",
]

#: Grid points along each side.
_GRID = 120
#: Width of the kernel relative to Scott's rule, which is too wide for clouds of several lobes.
_NARROWER = 0.6
#: The grid reaches so many widths of the kernel beyond the cells.
_BEYOND = 3.5
#: Fewest cells that have contours.
_FEW = 10


@dataclass(frozen=True, eq=False)
class Cloud:
    """Cells of one population, as they are drawn.

    Parameters
    ----------
    what
        `"observed"`, `"predicted"`, `"before"` or `"after"`.
    time
        When.
    xy
        Coordinates in the plane, shape `(n, 2)`.
    weight
        Shape `(n,)`, not negative; None for equal weights.
    shade
        Colour.
    """

    what: str
    time: float
    xy: FloatArray
    weight: FloatArray | None
    shade: str


def as_shares(contours: object) -> tuple[float, ...]:
    """Shares of the cells inside contours, decreasing; none for None.

    Raises
    ------
    InputError
        A share that is not between 0 and 1.
    """
    if contours is None or contours is False:
        return ()
    if isinstance(contours, str) or not hasattr(contours, "__iter__"):
        msg = (
            f"contours={shown(contours)}; expected shares of the cells such as (0.5, 0.9), or None"
            " for no contours."
        )
        raise InputError(msg)
    shares = [as_number("contours", share, above=0.0, below=1.0) for share in contours]
    return tuple(sorted(set(shares), reverse=True))


def draw_contours(ax: Axes, cloud: Cloud, shares: Sequence[float], style: str) -> None:
    """Draw lines around the densest places that hold each share of a cloud's cells."""
    found = contour_lines(cloud)
    if found is None or not shares:
        return
    gx, gy, density = found
    levels = sorted({level_of(density, share) for share in shares})
    drawn = ax.contour(
        gx, gy, density, levels=levels, colors=[cloud.shade], linestyles=[style], zorder=3
    )
    drawn.set(linewidths=1.4)
    drawn.set_gid(f"contours {cloud.what}")


def extent(cloud: Cloud, shares: Sequence[float]) -> FloatArray:
    """Low and high ends along both axes of the widest contour, shape `(2, 2)`; none: no rows."""
    found = contour_lines(cloud)
    if found is None or not shares:
        return np.zeros((0, 2))
    gx, gy, density = found
    rows, columns = np.nonzero(density >= level_of(density, max(shares)))
    ends = ((gx[columns].min(), gy[rows].min()), (gx[columns].max(), gy[rows].max()))
    return np.array(ends)


def contour_lines(cloud: Cloud) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Density of a cloud on a grid: coordinates `(g,)` of both axes, and values `(g, g)`.

    A Gaussian kernel of 0.6 times the width of Scott's rule; the grid reaches so far beyond the
    cells that contours are closed. None for few cells, or all on a line.
    """
    from scipy.ndimage import gaussian_filter

    n = len(cloud.xy)
    spread = cloud.xy.std(axis=0) if n else np.zeros(2)
    if n < _FEW or not (spread > 0).all():
        return None
    width = _NARROWER * spread * n ** (-1.0 / 6.0)
    low = cloud.xy.min(axis=0) - _BEYOND * width
    high = cloud.xy.max(axis=0) + _BEYOND * width
    edges = [np.linspace(a, b, _GRID + 1) for a, b in zip(low, high, strict=True)]
    x, y = cloud.xy.T
    count: FloatArray = np.histogram2d(x, y, bins=edges, weights=cloud.weight)[0].T
    step = np.array([edge[1] - edge[0] for edge in edges])
    density = gaussian_filter(count, sigma=(width / step)[::-1], mode="constant")
    gx, gy = ((edge[1:] + edge[:-1]) / 2.0 for edge in edges)
    return gx, gy, density


def level_of(density: FloatArray, share: float) -> float:
    """Density above which a share of the mass lies."""
    values = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(values)
    return float(values[int(np.searchsorted(mass, share * mass[-1]))])


def draw_margins(ax: Axes, clouds: Sequence[Cloud]) -> None:
    """Draw the density of each cloud along both axes, above and right of the Axes."""
    from scipy.stats import gaussian_kde

    for axis, place in enumerate(((0.0, 1.01, 1.0, 0.14), (1.01, 0.0, 0.14, 1.0))):
        shared: Any = {"sharex": ax} if axis == 0 else {"sharey": ax}
        margin = ax.inset_axes(place, **shared)
        margin.set_axis_off()
        low, high = (ax.get_xlim, ax.get_ylim)[axis]()
        grid = np.linspace(low, high, 200)
        for cloud in clouds:
            values = cloud.xy[:, axis]
            if len(values) > 2 and np.ptp(values) > 0:
                height = gaussian_kde(values, weights=cloud.weight)(grid)
                fill = margin.fill_between if axis == 0 else margin.fill_betweenx
                fill(grid, height, color=cloud.shade, alpha=0.25, lw=0)
                line = (grid, height) if axis == 0 else (height, grid)
                margin.plot(*line, color=cloud.shade, lw=1.2)
