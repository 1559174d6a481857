"""The cells at which the velocities of two conditions differ most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cellflow.analysis.comparison.resampling import Resampling, adjusted, variance
from cellflow.analysis.comparison.velocity import Local, chunks
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Differences", "differences"]

#: Both conditions need this share of the cells near a reference cell, else they have no velocities
#: there that could be compared.
_LEAST_SHARE = 0.05
#: Statistics that differ by less are equal, relative to themselves: single precision.
_EQUAL = 1e-5
_TINY = float(np.finfo(np.float32).tiny)


class Differences(NamedTuple):
    """Reference cells: rows, difference of velocities `(r, d)`, p-values and adjusted ones `(r,)`.

    NaN where the two conditions have no cells at the same place.
    """

    rows: IntArray
    difference: FloatArray
    p: FloatArray
    q: FloatArray


def differences(intervals: Sequence[Local], resampled: Resampling) -> Differences:
    r"""Compare velocities at the reference cells.

    The statistic is :math:`|v_1 - v_0|^2 / (\hat\sigma^2 + s)`, with the sum of the jackknife
    variances of the coordinates and its median :math:`s` over the reference cells of the interval;
    its distribution is that over the labellings and over the reference cells of the interval, as
    in SAM (Tusher et al., 2001), because the labellings alone are too few for many cells. p-values
    of all intervals are adjusted together.
    """
    parts = [_compared(local, resampled) for local in intervals]
    p = np.concatenate([part[1] for part in parts])
    rows = np.concatenate([local.rows for local in intervals])
    return Differences(rows, np.concatenate([part[0] for part in parts]), p, adjusted(p))


def _compared(local: Local, resampled: Resampling) -> tuple[FloatArray, FloatArray]:
    """Differences in the data `(r, d)`, and p-values `(r,)`."""
    counts, every = resampled.rows(local.blocks)
    left = resampled.left_at(local.blocks)
    place = every[:, :, np.concatenate([[0], 1 + left])]
    group = resampled.group[:, left]
    # Labellings that agree at these times are computed once.
    names = np.concatenate([place[0], place[1], group], axis=1)
    _, first, number = np.unique(names, axis=0, return_index=True, return_inverse=True)
    place = place[:, first]
    own = number.reshape(-1)[0]
    n_r, d = local.step.shape[2:]
    difference = np.full((n_r, d), np.nan)
    square = np.empty((len(first), n_r))
    spread = np.empty((len(first), n_r))
    for part in chunks(n_r, (place[0].size + len(counts)) * d):
        velocity, mass = local.part(part).velocities(counts)
        change = velocity[place[1]] - velocity[place[0]]  # (labelling, left out, cell, coordinate)
        square[:, part] = (change[:, 0] ** 2).sum(axis=-1)
        flat = change[:, 1:].reshape(len(first), len(left), -1)
        spread[:, part] = variance(flat, group[first])[0].reshape(len(first), -1, d).sum(axis=-1)
        shares = mass[place[:, own, 0]]
        seen = shares.min(axis=0) >= _LEAST_SHARE * np.maximum(shares.sum(axis=0), _TINY)
        difference[part] = np.where(seen[:, None], change[own, 0], np.nan)
    size = square / (spread + np.median(spread, axis=1, keepdims=True) + _TINY)
    known = np.isfinite(difference[:, 0])
    p = np.full(n_r, np.nan)
    p[known] = _pooled(size[:, known], own, np.bincount(number.reshape(-1)))
    return difference, p


def _pooled(size: FloatArray, own: int, count: IntArray) -> FloatArray:
    """Share of the statistics `(l, r)`, counted by labelling, that are as large as those of `own`.

    Examples
    --------
    >>> _pooled(np.array([[4.0, 1.0], [2.0, 3.0]]), 0, np.array([1, 1])).tolist()
    [0.25, 1.0]
    """
    order = np.argsort(size, axis=None)
    below = np.concatenate([[0], np.cumsum(np.repeat(count, size.shape[1])[order])])
    place = np.searchsorted(size.ravel()[order], size[own] * (1.0 - _EQUAL), side="left")
    return np.asarray(1.0 - below[place] / below[-1])
