"""Reduced costs of all pairs, tile by tile: the best arcs of each cell, and the certificate.

Loaded only when a solver runs, because numba is slow to import.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellflow.core._compiled import compiled_for_finite
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Priced", "price"]

#: Targets of one tile, whose positions stay in the first-level cache.
_TILE = 256


class Priced(NamedTuple):
    """What one pass over all pairs found.

    Parameters
    ----------
    keys
        `source * m + target` of the best pairs of each source and of each target below the limit,
        in no order.
    row_min
        Smallest reduced cost of each source over all targets, shape `(n,)`.
    """

    keys: IntArray
    row_min: FloatArray


def price(
    x: FloatArray,
    y: FloatArray,
    u: FloatArray,
    v: FloatArray,
    *,
    p: int,
    keep: int = 0,
    limit: float = np.inf,
    exact: bool = True,
) -> Priced:
    r"""Find the smallest reduced costs :math:`\|x_i - y_j\|^p - u_i - v_j` of every row and column.

    Distances are taken by differences, so that the result is exact to rounding wherever the cells
    lie.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`.
    u, v
        Potentials, shapes `(n,)` and `(m,)`.
    p
        1 or 2.
    keep
        How many pairs to keep per source, and per target.
    limit
        Only reduced costs below it are kept.
    exact
        In float64; else in float32, which is faster, and errs by some millionths of the largest
        cost.
    """
    n = len(x)
    m = len(y)
    number = np.float64 if exact else np.float32
    row_value = np.full((n, keep), limit, number)
    row_arc = np.full((n, keep), -1, np.int32)
    col_value = np.full((m, keep), limit, number)
    col_arc = np.full((m, keep), -1, np.int32)
    row_min = np.full(n, np.inf, number)
    given: list[FloatArray] = [np.asarray(values, number, order="C") for values in (x, y.T, u, v)]
    _scan(*given, p, row_value, row_arc, col_value, col_arc, row_min)
    i, k = np.nonzero(row_arc >= 0)
    j, other_k = np.nonzero(col_arc >= 0)
    keys = np.concatenate([i * np.int64(m) + row_arc[i, k], col_arc[j, other_k] * np.int64(m) + j])
    return Priced(keys, row_min.astype(np.float64, copy=False))


@compiled_for_finite
def _scan(
    x: FloatArray,
    y: FloatArray,
    u: FloatArray,
    v: FloatArray,
    power: int,
    row_value: FloatArray,
    row_arc: IntArray,
    col_value: FloatArray,
    col_arc: IntArray,
    row_min: FloatArray,
) -> None:
    """Fill the lists, which are increasing in value; `y` is given by dimension, `(d, m)`."""
    n, d = x.shape
    m = y.shape[1]
    keep = row_value.shape[1]
    tile = np.empty((d, _TILE), x.dtype)
    potential = np.empty(_TILE, x.dtype)
    found = np.empty(_TILE, x.dtype)
    col_limit = np.empty(m, x.dtype)
    for j in range(m if keep > 0 else 0):
        col_limit[j] = col_value[j, keep - 1]
    for first in range(0, m, _TILE):
        width = min(_TILE, m - first)
        for k in range(d):
            for j in range(width):
                tile[k, j] = y[k, first + j]
        for j in range(width):
            potential[j] = v[first + j]
        for i in range(n):
            here = x[i, 0]
            axis = tile[0]
            for j in range(width):
                step = here - axis[j]
                found[j] = step * step
            for k in range(1, d):
                here = x[i, k]
                axis = tile[k]
                for j in range(width):
                    step = here - axis[j]
                    found[j] += step * step
            if power == 1:
                for j in range(width):
                    found[j] = np.sqrt(found[j])
            own = u[i]
            for j in range(width):
                found[j] -= own + potential[j]
            least = found[0]
            for j in range(width):
                least = min(least, found[j])
            row_min[i] = min(row_min[i], least)
            if keep == 0:
                continue
            if least < row_value[i, keep - 1]:
                for j in range(width):
                    if found[j] < row_value[i, keep - 1]:
                        _insert(row_value[i], row_arc[i], found[j], first + j)
            least = found[0] - col_limit[first]
            for j in range(width):
                least = min(least, found[j] - col_limit[first + j])
            if least < 0.0:
                for j in range(width):
                    column = first + j
                    if found[j] < col_limit[column]:
                        _insert(col_value[column], col_arc[column], found[j], i)
                        col_limit[column] = col_value[column, keep - 1]


@compiled_for_finite
def _insert(values: FloatArray, arcs: IntArray, value: float, arc: int) -> None:
    """Insert into a short increasing list, whose last entry is lost."""
    p = len(values) - 1
    while p > 0 and values[p - 1] > value:
        values[p] = values[p - 1]
        arcs[p] = arcs[p - 1]
        p -= 1
    values[p] = value
    arcs[p] = arc
