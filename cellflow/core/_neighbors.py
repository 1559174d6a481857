"""Nearest neighbours and squared distances."""

from __future__ import annotations

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

__all__ = ["nearest", "paired_squares", "squared_distances"]

#: Above this many dimensions a k-d tree visits nearly every point, and brute force is faster.
_TREE_MAX_DIMS = 15
#: Points in a leaf of the tree. For many neighbours 40 is a third faster than SciPy's default of
#: 10, and for few it is no slower.
_LEAF = 40
#: Pairs that are subtracted at once, so that they stay in the cache.
_CHUNK = 1024


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
    k = min(k, len(points))
    points = np.asarray(points, dtype=np.float64)
    queries = np.asarray(queries, dtype=np.float64)
    if points.shape[1] <= _TREE_MAX_DIMS:
        from scipy.spatial import cKDTree

        distances, rows = cKDTree(points, leafsize=_LEAF).query(queries, np.arange(1, k + 1))
        return distances, rows
    from sklearn.neighbors import NearestNeighbors

    distances, rows = (
        NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors(queries)
    )
    return distances, rows


def paired_squares(x: FloatArray, y: FloatArray, i: IntArray, j: IntArray) -> FloatArray:
    """Squared distances of the pairs `(x[i], y[j])`, in float64."""
    squares = np.empty(len(i))
    for start in range(0, len(i), _CHUNK):
        part = slice(start, start + _CHUNK)
        step = np.subtract(x[i[part]], y[j[part]], dtype=np.float64)
        squares[part] = np.einsum("ij,ij->i", step, step)
    return squares


def squared_distances(x: FloatArray, y: FloatArray) -> FloatArray:
    """Squared Euclidean distances, shape `(n, m)`, in float64.

    Both clouds are centred on the mean of `y` first, which avoids cancellation far from the origin.
    """
    centre = y.mean(axis=0, dtype=np.float64)
    x = x - centre
    y = y - centre
    square = (-2.0 * x) @ y.T
    square += np.einsum("ij,ij->i", x, x)[:, None]
    square += np.einsum("ij,ij->i", y, y)
    return np.maximum(square, 0.0, out=square)
