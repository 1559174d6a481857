"""Draws from a discrete distribution in constant time."""

from __future__ import annotations

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import CouplingError

__all__ = ["AliasTable"]

#: Probabilities that differ by less than this are equal: rounding of the masses.
_EQUAL = 1e-9


class AliasTable:
    """A table from which the numbers `0 ... n - 1` are drawn in proportion to their mass.

    Parameters
    ----------
    mass
        Shape `(n,)`, non-negative; its sum does not matter.

    Raises
    ------
    CouplingError
        The sum is zero.

    References
    ----------
    Walker (1977), ACM Trans. Math. Softw. 3; Vose (1991), IEEE Trans. Softw. Eng. 17.
    """

    def __init__(self, mass: FloatArray) -> None:
        n = len(mass)
        total = float(mass.sum())
        if not total > 0:
            msg = f"The plan has mass {total:g}; pairs can only be drawn from a plan with mass."
            raise CouplingError(msg)
        probability = np.asarray(mass, dtype=np.float64) * (n / total)
        alias = np.arange(n)
        # A uniform table needs no aliases. Balanced plans between clouds of equal size give one.
        if np.ptp(probability) > _EQUAL:
            small = np.flatnonzero(probability < 1.0).tolist()
            large = np.flatnonzero(probability >= 1.0).tolist()
            p = probability.tolist()
            while small and large:
                less = small.pop()
                more = large[-1]
                alias[less] = more
                p[more] -= 1.0 - p[less]
                if p[more] < 1.0:
                    small.append(large.pop())
            probability = np.array(p)
            # Rounding leaves entries on one of the stacks. Those with mass are full; those without
            # are never drawn.
            leftover = np.array(small + large, dtype=np.intp)
            probability[leftover] = np.where(mass[leftover] > 0, 1.0, 0.0)
            empty = leftover[mass[leftover] == 0]
            alias[empty] = int(np.argmax(mass))
        self._probability = probability
        self._alias = alias

    def draw(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw `n` indices."""
        slot = rng.integers(len(self._alias), size=n)
        return np.where(rng.random(n) < self._probability[slot], slot, self._alias[slot])
