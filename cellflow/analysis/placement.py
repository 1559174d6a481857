"""New states among measured cells: their labels by vote, and their places in an embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Neighbors", "affine_map", "neighbors_of", "placed", "votes"]

#: Cells that are searched for neighbours at most; evenly chosen rows of more.
_MOST = 50_000
#: States that are searched for at once.
_BLOCK = 4096
#: Neighbours farther from the central one than this many median distances are in another lobe of
#: the embedding.
_LOBE = 3.0
#: An embedding whose residual from an affine map is below this share of its spread is one.
_LINEAR = 1e-3
#: Cells by which that is measured.
_FITTED = 20_000


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The nearest cells of each state, with Gaussian weights.

    Parameters
    ----------
    rows
        Rows of the cells, shape `(m, k)`.
    weight
        Summing to one in each row, shape `(m, k)`. The width of the kernel is half the distance to
        the farthest neighbour, as in `cellflow.analysis.embedding.place`.
    """

    rows: IntArray
    weight: FloatArray


def neighbors_of(
    states: FloatArray, x: FloatArray, rows: IntArray, *, n_neighbors: int
) -> Neighbors:
    """Find the nearest cells of states.

    Parameters
    ----------
    states
        Shape `(m, d)`.
    x
        States of all cells, shape `(n, d)`.
    rows
        Cells that may be neighbours, at least one; of more than 50,000, evenly chosen ones.
    n_neighbors
        Number of neighbours of each state.
    """
    if len(rows) > _MOST:
        rows = rows[np.linspace(0, len(rows) - 1, _MOST).astype(np.int64)]
    points = np.asarray(x[rows], dtype=np.float64)
    found = []
    for start in range(0, max(len(states), 1), _BLOCK):
        distance, near = nearest(points, states[start : start + _BLOCK], n_neighbors)
        width = np.where(distance[:, -1:] > 0, distance[:, -1:] / 2.0, 1.0)
        weight = np.exp(-0.5 * (distance / width) ** 2)
        found.append((rows[near], weight / weight.sum(axis=1, keepdims=True)))
    return Neighbors(*(np.concatenate(part) for part in zip(*found, strict=True)))


def votes(near: Neighbors, codes: IntArray, n_codes: int) -> tuple[IntArray, FloatArray]:
    """Return the class with the most weight among the neighbours of each state, and its share.

    Parameters
    ----------
    near
        Neighbours of `m` states.
    codes
        Class of each cell, shape `(n,)`, from 0.
    n_codes
        Number of classes.

    Returns
    -------
    Classes and their shares of the weights, both of shape `(m,)`. Of equal shares, the first class.
    """
    share = np.zeros((len(near.rows), n_codes))
    states = np.arange(len(near.rows))
    for k in range(near.rows.shape[1]):
        share[states, codes[near.rows[:, k]]] += near.weight[:, k]
    winner: IntArray = share.argmax(axis=1)
    # Sums of weights may exceed one by rounding.
    return winner, np.minimum(share[states, winner], 1.0)


def placed(near: Neighbors, embedding: FloatArray) -> FloatArray:
    """Coordinates of states in an embedding: a mean of their neighbours' coordinates.

    Neighbours of a state may lie in several lobes of an embedding, where the mean of all lies
    between the lobes, and no cell does. So the mean is over the neighbours around the central one,
    the medoid: those within three times its weighted median distance.

    Parameters
    ----------
    near
        Neighbours of `m` states.
    embedding
        Coordinates of the cells, shape `(n, e)`.

    Returns
    -------
    Shape `(m, e)`, float64.
    """
    result = np.empty((len(near.rows), embedding.shape[1]))
    for start in range(0, len(result), _BLOCK):
        part = slice(start, start + _BLOCK)
        result[part] = _around_medoid(
            np.asarray(embedding[near.rows[part]], dtype=np.float64), near.weight[part]
        )
    return result


def _around_medoid(points: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted mean of points `(m, k, e)` around their medoid."""
    centre = points.mean(axis=1)
    points = points - centre[:, None]  # for the precision of the distances
    squares = np.einsum("mke,mke->mk", points, points)
    inner = np.einsum("mke,mle->mkl", points, points)
    between = np.sqrt(np.maximum(squares[:, :, None] + squares[:, None, :] - 2.0 * inner, 0.0))
    states = np.arange(len(points))
    medoid = np.einsum("mkl,ml->mk", between, weight).argmin(axis=1)
    apart = between[states, medoid]
    order = np.argsort(apart, axis=1)
    below = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1) < 0.5
    median = np.take_along_axis(apart, order, axis=1)[states, below.sum(axis=1)]
    kept = np.where(apart <= _LOBE * median[:, None], weight, 0.0)
    kept[states, medoid] = weight[states, medoid]
    kept /= kept.sum(axis=1, keepdims=True)
    return np.asarray(centre + np.einsum("mk,mke->me", kept, points))


def affine_map(x: FloatArray, embedding: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """The affine map from states to an embedding, where the embedding is one.

    Parameters
    ----------
    x
        States of cells, shape `(n, d)`.
    embedding
        Their coordinates, shape `(n, e)`.

    Returns
    -------
    Matrix `(d, e)` and offset `(e,)`; None where the embedding is no affine function of the states,
    or there are too few cells to say.
    """
    n = len(x)
    if n < 2 * (x.shape[1] + 1):
        return None
    rows = np.arange(n) if n <= _FITTED else np.linspace(0, n - 1, _FITTED).astype(np.int64)
    known = np.asarray(embedding[rows], dtype=np.float64)
    states = np.asarray(x[rows], dtype=np.float64)
    centre = states.mean(axis=0)
    mean = known.mean(axis=0)
    matrix = np.linalg.lstsq(states - centre, known - mean, rcond=None)[0]
    residual = known - mean - (states - centre) @ matrix
    spread = np.linalg.norm(known - mean, axis=0)
    if (np.linalg.norm(residual, axis=0) > _LINEAR * spread).any():
        return None
    return matrix, mean - centre @ matrix
