"""Transport on a line, by sorting."""

from __future__ import annotations

import numpy as np

from cellflow.core._clouds import Statistic
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["solve_line"]


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
