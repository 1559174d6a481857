"""The network simplex for transport on a growing set of arcs.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from cellflow.core._compiled import compiled
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Tree"]

BoolArray: TypeAlias = npt.NDArray[np.bool_]

#: Arcs that are looked at for one pivot, in terms of the root of their number. Large, because a
#: pivot costs far more.
_BLOCK = 4.0


@dataclass(frozen=True, eq=False)
class Tree:
    """A spanning tree of cells, which every pivot changes in place: the basis of the simplex.

    Nodes are the sources `0 ... n - 1`, the targets `n ... n + m - 1` and a root beyond both. At
    first every cell hangs on the root by an artificial arc, which carries all its mass at a price
    above any real one; whatever has left the tree never comes back, so that at the optimum over all
    pairs only real arcs carry mass. Zero flows point to the root (a strongly feasible tree), which
    is what keeps pivots without gain from going round in circles.

    Parameters
    ----------
    parent, size
        Of each node, and how many nodes hang below it, itself among them; the root has no parent.
    arc
        The arc that joins a node with its parent, -1 for an artificial one.
    upward
        Whether this arc leads from the node to its parent.
    flow
        Units on it.
    potential
        Such that `cost + potential[source] - potential[target]` is 0 on the tree.
    child, left, right
        First child, and neighbours among the children of one parent; -1 for none.
    """

    parent: IntArray
    size: IntArray
    arc: IntArray
    upward: BoolArray
    flow: IntArray
    potential: FloatArray
    child: IntArray
    left: IntArray
    right: IntArray

    @classmethod
    def start(
        cls, supply: IntArray, demand: IntArray, u: FloatArray, v: FloatArray, price: float
    ) -> Tree:
        """Hang all cells on the root, with the potentials `u + price` and `v + price`."""
        n = len(supply)
        count = len(supply) + len(demand)
        nodes = np.arange(count, dtype=np.int32)
        none = np.full(1, -1, np.int32)
        return cls(
            parent=np.append(np.full(count, count, np.int32), none),
            size=np.append(np.ones(count, np.int32), np.int32(count + 1)),
            arc=np.full(count + 1, -1, np.int64),
            upward=np.arange(count + 1) < n,
            flow=np.concatenate([supply, demand, [0]]).astype(np.int64),
            potential=np.concatenate([-(u + price), v + price, [0.0]]),
            child=np.append(np.full(count, -1, np.int32), np.int32(0)),
            left=np.concatenate([none, nodes[:-1], none]),
            right=np.concatenate([nodes[1:], none, none]),
        )

    def unplaced(self) -> tuple[IntArray, IntArray]:
        """Nodes whose mass an artificial arc still carries, and how much of it."""
        nodes = np.flatnonzero((self.arc[:-1] < 0) & (self.flow[:-1] > 0))
        return nodes, self.flow[nodes]

    def plan(self) -> tuple[IntArray, IntArray]:
        """Real arcs that carry mass, and how much."""
        nodes = np.flatnonzero((self.arc[:-1] >= 0) & (self.flow[:-1] > 0))
        return self.arc[nodes], self.flow[nodes]

    def solve(
        self, source: IntArray, target: IntArray, cost: FloatArray, *, tol: float, max_pivots: int
    ) -> bool:
        """Pivot until no arc has a reduced cost below `-tol`; say whether that was reached in `max_pivots`.

        Arcs `source[e] -> target[e]` are given by node. Arcs that were there at an earlier call
        must keep their numbers.
        """
        block = max(20, int(_BLOCK * len(cost) ** 0.5))
        tree = (
            self.parent,
            self.size,
            self.arc,
            self.upward,
            self.flow,
            self.potential,
            self.child,
            self.left,
            self.right,
        )
        done = _pivot(
            source.astype(np.int32), target.astype(np.int32), cost, *tree, tol, block, max_pivots
        )
        return bool(done)


@compiled
def _pivot(
    source: IntArray,
    target: IntArray,
    cost: FloatArray,
    parent: IntArray,
    size: IntArray,
    arc: IntArray,
    upward: BoolArray,
    flow: IntArray,
    potential: FloatArray,
    child: IntArray,
    left: IntArray,
    right: IntArray,
    tol: float,
    block: int,
    max_pivots: int,
) -> bool:
    """Primal simplex: the best arc of a block enters, the first arc of its cycle to run dry leaves."""
    stack = np.empty(len(potential), np.int32)
    root = len(potential) - 1
    n_arcs = len(cost)
    position = 0
    for _ in range(max_pivots):
        entering = -1
        lowest = -tol
        left_in_block = block
        for _ in range(n_arcs):
            reduced = cost[position] + potential[source[position]] - potential[target[position]]
            if reduced < lowest:
                lowest = reduced
                entering = position
            position += 1
            if position == n_arcs:
                position = 0
            left_in_block -= 1
            if left_in_block == 0:
                if entering >= 0:
                    break
                left_in_block = block
        if entering < 0:
            return True
        s = source[entering]
        t = target[entering]
        a = s
        b = t
        while a != b:
            if size[a] < size[b]:
                a = parent[a]
            else:
                b = parent[b]
        join = a
        # Mass goes s -> t and back through the tree. Of several arcs that run dry the last one on
        # this way, from the join on, leaves: the tree stays strongly feasible.
        units = np.int64(2**62)
        leaving = -1
        on_source_side = True
        a = s
        while a != join:
            if upward[a] and flow[a] < units:
                units = flow[a]
                leaving = a
            a = parent[a]
        a = t
        while a != join:
            if not upward[a] and flow[a] <= units:
                units = flow[a]
                leaving = a
                on_source_side = False
            a = parent[a]
        if units > 0:
            a = s
            while a != join:
                flow[a] += -units if upward[a] else units
                a = parent[a]
            a = t
            while a != join:
                flow[a] += units if upward[a] else -units
                a = parent[a]
        # The part below the leaving arc is hung up again by its end of the entering arc.
        top, hook = (s, t) if on_source_side else (t, s)
        shift = potential[t] - cost[entering] - potential[s]
        if not on_source_side:
            shift = -shift
        moving = size[leaving]
        above = np.int32(0)
        a = parent[leaving]
        while a != join:
            size[a] -= moving
            a = parent[a]
        a = hook
        while a != join:
            size[a] += moving
            a = parent[a]
        node = top
        new_parent = hook
        new_arc = entering
        new_flow = units
        new_upward = on_source_side
        while True:
            above, size[node] = size[node], moving - above
            old_parent = parent[node]
            old_arc = arc[node]
            old_flow = flow[node]
            old_upward = upward[node]
            if left[node] >= 0:
                right[left[node]] = right[node]
            else:
                child[old_parent] = right[node]
            if right[node] >= 0:
                left[right[node]] = left[node]
            parent[node], arc[node], flow[node], upward[node] = (
                new_parent,
                new_arc,
                new_flow,
                new_upward,
            )
            left[node], right[node] = -1, child[new_parent]
            if child[new_parent] >= 0:
                left[child[new_parent]] = node
            child[new_parent] = node
            if node == leaving:
                break
            new_parent = node
            new_arc = old_arc
            new_flow = old_flow
            new_upward = not old_upward
            node = old_parent
        # Only differences of potentials matter, so that the smaller part of the tree is shifted.
        start = top
        skipped = -1
        if 2 * moving > root:
            start = root
            skipped = top
            shift = -shift
        stack[0], waiting = start, 1
        potential[start] += shift
        while waiting > 0:
            waiting -= 1
            below = child[stack[waiting]]
            while below >= 0:
                if below != skipped:
                    potential[below] += shift
                    stack[waiting] = below
                    waiting += 1
                below = right[below]
    return False
