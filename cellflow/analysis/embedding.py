"""States and velocities of the latent space in an embedding."""

from __future__ import annotations

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray

__all__ = ["density_on_grid", "on_grid", "place"]

#: Above this number, cells are gathered in small squares before they are smoothed.
_MANY = 20_000
#: Side of these squares, in standard deviations of the kernel.
_FINE = 0.2


def place(
    states: FloatArray, x: FloatArray, embedding: FloatArray, *, n_neighbors: int = 15
) -> FloatArray:
    """Coordinates of new states in an embedding: the mean of the nearest cells' coordinates.

    The mean is weighted by a Gaussian kernel whose width is half the distance to the farthest
    neighbour used.

    Parameters
    ----------
    states
        States to place, shape `(m, d)`.
    x
        States of the cells, shape `(n, d)`.
    embedding
        Their coordinates, shape `(n, k)`.
    n_neighbors
        Cells that a state's coordinates are the mean of.

    Returns
    -------
    Shape `(m, k)`; always inside the convex hull of the cells' coordinates.
    """
    distance, rows = nearest(x, states, n_neighbors)
    width = np.where(distance[:, -1:] > 0, distance[:, -1:] / 2.0, 1.0)
    weight = np.exp(-0.5 * (distance / width) ** 2)
    weight /= weight.sum(axis=1, keepdims=True)
    known = np.asarray(embedding, dtype=np.float64)
    return np.asarray(np.einsum("mk,mke->me", weight, known[rows]))


def on_grid(
    embedding: FloatArray,
    velocity: FloatArray,
    *,
    n_grid: int = 60,
    smoothing: float = 1.0,
    min_cells: float = 1.0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Smooth the arrows of cells onto a regular grid over a picture of two dimensions.

    Parameters
    ----------
    embedding
        Coordinates of the cells, shape `(n, 2)`.
    velocity
        Their velocities in the embedding, shape `(n, 2)`.
    n_grid
        Grid points along the longer side.
    smoothing
        Standard deviation of the Gaussian kernel, in fortieths of the longer side.
    min_cells
        Grid points with less than this many cells under their kernel are empty, and so are those
        that are farther from every cell than the kernel's standard deviation, or where cells are
        sparse, than the usual distance between fifth neighbours.

    Returns
    -------
    The grid's coordinates along both axes, `(a,)` and `(b,)`, and velocities `(b, a, 2)`, NaN where
    there are no cells.
    """
    from scipy.spatial import cKDTree

    low = embedding.min(axis=0)
    high = embedding.max(axis=0)
    side = float((high - low).max()) or 1.0
    low = low - 0.04 * side
    high = high + 0.04 * side
    counts = np.maximum(np.round((high - low) / (high - low).max() * n_grid).astype(int), 4)
    gx, gy = (np.linspace(a, b, n) for a, b, n in zip(low, high, counts, strict=True))
    points = np.stack(np.meshgrid(gx, gy), axis=-1).reshape(-1, 2)
    width = smoothing * side / 40.0
    cells, velocity, count = _gathered(embedding, velocity, width * _FINE)
    # Beyond three standard deviations a cell weighs nothing, so that only close pairs are ever
    # formed.
    trees = (cKDTree(points), cKDTree(cells))
    pairs = trees[0].sparse_distance_matrix(trees[1], 3.0 * width, output_type="coo_matrix").tocsr()
    pairs.data = np.exp(-0.5 * (pairs.data / width) ** 2)
    mass = (pairs @ count)[:, None]
    usual = np.median(trees[1].query(cells, k=[min(6, len(cells))])[0])
    there = mass >= min_cells
    there &= trees[1].query(points)[0][:, None] <= max(width, float(usual))
    with np.errstate(invalid="ignore", divide="ignore"):
        field = np.where(there, (pairs @ (velocity * count[:, None])) / mass, np.nan)
    return gx, gy, field.reshape(len(gy), len(gx), 2)


def _gathered(
    xy: FloatArray, velocity: FloatArray, step: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means of very many cells in squares of a side `step`, and the number of cells in each.

    Few cells are returned as they are, with ones.
    """
    velocity = np.asarray(velocity, dtype=np.float64)
    if len(xy) <= _MANY:
        return xy, velocity, np.ones(len(xy))
    square = np.floor((xy - xy.min(axis=0)) / step).astype(np.int64)
    code = square[:, 0] * (square[:, 1].max() + 1) + square[:, 1]
    found, where = np.unique(code, return_inverse=True)
    count = np.bincount(where, minlength=len(found)).astype(np.float64)
    columns = [*xy.T, *velocity.T]
    means = [np.bincount(where, each, minlength=len(found)) / count for each in columns]
    return np.stack(means[:2], axis=1), np.stack(means[2:], axis=1), count


def density_on_grid(
    xy: FloatArray, weight: FloatArray, box: FloatArray, *, width: float, n_grid: int = 200
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Density of weighted points in a picture, smoothed by a Gaussian kernel, on a regular grid.

    Parameters
    ----------
    xy
        Coordinates, shape `(n, 2)`.
    weight
        Shape `(n,)`, not negative.
    box
        Corners of the grid, `[[left, bottom], [right, top]]`.
    width
        Standard deviation of the kernel.
    n_grid
        Grid cells along the longer side.

    Returns
    -------
    Centres of the grid's cells along both axes, `(a,)` and `(b,)`, and the density `(b, a)`, whose
    integral is the weight inside of the box.
    """
    from scipy.ndimage import gaussian_filter

    side = box[1] - box[0]
    step = float(side.max()) / n_grid
    counts = np.maximum(np.ceil(side / step - 1e-9).astype(int), 1)
    edges = [low + step * np.arange(n + 1) for low, n in zip(box[0], counts, strict=True)]
    mass = np.histogram2d(xy[:, 0], xy[:, 1], bins=edges, weights=weight)[0].T
    density = gaussian_filter(mass, sigma=width / step, mode="constant") / step**2
    gx, gy = ((edge[1:] + edge[:-1]) / 2.0 for edge in edges)
    return gx, gy, density
