"""A plan as a list of pairs with mass: the form of exact and near-exact solvers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans.base import AliasTable, Side, conditional_mean
from cellflow.errors import CouplingError

__all__ = ["EdgePlan"]


@dataclass(frozen=True, eq=False, repr=False)
class EdgePlan(Compact):
    """A sparse plan: edges with mass.

    Parameters
    ----------
    shape
        Numbers of source and target cells.
    i, j
        Ends of the edges, shape `(e,)`.
    mass
        Mass of each edge, shape `(e,)`, non-negative, in any unit: scaled to sum to `total`. Edges
        without mass are dropped.
    cost, gap
        Mean cost per unit of mass, and the certified bound on its relative distance from the
        optimum (None where unknown).
    total
        Mass of the plan, in units of a population's mass; one unless the plan is unbalanced.

    Raises
    ------
    CouplingError
        No edge has mass, or a mass or the total is negative or not finite.

    Examples
    --------
    Of two source cells, one loses half of its mass and the other does not move at all:

    >>> plan = EdgePlan((2, 2), [0], [1], [1.0], cost=0.0, total=0.25)
    >>> plan.row_mass, plan.col_mass
    (array([0.25, 0.  ]), array([0.  , 0.25]))
    """

    shape: tuple[int, int]
    i: IntArray
    j: IntArray
    mass: FloatArray
    cost: float
    gap: float | None = None
    total: float = 1.0

    def __post_init__(self) -> None:
        mass = np.asarray(self.mass, dtype=np.float64)
        given = mass.sum()
        valid = len(mass) and np.isfinite(given) and given > 0 and (mass >= 0).all()
        if not (valid and 0 < self.total < np.inf):
            msg = (
                f"{len(mass)} edges with masses of sum {given} and a total of {self.total} are no"
                " plan; expected non-negative finite masses, some of them positive, and a positive"
                " finite total."
            )
            raise CouplingError(msg)
        keep = mass > 0
        object.__setattr__(self, "i", np.asarray(self.i)[keep].astype(np.int64))
        object.__setattr__(self, "j", np.asarray(self.j)[keep].astype(np.int64))
        object.__setattr__(self, "mass", mass[keep] / given * self.total)

    @cached_property
    def row_mass(self) -> FloatArray:
        """Mass that leaves each source cell, shape `(n,)`."""
        return np.bincount(self.i, self.mass, self.shape[0]).astype(np.float64, copy=False)

    @cached_property
    def col_mass(self) -> FloatArray:
        """Mass that reaches each target cell, shape `(m,)`."""
        return np.bincount(self.j, self.mass, self.shape[1]).astype(np.float64, copy=False)

    @cached_property
    def _table(self) -> AliasTable:
        return AliasTable(self.mass)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs; see `Plan.sample`."""
        edge = self.edges(n, rng)
        return self.i[edge], self.j[edge]

    def edges(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw the numbers of `n` edges."""
        return self._table.draw(n, rng)

    @cached_property
    def _ordered(self) -> dict[Side, tuple[IntArray, FloatArray]]:
        """For either side, its edges cell by cell, and the cumulative masses of these edges."""
        ordered: dict[Side, tuple[IntArray, FloatArray]] = {}
        for side, key in (("source", (self.j, self.i)), ("target", (self.i, self.j))):
            order = np.lexsort(key)
            ordered[side] = (order, np.cumsum(self.mass[order]))  # type: ignore[index]
        return ordered

    def partners(
        self, cells: IntArray, rng: np.random.Generator, side: Side = "source"
    ) -> IntArray:
        """Draw a partner for each cell among its edges; see `Plan.partners`."""
        order, ends = self._ordered[side]
        here, there = (self.i, self.j) if side == "source" else (self.j, self.i)
        first = np.searchsorted(here[order], cells, side="left")
        last = np.searchsorted(here[order], cells, side="right")
        below = np.where(first > 0, ends[first - 1], 0.0)
        place = below + rng.random(len(cells)) * (ends[last - 1] - below)
        edge = np.searchsorted(ends, place, side="right")
        return there[order[np.clip(edge, first, last - 1)]]

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        import scipy.sparse as sp

        here, there = (self.i, self.j) if side == "source" else (self.j, self.i)
        n = self.shape[0] if side == "source" else self.shape[1]
        matrix = sp.csr_array((self.mass, (here, there)), shape=(n, len(values)))
        return conditional_mean(matrix @ np.asarray(values, dtype=np.float64), matrix.sum(axis=1))
