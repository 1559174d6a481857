"""Distances between two clouds with their derivatives by the weights of the cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cellflow.core._clouds import Statistic, Two
from cellflow.core._random import stream, systematic
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError
from cellflow.transport.exact import solve_line

__all__ = [
    "energy",
    "kernel_discrepancy",
    "mean_distance",
    "median_distance",
    "sliced",
    "spread_ratio",
]

#: Numbers in a tile, 4 MiB, for clouds of any size.
_TILE = 2**19
#: Points that the typical distance is taken from.
_MEDIAN_POINTS = 500
#: Place of a point in its share of the mass: a little off the middle, where shares that are simple
#: fractions do not end.
_OFF_CENTRE = 0.5123
#: Largest width of the kernels, in typical distances; each of the others is half as wide as the one
#: before.
_WIDEST = 4.0
_N_WIDTHS = 5

#: From distances, shape `(rows, columns)`, to values; may work in place.
_Kernel = Callable[[FloatArray], FloatArray]


def mean_distance(two: Two) -> Statistic:
    """Distance between the means, and its derivatives (zero where the means are one)."""
    # Relative to one point, so that means far from the origin lose nothing.
    origin = two.y[0]
    x = two.x - origin
    y = two.y - origin
    step = two.a @ x - two.b @ y
    length = float(np.linalg.norm(step))
    direction = step / length if length > 0.0 else step
    return Statistic(length, x @ direction, -(y @ direction))


def spread_ratio(two: Two) -> Statistic:
    """Trace of the covariance of x over that of y, and its derivatives.

    Raises
    ------
    InputError
        All cells of `y` are at one position.
    """
    from_mean = [((z - w @ z) ** 2).sum(axis=1) for z, w in ((two.x, two.a), (two.y, two.b))]
    if (two.y == two.y[0]).all():
        msg = (
            "All cells of `y` are at one position; expected cells that vary, for a ratio of"
            " variances."
        )
        raise InputError(msg)
    spread = float(two.b @ from_mean[1])
    ratio = float(two.a @ from_mean[0]) / spread
    return Statistic(ratio, from_mean[0] / spread, -ratio * from_mean[1] / spread)


def sliced(two: Two, *, p: int, n_projections: int, seed: int) -> Statistic:
    """Mean over directions of the least mean cost between the projections, and its derivatives."""
    directions = stream(seed).standard_normal((n_projections, two.x.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    value = 0.0
    u = np.zeros(len(two.x))
    v = np.zeros(len(two.y))
    for direction in directions:
        on_line = solve_line(two.x @ direction, two.y @ direction, two.a, two.b, p=p)
        value += on_line.value
        u += on_line.u
        v += on_line.v
    return Statistic(value / n_projections, u / n_projections, v / n_projections)


def energy(two: Two) -> Statistic:
    """Energy distance, and its derivatives."""
    return _discrepancy(two, "euclidean", lambda distance: distance, -1.0)


def kernel_discrepancy(two: Two, bandwidth: float | None = None) -> Statistic:
    """Squared MMD of five Gaussian kernels around one width, and its derivatives.

    The width is the median distance by default; zero where all points are equal.
    """
    width = median_distance(two) if bandwidth is None else bandwidth
    if width == 0.0:
        return Statistic(0.0, np.zeros(len(two.x)), np.zeros(len(two.y)))

    def kernel(square: FloatArray) -> FloatArray:
        square *= -0.5 / (_WIDEST * width) ** 2
        value = np.exp(square, out=square)
        total = value.copy()
        for _ in range(_N_WIDTHS - 1):
            # Half the width is the fourth power.
            value *= value
            value *= value
            total += value
        total /= _N_WIDTHS
        return total

    return _discrepancy(two, "sqeuclidean", kernel, 1.0)


def median_distance(two: Two) -> float:
    """Median distance between different points of the even mixture of both clouds.

    Zero where all points are equal. Taken from 500 points that divide the mass evenly along the
    order of the coordinates, so that neither the order of rows, nor that of the clouds, nor the
    division of mass among equal cells matters, and nothing is drawn.
    """
    from scipy.spatial.distance import pdist

    points = np.concatenate([two.x, two.y])
    weight = np.concatenate([two.a, two.b])
    order = np.lexsort(points.T[::-1])
    drawn = points[order[systematic(weight[order], _MEDIAN_POINTS, _OFF_CENTRE)]]
    distances = pdist(drawn)
    return float(np.median(distances[distances > 0])) if (distances > 0).any() else 0.0


def _discrepancy(two: Two, metric: str, kernel: _Kernel, sign: float) -> Statistic:
    """`sign` times (within x + within y - 2 across), means of the kernel over all pairs."""
    within_x = _within(two.x, two.a, metric, kernel)
    within_y = _within(two.y, two.b, metric, kernel)
    at_x, at_y = _across(two, metric, kernel)
    u = 2.0 * sign * (within_x - at_x)
    v = 2.0 * sign * (within_y - at_y)
    # Homogeneous of degree two in the weights.
    return Statistic(max(0.0, 0.5 * float(two.a @ u + two.b @ v)), u, v)


def _across(two: Two, metric: str, kernel: _Kernel) -> tuple[FloatArray, FloatArray]:
    """Mean of the kernel from each cell of one cloud to all of the other."""
    from scipy.spatial.distance import cdist

    at_x = np.empty(len(two.x))
    at_y = np.zeros(len(two.y))
    size = max(1, _TILE // len(two.y))
    for start in range(0, len(two.x), size):
        part = slice(start, start + size)
        values = kernel(cdist(two.x[part], two.y, metric))
        at_x[part] = values @ two.b
        at_y += two.a[part] @ values
    return at_x, at_y


def _within(x: FloatArray, weight: FloatArray, metric: str, kernel: _Kernel) -> FloatArray:
    """Mean of the kernel from each cell to all of its own cloud."""
    from scipy.spatial.distance import cdist

    means = np.zeros(len(x))
    size = max(1, _TILE // len(x))
    for start in range(0, len(x), size):
        stop = min(start + size, len(x))
        values = kernel(cdist(x[start:stop], x[start:], metric))
        means[start:] += weight[start:stop] @ values
        means[start:stop] += values[:, stop - start :] @ weight[stop:]
    return means
