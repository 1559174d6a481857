"""Velocities of the model in an embedding for drawing."""

from __future__ import annotations

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._numbers import as_count
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = ["project"]

#: Cells at a time in `project`; what it holds is this many times neighbours times dimensions.
_CHUNK = 2048


def project(
    x: FloatArray, velocity: FloatArray, embedding: FloatArray, *, n_neighbors: int = 30
) -> FloatArray:
    r"""Velocities in an embedding, by where each cell's neighbours lie there [1]_ [2]_.

    With displacements :math:`\delta_{ij} = x_j - x_i` to the neighbours of cell :math:`i`, their
    cosines
    :math:`c_{ij} = \cos(\delta_{ij}, v_i)` and the standard deviation :math:`\sigma_i` of these,

    .. math:: p_{ij} \propto e^{c_{ij} / \sigma_i}, \qquad
              w_i = \|v_i\| \, r_i \sum_j \bigl(p_{ij} - \tfrac1k\bigr) \frac{e_j - e_i}{\|e_j -
              e_i\|} ,

    where :math:`r_i` is the ratio of root mean square distances, in the embedding to in `x`. The
    kernel is relative to the spread of the cosines because these shrink as dimensions grow; without
    the uniform part, arrows do not point to where cells are merely dense.

    The direction comes from the neighbours, the length from the speed: an arrow is `velocity` times
    a constant longer when the velocity is, is measured in units of the embedding per time unit, and
    shrinks where neighbours disagree.

    Parameters
    ----------
    x
        States, shape `(n, d)`.
    velocity
        Their velocities, shape `(n, d)`.
    embedding
        Their coordinates in the picture, shape `(n, k)`.
    n_neighbors
        Neighbours in `x` of each cell.

    Returns
    -------
    Shape `(n, k)`, always finite; zero for a cell that does not move or has no neighbour apart from
    its duplicates.

    Raises
    ------
    InputError
        Shapes that do not fit together, or `n_neighbors` below one.

    References
    ----------
    .. [1] La Manno et al. (2018), RNA velocity of single cells, Nature 560.
    .. [2] Bergen et al. (2020), Generalizing RNA velocity to transient cell states through
       dynamical modeling,
       Nat. Biotechnol. 38.

    Examples
    --------
    >>> line = np.linspace(0.0, 1.0, 9)[:, None]
    >>> arrows = project(line, np.ones((9, 1)), 5.0 * line, n_neighbors=2)
    >>> bool((arrows[1:-1] > 0).all())
    True
    """
    x, velocity, embedding = (np.asarray(a, dtype=np.float64) for a in (x, velocity, embedding))
    if not (
        x.ndim == embedding.ndim == 2 and velocity.shape == x.shape and len(embedding) == len(x)
    ):
        msg = (
            f"Need x (n, d), velocity (n, d) and embedding (n, k); found {x.shape},"
            f" {velocity.shape} and {embedding.shape}."
        )
        raise InputError(msg)
    n_neighbors = as_count("n_neighbors", n_neighbors)
    # Each cell is its own nearest neighbour; displacements of zero are left out.
    _, rows = nearest(x, x, n_neighbors + 1)
    arrows = np.zeros_like(embedding)
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        arrows[part] = _arrows(
            x[rows[part]] - x[part, None, :],
            velocity[part],
            embedding[rows[part]] - embedding[part, None, :],
        )
    return arrows


def _arrows(steps: FloatArray, velocity: FloatArray, moves: FloatArray) -> FloatArray:
    """Project velocities `(m, d)` by displacements in `x`, `(m, k, d)`, and in the embedding."""
    distance = np.linalg.norm(steps, axis=2)
    reach = np.linalg.norm(moves, axis=2)
    speed = np.linalg.norm(velocity, axis=1)
    votes = (distance > 0) & (reach > 0)
    n_votes = np.maximum(votes.sum(axis=1, keepdims=True), 1)
    cosine = _ratio(np.einsum("ikd,id->ik", steps, velocity), distance * speed[:, None])
    centred = np.where(votes, cosine - (cosine * votes).sum(axis=1, keepdims=True) / n_votes, 0.0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / n_votes)
    kernel = np.where(votes, np.exp(np.clip(_ratio(centred, spread), -50.0, 50.0)), 0.0)
    excess = _ratio(kernel, kernel.sum(axis=1, keepdims=True)) - votes / n_votes
    ratio = np.sqrt(_ratio((reach**2 * votes).sum(axis=1), (distance**2 * votes).sum(axis=1)))
    return np.asarray(
        (speed * ratio)[:, None] * np.einsum("ik,ike->ie", excess, _ratio(moves, reach[:, :, None]))
    )


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """Divide, with zero where the divisor is zero."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b > 0)
