"""Exact transport between two clouds: its cost, and the potentials that prove it."""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

import numpy as np

from cellflow.core._clouds import Statistic
from cellflow.core._random import stream, systematic
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import CouplingError
from cellflow.transport._mass import monotone, whole_units

__all__ = ["solve", "solve_line"]

logger = logging.getLogger("cellflow")

#: Up to this many pairs, the dense solver of POT is as fast, and needs no compiled code.
_DENSE_PAIRS = 250_000
#: Up to this many pairs, all of them are arcs of the sparse solver.
_ALL_PAIRS = 300**2
#: How many times larger a cloud is than the subsample that its first potentials come from.
_RATIO = 2
#: Arcs per cell: the first ones, and what a round adds.
_FIRST = 12
_ADDED = 4
#: The certified gap, relative to the cost, at which a solve ends, and the one at which a
#: subsample's does.
_GAP = 1e-9
_ROUGH_GAP = 1e-3
#: Gaps above it, relative to the cost, are looked for in float32, whose reduced costs err by less
#: than so much of the largest.
_COARSE = 1e-5
_FLOAT32 = 1e-6
#: What must be certified in the end, when rounding allows no more.
_ACCEPTED_GAP = 1e-6
#: Rounds of new arcs; four are usual.
_ROUNDS = 60
_ROUGH_ROUNDS = 6
#: Complete plans between cells that found no partner among their arcs.
_RESCUES = 4
#: Rounding relative to the largest possible cost.
_ROUNDING = 1e-13
#: The limit of POT's pivots; its default leaves the plan a few percent short on thousands of cells.
_MAX_ITER = 10_000_000
#: Largest dense cost matrix.
_MAX_BYTES = 8 * 2**30


def solve(x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, *, p: int) -> Statistic:
    r"""Find the least mean cost :math:`\sum_{ij} \pi_{ij} \|x_i - y_j\|^p`, and potentials that prove it.

    The potentials `u (n,)` and `v (m,)` are feasible, `u_i + v_j` is at most the cost of the pair,
    and `a @ u + b @ v` is the mean cost, both to rounding. They are the derivatives of the cost by
    the weights, up to a constant.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`.
    a, b
        Weights, positive, of sum one.
    p
        1 or 2.

    Raises
    ------
    CouplingError
        A solver that did not finish.
    """
    if x.shape[1] == 1:
        return solve_line(x[:, 0], y[:, 0], a, b, p=p)
    if len(x) * len(y) <= _DENSE_PAIRS:
        return _dense(x, y, a, b, p)
    given = (x, y)
    centre = b @ y
    x = x - centre
    y = y - centre
    # A power of two, which takes no digits.
    unit = (
        2.0
        ** math.frexp(float(max(np.linalg.norm(x, axis=1).max(), np.linalg.norm(y, axis=1).max())))[
            1
        ]
    )
    x = x / unit
    y = y / unit
    rng = stream(0)  # which arcs are tried first; the result is the optimum either way
    supply, demand = whole_units(a, b)
    # Weights that round to no unit at all carry no mass, but have potentials.
    rows, columns = (rng.permutation(np.flatnonzero(units)) for units in (supply, demand))
    found = _sparse(
        x[rows], y[columns], supply[rows], demand[columns], p, rng, gap=_GAP, rounds=_ROUNDS
    )
    if not found.gap <= _ACCEPTED_GAP:
        return _dense(*given, a, b, p)
    u = np.empty(len(x))
    v = np.empty(len(y))
    u[rows], v[columns] = found.u, found.v
    _extend(x, y[columns], found.v, u, supply == 0, p)
    _extend(y, x[rows], found.u, v, demand == 0, p)
    scale = unit**p
    return Statistic(scale * found.cost, scale * u, scale * v)


