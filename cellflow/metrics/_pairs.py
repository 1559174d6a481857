"""Means of a kernel over all pairs of cells, in tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cellflow.core._clouds import Statistic, Two
from cellflow.core._random import systematic
from cellflow.core._typing import FloatArray

__all__ = ["energy", "kernel_discrepancy", "median_distance"]

#: Numbers in a tile: 4 MiB, whatever the sizes of the clouds.
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


def energy(two: Two) -> Statistic:
    """Energy distance, and its derivatives."""
    return _discrepancy(two, "euclidean", lambda distance: distance, -1.0)


def kernel_discrepancy(two: Two, bandwidth: float) -> Statistic:
    """Squared MMD of five Gaussian kernels around one width, and its derivatives."""

    def kernel(square: FloatArray) -> FloatArray:
        square *= -0.5 / (_WIDEST * bandwidth) ** 2
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
