"""Reduced costs of all pairs in one pass of matrix products: the most promising arcs, and the certificate.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellflow.core._compiled import compiled
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Priced", "price"]

#: A tile of reduced costs stays in the second-level cache: this many sources by this many targets.
_SOURCES = 1024
_TARGETS = 256
#: Targets are scanned in groups: one vectorised minimum decides whether anybody looks at the single
#: numbers.
_GROUP = 16


class Priced(NamedTuple):
    """What one pass over all pairs found.

    Parameters
    ----------
    row_arc, col_arc
        The best targets of each source, shape `(n, k)`, and the best sources of each target, shape
        `(m, k)`; -1 where fewer than `k` lie below the limit.
    row_value, col_value
        Their reduced costs, increasing.
    row_min
        Smallest reduced cost of each source over ALL targets, shape `(n,)`.
    error
        Bound on the rounding error of each source's reduced costs, shape `(n,)`.
    """

    row_arc: IntArray
    row_value: FloatArray
    col_arc: IntArray
    col_value: FloatArray
    row_min: FloatArray
    error: FloatArray


@compiled
def _insert(values: FloatArray, arcs: IntArray, value: float, arc: int) -> None:
    """Insert into a short increasing list, whose last entry is lost."""
    p = len(values) - 1
    while p > 0 and values[p - 1] > value:
        values[p] = values[p - 1]
        arcs[p] = arcs[p - 1]
        p -= 1
    values[p] = value
    arcs[p] = arc


@compiled
def _scan(
    tile: FloatArray,
    i0: int,
    j0: int,
    row_value: FloatArray,
    row_arc: IntArray,
    row_limit: FloatArray,
    col_value: FloatArray,
    col_arc: IntArray,
    col_limit: FloatArray,
    group_limit: FloatArray,
    row_min: FloatArray,
    best: FloatArray,
) -> None:
    """Merge a tile, targets by sources, into the lists; an entry counts where it is below its row's or column's limit."""
    m, n = tile.shape
    for start in range(0, m, _GROUP):
        stop = min(start + _GROUP, m)
        for i in range(n):
            best[i] = tile[start, i]
        for j in range(start + 1, stop):
            for i in range(n):
                best[i] = tile[j, i] if tile[j, i] < best[i] else best[i]
        for i in range(n):
            row_min[i0 + i] = best[i] if best[i] < row_min[i0 + i] else row_min[i0 + i]
        group = (j0 + start) // _GROUP
        limit = group_limit[group]
        for i in range(n):
            row = i0 + i
            if best[i] < row_limit[row] or best[i] < limit:
                for j in range(start, stop):
                    value = tile[j, i]
                    column = j0 + j
                    if value < row_limit[row]:
                        _insert(row_value[row], row_arc[row], value, column)
                        row_limit[row] = min(row_limit[row], row_value[row, -1])
                    if value < col_limit[column]:
                        _insert(col_value[column], col_arc[column], value, row)
                        col_limit[column] = min(col_limit[column], col_value[column, -1])
                        limit = col_limit[j0 + start]
                        for other in range(j0 + start + 1, j0 + stop):
                            limit = max(limit, col_limit[other])
        group_limit[group] = limit


def price(
    x: FloatArray,
    y: FloatArray,
    u: FloatArray,
    v: FloatArray,
    *,
    rows: int = 0,
    columns: int = 0,
    row_limit: FloatArray | float = np.inf,
    col_limit: FloatArray | float = np.inf,
    dtype: type[np.floating] = np.float32,
) -> Priced:
    r"""Find the smallest reduced costs :math:`|x_i - y_j|^2 - u_i - v_j` of each row and column, and every row's minimum.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`, centred.
    u, v
        Potentials, shapes `(n,)` and `(m,)`.
    rows, columns
        How many arcs to keep per source and per target.
    row_limit, col_limit
        Only reduced costs below these are kept.
    dtype
        Of the matrix products; the rounding error is bounded either way.
    """
    n = len(x)
    d = x.shape[1]
    m = len(y)
    # Constants that cancel would cost float32 its digits.
    shift = u.mean()
    u = u - shift
    v = v + shift
    x_norm = np.einsum("ij,ij->i", x, x)
    y_norm = np.einsum("ij,ij->i", y, y)
    left = np.empty((d + 2, n), dtype)
    left[:d], left[d], left[d + 1] = -2.0 * x.T, 1.0, x_norm - u
    right = np.empty((m, d + 2), dtype)
    right[:, :d], right[:, d], right[:, d + 1] = y, y_norm - v, 1.0

    def lists(
        cells: int, keep: int, limit: FloatArray | float
    ) -> tuple[FloatArray, IntArray, FloatArray]:
        limits = np.full(cells, limit if keep else -np.inf, dtype=dtype)
        return (
            np.full((cells, max(keep, 1)), np.inf, dtype),
            np.full((cells, max(keep, 1)), -1, np.int32),
            limits,
        )

    row_value, row_arc, row_limits = lists(n, rows, row_limit)
    col_value, col_arc, col_limits = lists(m, columns, col_limit)
    group_limits = np.maximum.reduceat(col_limits, np.arange(0, m, _GROUP))
    row_min = np.full(n, np.inf, dtype)
    buffer = np.empty(_SOURCES * _TARGETS, dtype)
    best = np.empty(_SOURCES, dtype)
    for i0 in range(0, n, _SOURCES):
        part = np.ascontiguousarray(left[:, i0 : i0 + _SOURCES])
        for j0 in range(0, m, _TARGETS):
            block = right[j0 : j0 + _TARGETS]
            tile = buffer[: len(block) * part.shape[1]].reshape(len(block), part.shape[1])
            np.matmul(block, part, out=tile)
            _scan(
                tile,
                i0,
                j0,
                row_value,
                row_arc,
                row_limits,
                col_value,
                col_arc,
                col_limits,
                group_limits,
                row_min,
                best,
            )
    # Whatever the order of summation, d + 2 products of factors that were rounded err at most by
    # this (Higham 2002, 3.1).
    terms = (
        2.0 * np.sqrt(x_norm) * np.sqrt(y_norm.max())
        + np.abs(x_norm - u)
        + np.abs(y_norm - v).max()
    )
    error = (d + 5) * np.finfo(dtype).eps / 2 * terms
    return Priced(row_arc, row_value, col_arc, col_value, row_min.astype(np.float64), error)
