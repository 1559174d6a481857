"""Near-exact transport between large populations, with a certificate."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

import numpy as np

from cellflow._random import as_seed, stream
from cellflow._typing import FloatArray, IntArray
from cellflow.couplings.base import arc_costs, cloud, positive
from cellflow.errors import CouplingWarning
from cellflow.plan import EdgePlan
from cellflow.population import Population

__all__ = ["Sparse"]

logger = logging.getLogger("cellflow")

#: Up to this many pairs, all of them are candidates.
_ALL_PAIRS = 400**2
#: Candidate arcs per cell: the best of all cells on the other side, and the best of the subsample's.
_NEAR, _FAR = 8, 4
#: Violated arcs that a round adds per cell.
_ADDED = 5
#: How many times larger a population is than the subsample that its first potentials come from.
_RATIO = 4
#: Units of mass where weights are no small fractions.
_UNITS = 2**52


class _Cells(NamedTuple):
    """Distinct positions with whole units of mass."""

    x: FloatArray
    units: IntArray


class _Solved(NamedTuple):
    """A complete plan, its mean cost, a lower bound on that, and the potentials that prove it."""

    i: IntArray
    j: IntArray
    units: IntArray
    cost: float
    bound: float
    u: FloatArray
    v: FloatArray

    @property
    def gap(self) -> float:
        return max(0.0, 1.0 - self.bound / self.cost) if self.cost > 0 else 0.0


def monotone(supply: IntArray, demand: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Couple two sequences of equal sum in their order (the north-west corner rule): at most `n + m - 1` edges."""
    ends, other_ends = np.cumsum(supply), np.cumsum(demand)
    cuts = np.union1d(ends, other_ends)
    return np.searchsorted(ends, cuts), np.searchsorted(other_ends, cuts), np.diff(cuts, prepend=0)


def whole_units(a: FloatArray, b: FloatArray) -> tuple[IntArray, IntArray]:
    """Express two distributions in whole units of one size, so that no rounding ever separates them."""
    n, m = len(a), len(b)
    if np.ptp(a) <= 1e-12 * a.max() and np.ptp(b) <= 1e-12 * b.max():
        common = gcd(n, m)
        return np.full(n, m // common), np.full(m, n // common)

    def rounded(weight: FloatArray) -> IntArray:
        # Differences of the rounded cumulative sum: every cell is within one unit, and the total is exact.
        total = np.cumsum(weight)
        return np.diff(np.rint(total / total[-1] * _UNITS).astype(np.int64), prepend=0)

    return rounded(a), rounded(b)


def _drawn(units: IntArray, size: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Systematic sample of `size` by mass: the cells drawn, and how often."""
    total = int(units.sum())
    points = (np.arange(size) + rng.random()) * (total / size)
    return np.unique(np.searchsorted(np.cumsum(units), points, side="right").clip(max=len(units) - 1), return_counts=True)
