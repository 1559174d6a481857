"""The auction that solves transport on a sparse graph, warm-started by prices.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow._typing import FloatArray, IntArray
from cellflow.couplings.base import compiled

__all__ = ["Arcs", "Assigned", "auction"]


@dataclass(frozen=True, eq=False)
class Arcs:
    """A bipartite graph in row order.

    Parameters
    ----------
    shape
        Numbers of sources and targets.
    key
        `source * targets + target` of each arc, increasing, shape `(e,)`.
    cost
        Cost of each arc, shape `(e,)`.
    """

    shape: tuple[int, int]
    key: IntArray
    cost: FloatArray

    @property
    def source(self) -> IntArray:
        """Source of each arc, shape `(e,)`."""
        return self.key // self.shape[1]

    @property
    def target(self) -> IntArray:
        """Target of each arc, shape `(e,)`."""
        return self.key % self.shape[1]

    @property
    def start(self) -> IntArray:
        """First arc of each source and the end, shape `(n + 1,)`."""
        return np.searchsorted(self.key, np.arange(self.shape[0] + 1, dtype=np.int64) * self.shape[1])


@dataclass(frozen=True, eq=False)
class Assigned:
    """Where an auction ended.

    Parameters
    ----------
    flow
        Units on each arc.
    unplaced, unsold
        Units that each source could not place and each target did not sell; both zero unless the graph is infeasible.
    u, v
        Potentials: `u + v <= cost` on every arc, and within epsilon of equality where anything flows.
    """

    flow: IntArray
    unplaced: IntArray
    unsold: IntArray
    u: FloatArray
    v: FloatArray


@compiled
def _bid(start, source, target, cost, unplaced, unsold, price, ceiling, epsilon, max_bids):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Auction units until all are placed or bidders give up; changes `unplaced`, `unsold` and `price`, returns the flow.

    What a source buys of a target is a lot: an arc with a flow and the bid that was paid. A target's price is its cheapest
    unit's. Lots of a target form a linked list; there are only a few.
    """
    n = len(unplaced)
    ask = price.copy()
    flow = np.zeros(len(target), np.int64)
    paid = np.zeros(len(target))
    first = np.full(len(unsold), -1, np.int64)
    following = np.full(len(target), -1, np.int64)
    queue = np.arange(n)
    waiting = np.ones(n, np.bool_)
    head, size, bids = 0, n, 0
    while size > 0 and bids < max_bids:
        i = queue[head]
        head = head + 1 if head + 1 < n else 0
        size -= 1
        waiting[i] = False
        while unplaced[i] > 0:
            chosen, lowest, second = -1, np.inf, ceiling[i]
            for k in range(start[i], start[i + 1]):
                total = cost[k] + price[target[k]]
                if total < second:
                    if total < lowest:
                        if lowest < second:
                            second = lowest
                        lowest, chosen = total, k
                    else:
                        second = total
            if chosen < 0:
                break
            bids += 1
            j = target[chosen]
            offer = price[j] + (second - lowest) + epsilon
            bought = 0
            if unsold[j] > 0 and ask[j] < offer:
                bought = min(unplaced[i], unsold[j])
                unsold[j] -= bought
            while bought < unplaced[i]:
                cheapest, bid, before, previous = -1, offer, -1, -1
                k = first[j]
                while k >= 0:
                    if paid[k] < bid and k != chosen:
                        cheapest, bid, before = k, paid[k], previous
                    previous = k
                    k = following[k]
                if cheapest < 0:
                    break
                units = min(unplaced[i] - bought, flow[cheapest])
                bought += units
                flow[cheapest] -= units
                if flow[cheapest] == 0:
                    if before < 0:
                        first[j] = following[cheapest]
                    else:
                        following[before] = following[cheapest]
                loser = source[cheapest]
                unplaced[loser] += units
                if not waiting[loser]:
                    waiting[loser] = True
                    queue[(head + size) % n] = loser
                    size += 1
            unplaced[i] -= bought
            if flow[chosen] == 0 and bought > 0:
                following[chosen] = first[j]
                first[j] = chosen
            flow[chosen] += bought
            paid[chosen] = offer
            lowest = ask[j] if unsold[j] > 0 else np.inf
            k = first[j]
            while k >= 0:
                lowest = min(lowest, paid[k])
                k = following[k]
            price[j] = lowest
    return flow


def auction(
    arcs: Arcs, supply: IntArray, demand: IntArray, v: FloatArray, *, epsilon: FloatArray, patience: float, max_bids: int
) -> Assigned:
    """Solve transport on a sparse graph to within epsilon.

    Every source places its units where cost plus price is lowest, and bids as much as makes its second choice equally good,
    plus epsilon; whoever is outbid looks again. At the end the plan is within epsilon (per unit of mass) of the optimum on
    this graph. Successive epsilons keep the prices, so that the last, small one finds them nearly right.

    Bertsekas, D. P. (1988). The auction algorithm. Annals of Operations Research 14.
    Bertsekas, D. P. and Castañon, D. A. (1989). The auction algorithm for the transportation problem. Ibid. 20.

    Parameters
    ----------
    arcs
        The graph; every source needs an arc.
    supply, demand
        Whole units, shapes `(n,)` and `(m,)`, positive, of equal sum.
    v
        Potentials of the targets to start from, shape `(m,)`.
    epsilon
        Decreasing.
    patience
        A source gives up when its best offer has become this much worse: the sign of an infeasible graph.
    max_bids
        Per epsilon; what is unplaced by then stays so.
    """
    start, source, target, price = arcs.start, arcs.source, arcs.target, -v
    before = epsilon[0]
    for step in epsilon:
        unplaced, unsold = supply.copy(), demand.copy()
        ceiling = np.minimum.reduceat(arcs.cost + price[target], start[:-1]) + patience * before
        before = step
        flow = _bid(start, source, target, arcs.cost, unplaced, unsold, price, ceiling, step, max_bids)
    return Assigned(flow, unplaced, unsold, np.minimum.reduceat(arcs.cost + price[target], start[:-1]), -price)
