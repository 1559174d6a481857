"""Exact transport between two clouds: its cost, and the potentials that prove it.

Solved by sorting on a line, by POT's network simplex on the matrix of all costs, and for larger
clouds by column generation.
"""

from __future__ import annotations

import math

import numpy as np

from cellflow.core._clouds import Statistic
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import CouplingError
from cellflow.transport.units import whole_units

__all__ = ["solve", "solve_dense", "solve_line"]

#: Up to this many pairs, the dense solver of POT is as fast, and needs no compiled code.
_DENSE_PAIRS = 250_000
#: The certified gap, relative to the cost, at which a solve ends.
_GAP = 1e-9
#: The gap that is accepted in the end, where rounding allows no smaller one.
_ACCEPTED_GAP = 1e-6
#: Rounds of new arcs; four are usual.
_ROUNDS = 60
#: Largest dense cost matrix, in bytes.
_MAX_BYTES = 8 * 2**30
#: Limit of POT's pivots, far above what any solve needs. Its default ends a few percent above the
#: optimum from a few thousand cells on.
_MAX_PIVOTS = 10**9


def solve(x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, *, p: int) -> Statistic:
    r"""Find the least mean cost, and potentials that prove it.

    .. math:: \min_\pi \sum_{ij} \pi_{ij} \|x_i - y_j\|^p

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
    found = _on_few_arcs(x, y, a, b, p) if len(x) * len(y) > _DENSE_PAIRS else None
    if found is not None:
        return found
    n_bytes = 8 * len(x) * len(y)
    if n_bytes > _MAX_BYTES:
        msg = (
            f"Exact transport between {len(x):,} and {len(y):,} cells was not certified on few"
            f" arcs, and its cost matrix of {n_bytes / 2**30:.1f} GiB is above the limit of"
            f" {_MAX_BYTES / 2**30:.0f} GiB; draw fewer cells."
        )
        raise CouplingError(msg)
    from scipy.spatial.distance import cdist

    # By differences, not by products: coinciding cells are at distance zero, to the last bit.
    costs = cdist(x, y, "euclidean" if p == 1 else "sqeuclidean")
    _, value, u, v = solve_dense(a, b, costs)
    return Statistic(value, u, v)


def _on_few_arcs(
    x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, p: int
) -> Statistic | None:
    """Solve by column generation; None where rounding prevents the certificate."""
    from cellflow.transport.columns import generate
    from cellflow.transport.problem import Problem
    from cellflow.transport.simplex import Simplex

    centre = b @ y
    x = x - centre
    y = y - centre
    largest = max(np.linalg.norm(x, axis=1).max(), np.linalg.norm(y, axis=1).max())
    # A power of two, which takes no digits.
    unit = 2.0 ** math.frexp(float(largest))[1]
    x = x / unit
    y = y / unit
    rng = stream(0)  # which arcs are tried first; the result is the optimum either way
    supply, demand = whole_units(a, b)
    # Weights that round to no unit at all carry no mass, but have potentials.
    rows, columns = (rng.permutation(np.flatnonzero(units)) for units in (supply, demand))
    problem = Problem(x[rows], y[columns], supply[rows], demand[columns], p=p, method="differences")
    found = generate(problem, Simplex, gap=_GAP, rounds=_ROUNDS, rng=rng)
    if not found.gap <= _ACCEPTED_GAP:
        return None

    u = _extended(x, y[columns], rows, found.u, found.v, p)
    v = _extended(y, x[rows], columns, found.v, found.u, p)
    scale = unit**p
    return Statistic(scale * found.cost, scale * u, scale * v)


def _extended(
    x: FloatArray, y: FloatArray, known: IntArray, u: FloatArray, v: FloatArray, p: int
) -> FloatArray:
    """Potentials of all cells `x`: `u` where known, the largest that are feasible elsewhere."""
    potential = np.empty(len(x))
    potential[known] = u
    others = np.delete(np.arange(len(x)), known)
    if len(others):
        from cellflow.transport.pricing import price

        zero = np.zeros(len(others))
        found = price(x[others], y, zero, v, p=p, dtype=np.float64, method="differences")
        potential[others] = found.row_min
    return potential


def solve_dense(
    a: FloatArray, b: FloatArray, costs: FloatArray
) -> tuple[FloatArray, float, FloatArray, FloatArray]:
    """Return an optimal plan `(n, m)`, its cost and its potentials `(n,)` and `(m,)`.

    Parameters
    ----------
    a, b
        Marginals, shapes `(n,)` and `(m,)`, of equal sum.
    costs
        Shape `(n, m)`. POT's tolerance is absolute, for costs of about one.

    Raises
    ------
    CouplingError
        The solver ended before the optimum.

    References
    ----------
    Flamary, R. et al. (2021). POT: Python Optimal Transport. JMLR 22.
    Bonneel, N. et al. (2011). Displacement interpolation using Lagrangian mass transport. ACM
    Trans. Graph. 30.
    """
    import ot

    try:
        plan, log = ot.emd(a, b, costs, numItermax=_MAX_PIVOTS, log=True)
        trouble = log["warning"]
    except UserWarning as warning:  # where warnings are errors; elsewhere the log says the same
        trouble = warning
    if trouble is None:
        found = (np.asarray(log["u"]), np.asarray(log["v"]))
        return np.asarray(plan), float(log["cost"]), *found
    msg = (
        f"Exact transport between {len(a):,} and {len(b):,} cells did not finish: POT's network"
        f" simplex says {str(trouble)!r}. Check the weights, or use couplings.Sparse()."
    )
    raise CouplingError(msg)


def solve_line(x: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, *, p: int) -> Statistic:
    """Solve transport between positions `(n,)` and `(m,)` on a line.

    The optimal plan keeps the order, whatever the power `p >= 1` of the distance that is the cost.
    """
    rows = np.argsort(x, kind="stable")
    columns = np.argsort(y, kind="stable")
    i, j, mass = _staircase(a[rows], b[columns])
    x = x[rows]
    y = y[columns]
    cost = float(mass @ np.abs(x[i] - y[j]) ** p)
    # From a pair to the next, one of its ends moves on, and the change of cost is the change of
    # this end's potential.
    step = np.diff(np.abs(x[i] - y[j]) ** p)
    moves_x = np.diff(i) > 0
    along_x = np.concatenate([[0.0], np.cumsum(step * moves_x)])
    along_y = np.concatenate([[0.0], np.cumsum(step * ~moves_x)])
    u = np.empty(len(x))
    v = np.empty(len(y))
    u[rows[i]] = along_x
    v[columns[j]] = along_y + np.abs(x[0] - y[0]) ** p
    return Statistic(cost, u, v)


def _staircase(a: FloatArray, b: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of the north-west corner rule, `n + m - 1` of them, and their masses.

    From each pair to the next, one of both ends moves on by one.
    """
    ends = np.cumsum(a)
    other_ends = np.cumsum(b)
    ends = ends / ends[-1]
    other_ends = other_ends / other_ends[-1]
    order = np.argsort(np.concatenate([ends[:-1], other_ends[:-1]]), kind="stable")
    is_x = order < len(a) - 1
    i, j = (np.concatenate([[0], np.cumsum(moves)]) for moves in (is_x, ~is_x))
    cuts = np.concatenate([[0.0], np.concatenate([ends[:-1], other_ends[:-1]])[order], [1.0]])
    return i, j, np.diff(cuts)
