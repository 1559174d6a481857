"""Nearest neighbours and distances in chunks, used by many."""

from __future__ import annotations

import numpy as np

from cellflow._typing import FloatArray, IntArray

__all__ = ["nearest", "squared_distances"]

#: Above this many dimensions a k-d tree visits nearly every point, and brute force is faster.
_TREE_MAX_DIMS = 15


def nearest(points: FloatArray, queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
    """Find the `k` nearest `points` of each query, exactly.

    Parameters
    ----------
    points
        Shape `(n, d)`.
    queries
        Shape `(m, d)`.
    k
        At most `n`; a point that is also a query counts as its own neighbour.

    Returns
    -------
    Euclidean distances and row numbers into `points`, both `(m, k)`, nearest first.
    """
    from sklearn.neighbors import NearestNeighbors

    k = min(k, len(points))
    algorithm = "kd_tree" if points.shape[1] <= _TREE_MAX_DIMS else "brute"
    index = NearestNeighbors(n_neighbors=k, algorithm=algorithm).fit(np.asarray(points, dtype=np.float64))
    distances, rows = index.kneighbors(np.asarray(queries, dtype=np.float64))
    return distances, rows


def squared_distances(x: FloatArray, y: FloatArray) -> FloatArray:
    """Squared Euclidean distances, shape `(n, m)`, in float64.

    Both clouds are centred on the mean of `y` first, so that nothing is lost to cancellation far from the origin.
    """
    centre = y.mean(axis=0, dtype=np.float64)
    x, y = x - centre, y - centre
    square = (-2.0 * x) @ y.T
    square += np.einsum("ij,ij->i", x, x)[:, None]
    square += np.einsum("ij,ij->i", y, y)
    return np.maximum(square, 0.0, out=square)