def solve_line(x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, *, p: int) -> Statistic:
    """Solve transport on a line, positions `(n,)` and `(m,)`: whatever the cost, convex in the distance, order is kept."""
    rows = np.argsort(x, kind="stable")
    columns = np.argsort(y, kind="stable")
    i, j, mass = _staircase(a[rows], b[columns])
    x = x[rows]
    y = y[columns]
    cost = float(mass @ np.abs(x[i] - y[j]) ** p)
    # Along the staircase of pairs, one end at a time moves on; the change of cost is the change of
    # its potential.
    step = np.diff(np.abs(x[i] - y[j]) ** p)
    moves_x = np.diff(i) > 0
    along_x = np.concatenate([[0.0], np.cumsum(step * moves_x)])
    along_y = np.concatenate([[0.0], np.cumsum(step * ~moves_x)])
    u = np.empty(len(x))
    v = np.empty(len(y))
    u[i], v[j] = along_x, along_y + np.abs(x[0] - y[0]) ** p
    found_u = np.empty(len(x))
    found_v = np.empty(len(y))
    found_u[rows], found_v[columns] = u, v
    return Statistic(cost, found_u, found_v)


def _staircase(a: FloatArray, b: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of the north-west corner rule, `n + m - 1` of them: from each to the next, one of both ends moves on by one."""
    ends = np.cumsum(a)
    other_ends = np.cumsum(b)
    ends = ends / ends[-1]
    other_ends = other_ends / other_ends[-1]
    order = np.argsort(np.concatenate([ends[:-1], other_ends[:-1]]), kind="stable")
    is_x = order < len(a) - 1
    i, j = (np.concatenate([[0], np.cumsum(moves)]) for moves in (is_x, ~is_x))
    cuts = np.concatenate([[0.0], np.concatenate([ends[:-1], other_ends[:-1]])[order], [1.0]])
    return i, j, np.diff(cuts)


def _dense(x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, p: int) -> Statistic:
    """Solve on the matrix of all costs, by POT."""
    n_bytes = 8 * len(x) * len(y)
    if n_bytes > _MAX_BYTES:
        msg = (
            f"Exact transport between {len(x):,} and {len(y):,} cells was not certified on few"
            f" arcs, and its cost matrix of {n_bytes / 2**30:.1f} GiB is above the limit of"
            f" {_MAX_BYTES / 2**30:.0f}; draw fewer cells."
        )
        raise CouplingError(msg)
    import ot
    from scipy.spatial.distance import cdist

    # By differences, not by products: coinciding cells are at distance zero, to the last bit.
    cost = cdist(x, y, "euclidean" if p == 1 else "sqeuclidean")
    value, log = ot.emd2(a, b, cost, numItermax=_MAX_ITER, return_matrix=False, log=True)
    if log["warning"] is not None:
        msg = (
            f"Exact transport between {len(x)} and {len(y)} cells did not finish: {log['warning']}"
        )
        raise CouplingError(msg)
    return Statistic(float(value), np.asarray(log["u"]), np.asarray(log["v"]))


class _Certified(NamedTuple):
    """A complete plan's mean cost, potentials that are feasible to rounding, and how far apart both bounds are."""

    cost: float
    u: FloatArray
    v: FloatArray
    gap: float


def _sparse(
    x: FloatArray,
    y: FloatArray,
    supply: IntArray,
    demand: IntArray,
    p: int,
    rng: np.random.Generator,
    *,
    gap: float,
    rounds: int,
) -> _Certified:
    """Generate arcs until the simplex on them is certified to `gap` by the reduced costs of all pairs."""
    from cellflow.transport.prices import price
    from cellflow.transport.simplex import Tree

    n = len(x)
    m = len(y)
    total = supply.sum()
    a = supply / total
    b = demand / total
    u: FloatArray
    v: FloatArray
    keys: IntArray
    if n * m <= _ALL_PAIRS:
        u = np.zeros(n)
        v = np.zeros(m)
        keys = np.arange(n * m)
    else:
        u, v, keys = _first_arcs(x, y, supply, demand, p, rng)
    cost = _costs(x, y, keys, p)
    largest = float(np.linalg.norm(x, axis=1).max() + np.linalg.norm(y, axis=1).max()) ** p
    tol = max(_ROUNDING * largest, 1e-200)
    # Above any detour: two cells that hang on the root are always better served by each other.
    tree = Tree.start(supply, demand, u, v, largest + max(0.0, -float(u.min() + v.min())))
    value = math.inf
    bound = -math.inf
    found = math.inf
    exact = False
    for round_ in range(rounds):
        done = tree.solve(
            keys // m, n + keys % m, cost, tol=tol, max_pivots=1000 * (n + m) + 1_000_000
        )
        shift = np.median(tree.potential[:n])
        u = shift - tree.potential[:n]
        v = tree.potential[n : n + m] - shift
        arcs, flow = tree.plan()
        unplaced, units = tree.unplaced()
        value = float(flow @ cost[arcs] / total)
        exact = found <= _COARSE
        priced = price(
            x, y, u, v, p=p, keep=_ADDED, limit=-tol if exact else -_FLOAT32 * largest, exact=exact
        )
        # Lowered by what is missing, the potentials are feasible, and bound the optimum from below.
        u = u + np.minimum(priced.row_min, 0.0)
        lower = float(a @ u + b @ v)
        bound = max(bound, lower) if exact else bound
        found = (
            max(0.0, value - (bound if exact else lower) - tol) / max(value, tol)
            if not len(unplaced)
            else math.inf
        )
        logger.debug(
            "%d x %d cells, round %d: cost %.9g, gap %.2g, %d arcs",
            n,
            m,
            round_,
            value,
            found,
            len(keys),
        )
        if not done or (found <= gap and (exact or gap > _COARSE)):
            break
        new = [priced.keys]
        if len(unplaced):
            new += _rescues(x, y, unplaced, units, rng)
        missing = np.unique(np.concatenate(new))
        missing = missing[~np.isin(missing, keys)]
        if not len(missing):
            if exact:
                break
            found = 0.0  # as far as float32 can tell
        keys = np.concatenate([keys, missing])
        cost = np.concatenate([cost, _costs(x, y, missing, p)])
    return _Certified(value, u, v, found if exact else math.inf)


def _first_arcs(
    x: FloatArray,
    y: FloatArray,
    supply: IntArray,
    demand: IntArray,
    p: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Solve a subsample, extend its potentials to all cells, and take the arcs of smallest reduced cost under them."""
    from cellflow.transport.prices import price

    size = max(len(x), len(y)) // _RATIO
    (rows, drawn), (columns, also_drawn) = _sample(supply, size, rng), _sample(demand, size, rng)
    few = _sparse(
        x[rows], y[columns], drawn, also_drawn, p, rng, gap=_ROUGH_GAP, rounds=_ROUGH_ROUNDS
    )
    v = price(y, x[rows], np.zeros(len(y)), few.u, p=p, exact=False).row_min
    u = price(x, y, np.zeros(len(x)), v, p=p, exact=False).row_min
    return u, v, np.unique(price(x, y, u, v, p=p, keep=_FIRST, exact=False).keys)


def _sample(units: IntArray, size: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Draw `size` times by mass, systematically: the cells drawn, and how often."""
    return np.unique(systematic(units, size, rng), return_counts=True)


def _rescues(
    x: FloatArray, y: FloatArray, unplaced: IntArray, units: IntArray, rng: np.random.Generator
) -> list[IntArray]:
    """Arcs of complete plans between the cells without a partner, in their order along random directions."""
    is_source = unplaced < len(x)
    rows = unplaced[is_source]
    columns = unplaced[~is_source] - len(x)
    found: list[IntArray] = []
    for _ in range(_RESCUES):
        direction = rng.standard_normal(x.shape[1])
        order = np.argsort(x[rows] @ direction)
        other_order = np.argsort(y[columns] @ direction)
        i, j, _ = monotone(units[is_source][order], units[~is_source][other_order])
        found.append(rows[order][i] * np.int64(len(y)) + columns[other_order][j])
    return found


def _costs(x: FloatArray, y: FloatArray, keys: IntArray, p: int) -> FloatArray:
    """Costs of some pairs."""
    step = x[keys // len(y)] - y[keys % len(y)]
    square: FloatArray = np.einsum("ij,ij->i", step, step)
    return np.sqrt(square) if p == 1 else square


def _extend(
    x: FloatArray, y: FloatArray, v: FloatArray, u: FloatArray, where: IntArray, p: int
) -> None:
    """Give some cells the largest potentials that are feasible, in place."""
    if where.any():
        from cellflow.transport.prices import price

        u[where] = price(x[where], y, np.zeros(int(where.sum())), v, p=p).row_min
