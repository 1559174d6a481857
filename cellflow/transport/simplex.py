"""The simplex as an engine of column generation: exact on its arcs, to rounding.

The faster engine where the optimum itself is needed: a distance, or potentials that prove it.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

from math import inf
from typing import ClassVar

import numpy as np

from cellflow.transport.columns import Checked, Restricted, Start
from cellflow.transport.problem import Arcs, Problem
from cellflow.transport.tree import Tree

__all__ = ["Simplex"]

#: Pivots in one round, per cell and in addition to that.
_PIVOTS_PER_CELL = 1000
_MORE_PIVOTS = 1_000_000
#: Arcs per cell that a round adds.
_ADDED = 4
#: Gaps above this, relative to the cost, are found in float32; it cannot certify smaller ones.
_COARSE = 1e-5
#: Reduced costs in float32 err by less than so much of the largest cost.
_FLOAT32 = 1e-6
#: Rounding in float64, relative to the largest possible cost.
_ROUNDING = 1e-13


class Simplex:
    """The network simplex on a growing set of arcs of one problem, exact for any `gap`."""

    ratio: ClassVar[int] = 2
    far: ClassVar[int] = 8

    def __init__(self, problem: Problem, start: Start, gap: float) -> None:
        self._problem = problem
        self._gap = gap
        self._tol = max(_ROUNDING * problem.largest, 1e-200)
        # Above any real cost: two cells that are joined with the root are better joined directly.
        above = problem.largest + max(0.0, -float(start.u.min() + start.v.min()))
        self._tree = Tree.start(problem.supply, problem.demand, start.u, start.v, above)
        self._finished = True
        self._exact = False  # whether the last pass was in float64, and whether the next one is
        self._next_exact = False
        self._bound = -inf

    def solve(self, arcs: Arcs) -> Restricted:
        """Pivot until the plan on these arcs is optimal."""
        n, m = arcs.shape
        order = slice(None) if arcs.number is None else np.argsort(arcs.number)
        source = arcs.source[order]
        target = n + arcs.target[order]
        self._finished = self._tree.solve(
            source,
            target,
            arcs.cost[order],
            tol=self._tol,
            max_pivots=_PIVOTS_PER_CELL * (n + m) + _MORE_PIVOTS,
        )
        potential = self._tree.potential
        # Only sums of both matter; small ones lose nothing in float32.
        shift = np.median(potential[:n])
        flow = np.zeros(len(arcs), np.int64)
        used, units = self._tree.plan()
        flow[used] = units
        if arcs.number is not None:
            flow = flow[arcs.number]
        return Restricted(flow, shift - potential[:n], potential[n : n + m] - shift)

    def check(self, found: Restricted, cost: float) -> Checked:
        """Bound the optimum from below, the rounding of a pass in float32 included."""
        problem = self._problem
        self._exact = self._next_exact
        complete = self._finished and found.flow.sum() == problem.supply.sum()
        limit = -self._tol if self._exact else -_FLOAT32 * problem.largest
        priced = problem.price(
            found.u,
            found.v,
            rows=_ADDED,
            columns=_ADDED,
            row_limit=limit,
            col_limit=limit,
            dtype=np.float64 if self._exact else np.float32,
        )
        # Lowered by what is missing, the potentials are feasible.
        u = found.u + np.minimum(priced.row_min, 0.0)
        bound = float(problem.a @ u + problem.b @ found.v)
        if self._exact:
            bound = max(self._bound, bound)
            self._bound = bound
        gap = max(0.0, cost - bound - self._tol) / max(cost, self._tol) if complete else inf
        if not self._exact:
            self._next_exact = gap <= max(_COARSE, self._gap)
            gap = max(gap + float(problem.a @ priced.error) / max(cost, self._tol), _COARSE)
        return Checked(gap, u, found.v, priced.keys if self._finished else priced.keys[:0])

    def refine(self) -> bool:
        """Price in float64 from now on."""
        self._next_exact = True
        return self._finished and not self._exact
