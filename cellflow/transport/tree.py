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

    Parameters
    ----------
    parent, size
        Of each node, and number of nodes below it, itself included; the root has no parent.
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
def _leaving(tree: Tree, s: int, t: int, join: int) -> tuple[int, bool, np.int64]:
    """The node whose arc to its parent leaves, whether it is above `s`, and the units pushed.

    Mass goes from `s` to `t` and back through the tree. Of several arcs without mass left, the last
    on this way, from the join on, leaves: the tree stays strongly feasible.
    """
    units = np.int64(2**62)
    leaving = -1
    on_source_side = True
    a = s
    while a != join:
        if tree.upward[a] and tree.flow[a] < units:
            units = tree.flow[a]
            leaving = a
        a = tree.parent[a]
    a = t
    while a != join:
        if not tree.upward[a] and tree.flow[a] <= units:
            units = tree.flow[a]
            leaving = a
            on_source_side = False
        a = tree.parent[a]
    return leaving, on_source_side, units


@compiled
def _push(tree: Tree, s: int, t: int, join: int, units: int) -> None:
    """Push units from `s` to `t` and back through the tree."""
    a = s
    while a != join:
        tree.flow[a] += -units if tree.upward[a] else units
        a = tree.parent[a]
    a = t
    while a != join:
        tree.flow[a] += units if tree.upward[a] else -units
        a = tree.parent[a]


@compiled
def _hang(tree: Tree, node: int, parent: int) -> None:
    """Move a node, with all below it, to another parent."""
    left = tree.left[node]
    right = tree.right[node]
    if left >= 0:
        tree.right[left] = right
    else:
        tree.child[tree.parent[node]] = right
    if right >= 0:
        tree.left[right] = left
    tree.parent[node] = parent
    tree.left[node] = -1
    tree.right[node] = tree.child[parent]
    if tree.child[parent] >= 0:
        tree.left[tree.child[parent]] = node
    tree.child[parent] = node


@compiled
def _resize(tree: Tree, node: int, join: int, nodes: int) -> None:
    """Add to the sizes of a node and of those above it, below the join."""
    while node != join:
        tree.size[node] += nodes
        node = tree.parent[node]


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
        _hang(tree, node, parent)
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
def _shift(tree: Tree, start: int, skipped: int, step: float, stack: IntArray) -> None:
    """Add to the potentials of a node and of all below it, but for one branch."""
    stack[0] = start
    waiting = 1
    tree.potential[start] += step
    while waiting > 0:
        waiting -= 1
        below = tree.child[stack[waiting]]
        while below >= 0:
            if below != skipped:
                tree.potential[below] += step
                stack[waiting] = below
                waiting += 1
            below = tree.right[below]


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
        join = s
        other = t
        while join != other:
            if tree.size[join] < tree.size[other]:
                join = tree.parent[join]
            else:
                other = tree.parent[other]
        leaving, on_source_side, units = _leaving(tree, s, t, join)
        if units > 0:
            _push(tree, s, t, join, units)
        step = tree.potential[t] - cost[entering] - tree.potential[s]
        top = s if on_source_side else t
        hook = t if on_source_side else s
        moving = tree.size[leaving]
        _resize(tree, tree.parent[leaving], join, -moving)
        _resize(tree, hook, join, moving)
        _turn(tree, top, leaving, hook, entering, units, on_source_side)
        # Only differences of potentials matter, so that the smaller part of the tree is shifted.
        inside = 2 * moving <= root
        step = step if on_source_side == inside else -step
        _shift(tree, top if inside else root, -1 if inside else top, step, stack)
    return False
