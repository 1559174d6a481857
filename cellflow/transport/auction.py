r"""The auction as an engine of column generation: accurate to a stated part of the gap.

The faster engine where a plan within a thousandth of the optimum is enough. A source that has
unplaced units bids for the target where cost plus price is lowest. It bids as much as makes its
second choice equally good, plus :math:`\epsilon`, and takes the units of lower bids, whose sources
bid again. At the end the plan is within :math:`\epsilon` of the optimum, per unit of mass. A
sequence of decreasing :math:`\epsilon` keeps the prices, so that the last, small one starts from
good prices.

References
----------
Bertsekas, D. P. (1988). The auction algorithm. Annals of Operations Research 14.
Bertsekas, D. P. and Castañon, D. A. (1989). The auction algorithm for the transportation problem.
Annals of Operations Research 20.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cellflow.core._compiled import compiled
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import CouplingError
from cellflow.transport.columns import Checked, Restricted, Start
from cellflow.transport.problem import Arcs, Problem

__all__ = ["Auction", "auction"]

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


@compiled
def _settle(
    heap: IntArray, place: IntArray, paid: FloatArray, first: int, size: int, p: int
) -> None:
    """Restore the order of a heap, `size` entries from `first` on, after a new bid at `p`."""
    lot = heap[first + p]
    while p > 0:
        above = (p - 1) // 2
        if paid[heap[first + above]] <= paid[lot]:
            break
        heap[first + p] = heap[first + above]
        place[heap[first + p]] = p
        p = above
    while 2 * p + 1 < size:
        below = 2 * p + 1
        if below + 1 < size and paid[heap[first + below + 1]] < paid[heap[first + below]]:
            below += 1
        if paid[lot] <= paid[heap[first + below]]:
            break
        heap[first + p] = heap[first + below]
        place[heap[first + p]] = p
        p = below
    heap[first + p] = lot
    place[lot] = p


@compiled
def _bid(
    start: IntArray,
    source: IntArray,
    target: IntArray,
    cost: FloatArray,
    first: IntArray,
    unplaced: IntArray,
    unsold: IntArray,
    price: FloatArray,
    epsilon: float,
    max_bids: int,
) -> IntArray:
    """Auction units until all are placed, and return the flow; changes the other arrays of units.

    What a source holds of a target is a lot: an arc with a flow and the bid that was paid. The lots
    of a target form a heap, cheapest on top, and a target's price is that of its cheapest unit,
    sold or unsold. One function, because split into smaller ones it takes a fifth longer.
    """
    n = len(unplaced)
    lots = len(target)
    ask = price.copy()
    flow = np.zeros(lots, np.int64)
    paid = np.zeros(lots)
    heap = np.empty(lots, np.int64)
    place = np.empty(lots, np.int64)
    held = np.zeros(len(unsold), np.int64)
    queue = np.arange(n)
    waiting = np.ones(n, np.bool_)
    head = 0
    size = n
    bids = 0
    while size > 0 and bids < max_bids:
        i = queue[head]
        head = (head + 1) % n
        size -= 1
        waiting[i] = False
        while unplaced[i] > 0 and bids < max_bids:
            chosen = -1
            lowest = np.inf
            second = np.inf
            for k in range(start[i], start[i + 1]):
                total = cost[k] + price[target[k]]
                if total < lowest:
                    second = lowest
                    lowest = total
                    chosen = k
                elif total < second:
                    second = total
            bids += 1
            j = target[chosen]
            offer = price[j] + epsilon
            if second < np.inf:
                offer += second - lowest
            bought = 0
            if unsold[j] > 0 and ask[j] < offer:
                bought = min(unplaced[i], unsold[j])
                unsold[j] -= bought
            while bought < unplaced[i] and held[j] > 0:
                lot = heap[first[j]]
                if paid[lot] >= offer:
                    break
                if lot == chosen:
                    paid[lot] = offer
                    _settle(heap, place, paid, first[j], held[j], 0)
                    continue
                units = min(unplaced[i] - bought, flow[lot])
                bought += units
                flow[lot] -= units
                if flow[lot] == 0:
                    held[j] -= 1
                    if held[j] > 0:
                        heap[first[j]] = heap[first[j] + held[j]]
                        _settle(heap, place, paid, first[j], held[j], 0)
                loser = source[lot]
                unplaced[loser] += units
                if not waiting[loser]:
                    waiting[loser] = True
                    queue[(head + size) % n] = loser
                    size += 1
            unplaced[i] -= bought
            if bought > 0:
                if flow[chosen] == 0:
                    place[chosen] = held[j]
                    heap[first[j] + held[j]] = chosen
                    held[j] += 1
                flow[chosen] += bought
                paid[chosen] = offer
                _settle(heap, place, paid, first[j], held[j], place[chosen])
            price[j] = np.inf if held[j] == 0 else paid[heap[first[j]]]
            if unsold[j] > 0:
                price[j] = min(price[j], ask[j])
    return flow


def auction(
    arcs: Arcs,
    supply: IntArray,
    demand: IntArray,
    v: FloatArray,
    epsilon: FloatArray,
    *,
    max_bids: int,
) -> Restricted:
    """Solve transport on a sparse graph to within epsilon per unit of mass.

    Parameters
    ----------
    arcs
        The graph; it must be feasible.
    supply, demand
        Whole units, shapes `(n,)` and `(m,)`, positive, of equal sum.
    v
        Potentials of the targets to start from, shape `(m,)`.
    epsilon
        Decreasing; one auction each.
    max_bids
        Per epsilon.

    Returns
    -------
    A plan whose potentials have `u + v <= cost` on every arc, and within epsilon of equality where
    anything flows.

    Raises
    ------
    CouplingError
        Not done after `max_bids`.
    """
    start = arcs.start
    target = arcs.target
    price = -v
    n_lots = np.bincount(target, minlength=len(demand))
    first = np.cumsum(n_lots) - n_lots
    for step in epsilon:
        unplaced = supply.copy()
        unsold = demand.copy()
        graph = (start, arcs.source, target, arcs.cost, first)
        flow = _bid(*graph, unplaced, unsold, price, step, max_bids)
        if unplaced.any():
            msg = (
                f"The auction between {len(supply):,} and {len(demand):,} cells was not over after"
                f" {max_bids:,} bids (epsilon {step:.3g}). Raise `tol`, or use Exact() if its"
                " matrix fits into memory."
            )
            raise CouplingError(msg)
    return Restricted(flow, np.minimum.reduceat(arcs.cost + price[target], start[:-1]), -price)


class Auction:
    """Successive auctions of one problem; each starts from the potentials of the one before.

    The first starts from those of the targets in `start`.
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
        epsilon = np.geomspace(coarse, last, steps)
        bids = _MAX_BIDS * len(problem.x)
        return auction(arcs, problem.supply, problem.demand, self._v, epsilon, max_bids=bids)

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
