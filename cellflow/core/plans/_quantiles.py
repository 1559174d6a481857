"""Quantiles of rows of masses."""

from __future__ import annotations

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

__all__ = ["quantiles"]

#: Columns that are summed before a search, so that most masses are read once only.
_GROUP = 32


def quantiles(mass: FloatArray, places: FloatArray) -> tuple[FloatArray, IntArray]:
    """Sum rows of masses `(r, m)`, and find the columns at some places of each row.

    Parameters
    ----------
    mass
        Positive, shape `(r, m)`.
    places
        Shares of the sum of the row, from 0 to below 1, shape `(r, q)`.

    Returns
    -------
    Sums `(r,)` and columns `(r, q)`: the first whose cumulative mass is above the place.

    Examples
    --------
    >>> quantiles(np.array([[1.0, 2.0, 1.0]]), np.array([[0.0, 0.3, 0.8]]))
    (array([4.]), array([[0, 1, 2]]))
    """
    n, m = mass.shape
    whole = m // _GROUP * _GROUP
    groups = mass[:, :whole].reshape(n, -1, _GROUP).sum(axis=2)
    groups = np.column_stack([groups, mass[:, whole:].sum(axis=1)])
    ends = np.cumsum(groups, axis=1, dtype=np.float64)
    sums = ends[:, -1]
    row = np.arange(n)[:, None]
    # One search for all rows: row r occupies the interval from r to r + 1.
    found = np.searchsorted((ends / sums[:, None] + row).ravel(), (places + row).ravel(), "right")
    group = np.minimum(found.reshape(places.shape) - row * ends.shape[1], (m - 1) // _GROUP)
    before = np.where(group > 0, ends[row, group - 1], 0.0)
    members = np.minimum(group[:, :, None] * _GROUP + np.arange(_GROUP), m - 1)
    inside = np.cumsum(mass[row[:, :, None], members], axis=2)
    passed = (inside <= (places * sums[:, None] - before)[:, :, None]).sum(axis=2)
    return sums, np.minimum(group * _GROUP + passed, m - 1)
