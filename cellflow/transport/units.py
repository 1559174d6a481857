"""Mass in whole units, so that sharing it out leaves no remainder; and plans that keep an order."""

from __future__ import annotations

from math import gcd

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

__all__ = ["monotone", "whole_units"]

#: Units of mass where weights are no small fractions.
_UNITS = 2**52


def whole_units(a: FloatArray, b: FloatArray) -> tuple[IntArray, IntArray]:
    """Two distributions in whole units of one size, of equal sum."""
    n = len(a)
    m = len(b)
    if np.ptp(a) <= 1e-12 * a.max() and np.ptp(b) <= 1e-12 * b.max():
        common = gcd(n, m)
        return np.full(n, m // common), np.full(m, n // common)

    def rounded(weight: FloatArray) -> IntArray:
        # Differences of the rounded cumulative sum: each cell is within one unit, the total exact.
        total = np.cumsum(weight)
        ends: IntArray = np.rint(total / total[-1] * _UNITS).astype(np.int64)
        return np.diff(ends, prepend=0)

    return rounded(a), rounded(b)


def monotone(supply: IntArray, demand: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Couple two sequences of equal sum in their order, by the north-west corner rule.

    Returns `i`, `j` and the units of each edge; there are fewer edges than members.
    """
    ends = np.cumsum(supply)
    other_ends = np.cumsum(demand)
    cuts = np.union1d(ends, other_ends)
    cuts = cuts[cuts > 0]
    return np.searchsorted(ends, cuts), np.searchsorted(other_ends, cuts), np.diff(cuts, prepend=0)
