"""The auction as an engine of column generation: accurate to a stated part of the gap.

The faster engine where a plan within a thousandth of the optimum is enough.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.transport.bids import auction
from cellflow.transport.columns import Checked, Restricted, Start
from cellflow.transport.problem import Arcs, Problem

__all__ = ["Auction"]

#: First epsilon, relative to what the cost is in doubt by.
_COARSE = 0.05
#: Ratio of successive epsilons.
_STEP = 6.0
#: Last epsilon, in terms of the cost times the gap that is asked for.
_FINE = 0.1
#: What `_FINE` is multiplied by when no arc is missing and the gap is still too large.
_FINER = 0.3
#: Bids per source and epsilon after which an auction has failed; a hundred is usual.
_MAX_BIDS = 20_000
#: Arcs per cell that a round adds.
_ADDED = 5
#: Arcs are added below this reduced cost, in terms of the last epsilon.
_BELOW = -0.2
#: Rounding relative to the largest possible cost: nothing is resolved below.
_ROUNDING = 1e-12
#: Passes are in float64 once their rounding error is more than so much of the gap asked for.
_DOUBLE = 0.1


class Auction:
    """Successive auctions of one problem; each starts from the potentials of the one before.

    Parameters
    ----------
    problem
        What to solve.
    start
        Of which the potentials of the targets are used.
    gap
        The accuracy that is asked for.
    """

    ratio: ClassVar[int] = 4
    far: ClassVar[int] = 4

    def __init__(self, problem: Problem, start: Start, gap: float) -> None:
        self._problem = problem
        self._gap = gap
        self._resolution = max(_ROUNDING * problem.largest, 1e-200)
        self._v = start.v
        self._cost = start.cost
        self._doubt = start.cost
        self._fine = _FINE * gap
        self._bound = 0.0
        self._dtype: type[np.floating] = np.float32
        #: Potentials of the sources that are feasible with those of the last auction.
        self._lower: FloatArray | None = None

    def solve(self, arcs: Arcs) -> Restricted:
        """Find a plan on these arcs, within the last epsilon of the best one."""
        problem = self._problem
        if self._lower is not None:
            # Lowered potentials of the sources allow higher ones of the targets, so that what was
            # overpriced sells again.
            self._v = np.full(len(problem.y), np.inf)
            np.minimum.at(self._v, arcs.target, arcs.cost - self._lower[arcs.source])
        last = max(self._fine * self._cost, 0.1 * self._resolution)
        coarse = max(_COARSE * self._doubt, last)
        steps = 1 + int(np.ceil(np.log(coarse / last) / np.log(_STEP)))
        return Restricted(
            *auction(
                arcs,
                problem.supply,
                problem.demand,
                self._v,
                epsilon=np.geomspace(coarse, last, steps),
                max_bids=_MAX_BIDS * len(problem.x),
            )
        )

    def check(self, found: Restricted, cost: float) -> Checked:
        """Bound the optimum from below, the rounding of the pass included."""
        a = self._problem.a
        b = self._problem.b
        limit = _BELOW * self._fine * cost
        priced = self._problem.price(
            found.u,
            found.v,
            rows=_ADDED,
            columns=_ADDED,
            row_limit=limit,
            col_limit=limit,
            dtype=self._dtype,
        )
        # The potentials of either side can be lowered to make all of them feasible.
        self._lower = found.u + priced.row_min
        excess = np.where(priced.col_arc[:, 0] >= 0, priced.col_value[:, 0], limit)
        by_rows = a @ (self._lower - priced.error) + b @ found.v
        by_columns = a @ found.u + b @ (found.v + excess) - priced.error.max()
        bound = float(max(by_rows, by_columns))
        self._bound = max(self._bound, bound)
        self._cost = cost
        self._doubt = max(cost, cost - bound)
        if a @ priced.error > _DOUBLE * self._gap * cost:
            self._dtype = np.float64
        gap = max(0.0, 1.0 - self._bound / cost) if cost > self._resolution else 0.0
        return Checked(gap, found.u, found.v, priced.keys)

    def refine(self) -> bool:
        """Lower the last epsilon."""
        self._fine *= _FINER
        return True
