r"""Reduced costs of all pairs, tile by tile: the best arcs of each cell, and the dual certificate.

The reduced cost of a pair is :math:`\|x_i - y_j\|^p - u_i - v_j`. Where none is negative, the
potentials are feasible, and their value is a lower bound on the cost of every plan.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from cellflow.core._compiled import compiled
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Method", "Priced", "price"]

#: How distances are taken. `products`: matrix products, squared distances only; fast in many
#: dimensions. `differences`: exact to rounding wherever the cells lie.
Method: TypeAlias = Literal["products", "differences"]

#: Sources of a tile: a tile of products stays in the second-level cache, and so do the positions
#: that differences are taken of.
_SOURCES = {"products": 1024, "differences": 256}
#: Targets of a tile.
_TARGETS = 256
#: Targets are scanned in groups: one vectorised minimum decides whether single numbers are read.
_GROUP = 16

#: Fills a tile, shape `(targets, sources)`, with the reduced costs from a source and a target on.
_Fill: TypeAlias = Callable[[FloatArray, int, int], object]


class Priced(NamedTuple):
    """What one pass over all pairs found.

    Values are infinite and arcs -1 where fewer than `k` reduced costs lie below the limit.
    """

    row_arc: IntArray  # the best targets of each source, `(n, k)`
    row_value: FloatArray  # their reduced costs, increasing, `(n, k)`
    col_arc: IntArray  # the best sources of each target, `(m, k)`
    col_value: FloatArray  # their reduced costs, increasing, `(m, k)`
    row_min: FloatArray  # smallest reduced cost of each source over all targets, `(n,)`
    error: FloatArray  # bound on the rounding error of each source's reduced costs, `(n,)`

    @property
    def keys(self) -> IntArray:
        """All arcs found, as `source * m + target`, in no order; an arc may be there twice."""
        n = len(self.row_arc)
        m = len(self.col_arc)
        i = np.concatenate([np.repeat(np.arange(n), self.row_arc.shape[1]), self.col_arc.ravel()])
        j = np.concatenate([self.row_arc.ravel(), np.repeat(np.arange(m), self.col_arc.shape[1])])
        found = (i >= 0) & (j >= 0)
        keys: IntArray = i[found] * np.int64(m) + j[found]
        return keys


class _Lists(NamedTuple):
    """The best arcs of each cell of one side so far, and the limit that a new one must be below."""

    arc: IntArray
    value: FloatArray
    limit: FloatArray

    @classmethod
    def empty(cls, cells: int, keep: int, limit: FloatArray | float, dtype: type) -> _Lists:
        shape = (cells, max(keep, 1))
        limits: FloatArray = np.full(cells, limit if keep else -np.inf, dtype)
        return cls(np.full(shape, -1, np.int32), np.full(shape, np.inf, dtype), limits)


def price(
    x: FloatArray,
    y: FloatArray,
    u: FloatArray,
    v: FloatArray,
    *,
    p: int = 2,
    rows: int = 0,
    columns: int = 0,
    row_limit: FloatArray | float = np.inf,
    col_limit: FloatArray | float = np.inf,
    dtype: type[np.floating] = np.float32,
    method: Method = "products",
) -> Priced:
    """Find the smallest reduced costs of each row and column, and every row's minimum.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`, centred.
    u, v
        Potentials, shapes `(n,)` and `(m,)`.
    p
        Power of the distance, 1 or 2; products are for 2 only.
    rows, columns
        How many arcs to keep per source and per target.
    row_limit, col_limit
        Only reduced costs below these are kept.
    dtype
        Of the arithmetic. In float32 a pass is faster and errs by some millionths of the largest
        cost; the rounding error is bounded either way.
    method
        How distances are taken.
    """
    n = len(x)
    m = len(y)
    size = _SOURCES[method]
    if method == "products":
        fill, error = _by_products(x, y, u, v, dtype)
    else:
        fill, error = _by_differences(x, y, u, v, p, dtype)
    best_rows = _Lists.empty(n, rows, row_limit, dtype)
    best_columns = _Lists.empty(m, columns, col_limit, dtype)
    group_limit = np.maximum.reduceat(best_columns.limit, np.arange(0, m, _GROUP))
    row_min = np.full(n, np.inf, dtype)
    buffer = np.empty(size * _TARGETS, dtype)
    best = np.empty(size, dtype)
    for i0 in range(0, n, size):
        width = min(size, n - i0)
        for j0 in range(0, m, _TARGETS):
            height = min(_TARGETS, m - j0)
            tile = buffer[: height * width].reshape(height, width)
            fill(tile, i0, j0)
            _scan(tile, i0, j0, best_rows, best_columns, group_limit, row_min, best)
    return Priced(*best_rows[:2], *best_columns[:2], row_min.astype(np.float64), error)


def _by_products(
    x: FloatArray, y: FloatArray, u: FloatArray, v: FloatArray, dtype: type[np.floating]
) -> tuple[_Fill, FloatArray]:
    r"""Tiles as products of :math:`(-2x, 1, |x|^2 - u)` and :math:`(y, |y|^2 - v, 1)`."""
    n = len(x)
    m = len(y)
    d = x.shape[1]
    size = _SOURCES["products"]
    # Constants that cancel would cost float32 its digits.
    shift = u.mean()
    of_x = np.einsum("ij,ij->i", x, x)
    of_y = np.einsum("ij,ij->i", y, y)
    in_x = of_x - (u - shift)
    in_y = of_y - (v + shift)
    left = np.empty((d + 2, n), dtype)
    left[:d] = -2.0 * x.T
    left[d] = 1.0
    left[d + 1] = in_x
    right = np.empty((m, d + 2), dtype)
    right[:, :d] = y
    right[:, d] = in_y
    right[:, d + 1] = 1.0
    parts = [np.ascontiguousarray(left[:, i0 : i0 + size]) for i0 in range(0, n, size)]

    def fill(tile: FloatArray, i0: int, j0: int) -> None:
        np.matmul(right[j0 : j0 + len(tile)], parts[i0 // size], out=tile)

    # Whatever the order of summation, d + 2 products of factors that were rounded err at most by
    # this (Higham 2002, 3.1).
    terms = 2.0 * np.sqrt(of_x) * np.sqrt(of_y.max()) + np.abs(in_x) + np.abs(in_y).max()
    return fill, (d + 5) * np.finfo(dtype).eps / 2 * terms


def _by_differences(
    x: FloatArray, y: FloatArray, u: FloatArray, v: FloatArray, p: int, dtype: type[np.floating]
) -> tuple[_Fill, FloatArray]:
    """Tiles by differences of the positions."""
    n = len(x)
    size = _SOURCES["differences"]
    parts = [np.ascontiguousarray(x[i0 : i0 + size].T, dtype) for i0 in range(0, n, size)]
    there, own, their = (np.ascontiguousarray(a, dtype) for a in (y, u, v))

    def fill(tile: FloatArray, i0: int, j0: int) -> None:
        stop = j0 + len(tile)
        _subtract(parts[i0 // size], there[j0:stop], own[i0:], their[j0:stop], p, tile)

    largest = (np.linalg.norm(x, axis=1) + np.linalg.norm(y, axis=1).max()) ** p
    terms = largest + np.abs(u) + np.abs(v).max()
    return fill, (x.shape[1] + 5) * np.finfo(dtype).eps / 2 * terms


@partial(compiled, finite=True)
def _subtract(
    x: FloatArray, y: FloatArray, u: FloatArray, v: FloatArray, power: int, tile: FloatArray
) -> None:
    """Fill a tile; `x` is given by dimension, `(d, sources)`."""
    m, n = tile.shape
    for j in range(m):
        row = tile[j]
        for i in range(n):
            step = x[0, i] - y[j, 0]
            row[i] = step * step
        for k in range(1, x.shape[0]):
            axis = x[k]
            here = y[j, k]
            for i in range(n):
                step = axis[i] - here
                row[i] += step * step
        if power == 1:
            for i in range(n):
                row[i] = np.sqrt(row[i])
        for i in range(n):
            row[i] -= u[i] + v[j]


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
    rows: _Lists,
    cols: _Lists,
    group_limit: FloatArray,
    row_min: FloatArray,
    best: FloatArray,
) -> None:
    """Merge a tile into the lists: entries below the limit of their row or column."""
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
            if best[i] < rows.limit[row] or best[i] < limit:
                for j in range(start, stop):
                    value = tile[j, i]
                    column = j0 + j
                    if value < rows.limit[row]:
                        _insert(rows.value[row], rows.arc[row], value, column)
                        rows.limit[row] = min(rows.limit[row], rows.value[row, -1])
                    if value < cols.limit[column]:
                        _insert(cols.value[column], cols.arc[column], value, row)
                        cols.limit[column] = min(cols.limit[column], cols.value[column, -1])
                        limit = cols.limit[j0 + start]
                        for other in range(j0 + start + 1, j0 + stop):
                            limit = max(limit, cols.limit[other])
        group_limit[group] = limit
