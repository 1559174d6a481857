"""The network simplex for transport on a growing set of arcs.

The basis is a spanning tree of arcs. In a pivot, an arc of negative reduced cost enters, mass is
pushed around the cycle that it closes, and an arc without mass leaves. The tree is kept between
rounds, so that new arcs take few pivots.

Ahuja, R. K., Magnanti, T. L. and Orlin, J. B. (1993). Network Flows, chapter 11.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cellflow.core._compiled import compiled
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Tree"]

BoolArray: TypeAlias = npt.NDArray[np.bool_]

#: Arcs that are read for one pivot, in terms of the root of their number. Large, because a pivot
#: costs far more.
_BLOCK = 4.0
#: Least number of arcs read for one pivot.
_LEAST_BLOCK = 20


class Tree(NamedTuple):
    """A spanning tree of cells, which every pivot changes in place: the basis of the simplex.

    Nodes are the sources `0 ... n - 1`, the targets `n ... n + m - 1` and a root beyond both. At
    first an artificial arc joins every cell with the root, and carries all its mass at a price
    above any real one. An artificial arc that has left the tree never comes back, so that only real
    arcs carry mass at the optimum. Zero flows point to the root (a strongly feasible tree), which
    keeps pivots without gain from repeating for ever.

    A node without a parent, child or neighbour has -1 there.
    """

    parent: IntArray
    size: IntArray  # number of nodes below each, itself included
    arc: IntArray  # that joins a node with its parent, -1 for an artificial one
    upward: BoolArray  # whether this arc leads from the node to its parent
    flow: IntArray  # units on it
    potential: FloatArray  # `cost + potential[source] - potential[target]` is 0 on the tree
    child: IntArray  # the first one
    left: IntArray  # neighbour among the children of one parent
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

    def plan(self) -> tuple[IntArray, IntArray]:
        """Real arcs that carry mass, and how much."""
        nodes = np.flatnonzero((self.arc[:-1] >= 0) & (self.flow[:-1] > 0))
        return self.arc[nodes], self.flow[nodes]

    def solve(
        self, source: IntArray, target: IntArray, cost: FloatArray, *, tol: float, max_pivots: int
    ) -> bool:
        """Pivot until no arc has a reduced cost below `-tol`; False if `max_pivots` are not enough.

        Arcs `source[e] -> target[e]` are given by node, those of earlier calls first.
        """
        block = max(_LEAST_BLOCK, int(_BLOCK * len(cost) ** 0.5))
        ends = (source.astype(np.int32), target.astype(np.int32))
        return bool(_pivot(self, *ends, cost, tol, block, max_pivots))


@compiled
def _entering(
    tree: Tree,
    source: IntArray,
    target: IntArray,
    cost: FloatArray,
    position: int,
    tol: float,
    block: int,
) -> tuple[int, int]:
    """The arc of lowest reduced cost in the first block that has one below `-tol`.

    Blocks start at `position`. Returns the arc, -1 where there is none, and the next position.
    """
    entering = -1
    lowest = -tol
    left = block
    potential = tree.potential
    for _ in range(len(cost)):
        reduced = cost[position] + potential[source[position]] - potential[target[position]]
        if reduced < lowest:
            lowest = reduced
            entering = position
        position += 1
        if position == len(cost):
            position = 0
        left -= 1
        if left == 0:
            if entering >= 0:
                break
            left = block
    return entering, position


@compiled
def _push(tree: Tree, s: int, t: int) -> tuple[int, int, int, np.int64]:
    """Push as many units as fit from `s` to `t` and back through the tree.

    Returns the node where the ways of both to the root join, the node whose arc to its parent
    leaves, whether it is above `s` (0) or `t` (1), and the units. Of several arcs without mass
    left, the last on this way, from the join on, leaves: the tree stays strongly feasible.
    """
    join = s
    other = t
    while join != other:
        if tree.size[join] < tree.size[other]:
            join = tree.parent[join]
        else:
            other = tree.parent[other]
    units = np.int64(2**62)
    leaving = -1
    leaving_side = 0
    for side in range(2):
        a = t if side else s
        while a != join:
            if tree.upward[a] != side and tree.flow[a] < units + side:
                units = tree.flow[a]
                leaving = a
                leaving_side = side
            a = tree.parent[a]
    for side in range(2 if units > 0 else 0):
        a = t if side else s
        while a != join:
            tree.flow[a] += -units if tree.upward[a] != side else units
            a = tree.parent[a]
    return join, leaving, leaving_side, units


@compiled
def _turn(
    tree: Tree,
    top: int,
    leaving: int,
    hook: int,
    arc: int,
    units: int,
    upward: bool,  # noqa: FBT001 (numba)
) -> None:
    """Hang the part below the leaving arc on `hook`, by its node `top`; turn its parents."""
    moving = tree.size[leaving]
    above = np.int32(0)
    node = top
    parent = hook
    while True:
        old_parent = tree.parent[node]
        old_arc = tree.arc[node]
        old_units = tree.flow[node]
        old_upward = tree.upward[node]
        old_size = tree.size[node]
        tree.size[node] = moving - above
        above = old_size
        left = tree.left[node]
        right = tree.right[node]
        if left >= 0:
            tree.right[left] = right
        else:
            tree.child[old_parent] = right
        if right >= 0:
            tree.left[right] = left
        tree.parent[node] = parent
        tree.left[node] = -1
        tree.right[node] = tree.child[parent]
        if tree.child[parent] >= 0:
            tree.left[tree.child[parent]] = node
        tree.child[parent] = node
        tree.arc[node] = arc
        tree.flow[node] = units
        tree.upward[node] = upward
        if node == leaving:
            break
        parent = node
        node = old_parent
        arc = old_arc
        units = old_units
        upward = not old_upward


@compiled
def _pivot(
    tree: Tree,
    source: IntArray,
    target: IntArray,
    cost: FloatArray,
    tol: float,
    block: int,
    max_pivots: int,
) -> bool:
    """Primal simplex; False if it has not ended after `max_pivots`."""
    stack = np.empty(len(tree.potential), np.int32)
    root = len(tree.potential) - 1
    position = 0
    for _ in range(max_pivots):
        entering, position = _entering(tree, source, target, cost, position, tol, block)
        if entering < 0:
            return True
        s = source[entering]
        t = target[entering]
        join, leaving, side, units = _push(tree, s, t)
        step = tree.potential[t] - cost[entering] - tree.potential[s]
        top = t if side else s
        hook = s if side else t
        moving = tree.size[leaving]
        for sign in (-1, 1):
            node = hook if sign > 0 else tree.parent[leaving]
            while node != join:
                tree.size[node] += sign * moving
                node = tree.parent[node]
        _turn(tree, top, leaving, hook, entering, units, side == 0)
        # Only differences of potentials matter, so that the smaller part of the tree is shifted.
        inside = 2 * moving <= root
        step = step if inside == (side == 0) else -step
        skipped = -1 if inside else top
        stack[0] = top if inside else root
        waiting = 1
        tree.potential[stack[0]] += step
        while waiting > 0:
            waiting -= 1
            below = tree.child[stack[waiting]]
            while below >= 0:
                if below != skipped:
                    tree.potential[below] += step
                    stack[waiting] = below
                    waiting += 1
                below = tree.right[below]
    return False
