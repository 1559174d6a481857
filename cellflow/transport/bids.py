r"""The auction: transport on a sparse graph to a stated epsilon, from prices that are nearly right.

A source that has unplaced units bids for the target where cost plus price is lowest. It bids as
much as makes its second choice equally good, plus :math:`\epsilon`, and takes the units of lower
bids, whose sources bid again. At the end the plan is within :math:`\epsilon` of the optimum, per
unit of mass. A sequence of decreasing :math:`\epsilon` keeps the prices, so that the last, small
one starts from good prices.

References
----------
Bertsekas, D. P. (1988). The auction algorithm. Annals of Operations Research 14.
Bertsekas, D. P. and Castañon, D. A. (1989). The auction algorithm for the transportation problem.
Annals of Operations Research 20.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

import numpy as np

from cellflow.core._compiled import compiled
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import CouplingError
from cellflow.transport.problem import Arcs

__all__ = ["auction"]


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
    *,
    epsilon: FloatArray,
    max_bids: int,
) -> tuple[IntArray, FloatArray, FloatArray]:
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
    Units on each arc, and potentials `u (n,)`, `v (m,)`: `u + v <= cost` on every arc, and within
    epsilon of equality where anything flows.

    Raises
    ------
    CouplingError
        Not done after `max_bids`.
    """
    start = arcs.start
    source = arcs.source
    target = arcs.target
    price = -v
    n_lots = np.bincount(target, minlength=len(demand))
    first = np.cumsum(n_lots) - n_lots
    for step in epsilon:
        unplaced = supply.copy()
        unsold = demand.copy()
        flow = _bid(
            start, source, target, arcs.cost, first, unplaced, unsold, price, step, max_bids
        )
        if unplaced.any():
            msg = (
                f"The auction between {len(supply):,} and {len(demand):,} cells was not over after"
                f" {max_bids:,} bids (epsilon {step:.3g}). Raise `tol`, or use Exact() if its"
                " matrix fits into memory."
            )
            raise CouplingError(msg)
    return flow, np.minimum.reduceat(arcs.cost + price[target], start[:-1]), -price
