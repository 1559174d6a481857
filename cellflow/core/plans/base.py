r"""What a transport plan is, and how pairs are drawn from it.

A plan is a matrix :math:`\pi \ge 0` of shape `(n, m)`: :math:`\pi_{ij}` is the mass that goes from
source cell :math:`i` to target cell :math:`j`. Mass is counted in units of the populations, which
have mass one each. A balanced plan has the populations' weights as marginals and total one; an
unbalanced plan may have any positive total, and rows and columns of less mass or none.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import CouplingError

__all__ = ["AliasTable", "Plan", "Side", "conditional_mean"]

#: Probabilities that differ by less than this are equal: rounding of the masses.
_EQUAL = 1e-9

Side = Literal["source", "target"]


@runtime_checkable
class Plan(Protocol):
    """Mass between source and target cells."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of source and target cells."""

    @property
    def total(self) -> float:
        """Mass of the plan, in units of a population's mass; one for a balanced plan."""

    @property
    def row_mass(self) -> FloatArray:
        """Mass that leaves each source cell, shape `(n,)`; sums to `total`."""

    @property
    def col_mass(self) -> FloatArray:
        """Mass that reaches each target cell, shape `(m,)`; sums to `total`."""

    @property
    def cost(self) -> float:
        """Mean transport cost per unit of mass."""

    @property
    def gap(self) -> float | None:
        """Certified bound on (cost - optimum) / cost; None where nothing is certified.

        For plans with relaxed marginals, of their objective instead of the cost.
        """

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs (source rows, target rows) in proportion to mass; each draw is O(1)."""

    def partners(
        self, cells: IntArray, rng: np.random.Generator, side: Side = "source"
    ) -> IntArray:
        """Draw a partner for each given cell `(k,)` of `side`, by its share of the cell's mass.

        Every cell must have mass in the plan; each draw is O(log of the number of its partners).
        """

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Mean of the other side's `values` given each cell of `side`.

        With `side="source"`, `values` is `(m, k)` and the result `(n, k)`: where each source cell
        goes on average. Cells without mass get NaN.
        """


def conditional_mean(sums: FloatArray, mass: FloatArray) -> FloatArray:
    """Sums `(n, k)` divided by the mass of each row `(n,)`; NaN where there is no mass."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: FloatArray = sums / mass[:, None]
    return mean


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
