"""How cells of one fate move, compared with cells of the others."""

from __future__ import annotations

import numpy as np

from cellflow.core._typing import FloatArray

__all__ = ["contrast"]


def contrast(
    velocity: FloatArray, own: FloatArray, other: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean velocity of cells by the weight of one fate, less that by the weight of the others.

    Parameters
    ----------
    velocity
        Shape `(n, d)`.
    own, other
        Weight of each cell in either mean, shape `(n,)`, such as its own weight times the
        probability of the fate.

    Returns
    -------
    The difference, shape `(d,)`, and its covariance over the cells that might have been measured,
    `(d, d)`; NaN where one of both weights is zero.

    Examples
    --------
    >>> v = np.array([[1.0], [3.0]])
    >>> float(contrast(v, np.array([1.0, 0.0]), np.array([0.0, 1.0]))[0][0])
    -2.0
    """
    d = velocity.shape[1]
    if own.sum() <= 0 or other.sum() <= 0:
        return np.full(d, np.nan), np.full((d, d), np.nan)
    share = own / own.sum()
    rest = other / other.sum()
    first = share @ velocity
    second = rest @ velocity
    # The derivative of the difference by the weight of each cell, times that weight.
    pull = share[:, None] * (velocity - first) - rest[:, None] * (velocity - second)
    return np.asarray(first - second), np.asarray(pull.T @ pull)
