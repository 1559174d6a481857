"""Where clones lead the cells around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.transport.clones import Mates, Shared

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Led", "led"]

#: Numbers of neighbours that are compared, beside all cells. Larger ones come first: a smaller one
#: has to predict better.
_CANDIDATES = (50, 32, 20, 12, 8, 5, 3)
#: Cells that numbers of neighbours are compared on, at most, and their draw.
_TESTED = 2000
_DRAW = 0
#: Neighbours that are looked at to find those of other clones.
_REACH = 200
#: Cells at a time, to bound memory.
_CHUNK = 200
#: Differences of errors below this share of them are rounding.
_ROUNDING = 1e-9


class Led(NamedTuple):
    """Positions `(n, d)` that the source cells are expected at, and the neighbours they follow.

    All cells with a clone are followed where `n_neighbors` is their number.
    """

    x: FloatArray
    n_neighbors: int


class _Steps(NamedTuple):
    """Cells that are coupled with cells of their clone: position, mean step, mass and clones."""

    x: FloatArray
    step: FloatArray
    mass: FloatArray
    clones: csr_matrix

    def mean(self, rows: IntArray) -> FloatArray:
        """Mean step of some cells each, `(k, n_neighbors)`."""
        mass = self.mass[rows]
        total: FloatArray = np.einsum("ij,ijk->ik", mass, self.step[rows])
        mean: FloatArray = total / mass.sum(axis=1)[:, None]
        return mean


def led(
    x: FloatArray,
    y: FloatArray,
    shared: Shared,
    mates: Mates,
    n_neighbors: int | Literal["auto"],
) -> Led:
    """Move each source cell by the mean step of the nearest source cells whose clone is known.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`.
    shared, mates
        The clones, and pairs inside of them, at least one.
    n_neighbors
        How many cells a cell follows; none for 0. `"auto"`: the number that predicts the steps of
        cells best from those of other clones, or all.
    """
    if n_neighbors == 0:
        return Led(x, 0)
    steps = _steps(x, y, shared, mates)
    k = _best(steps) if n_neighbors == "auto" else min(n_neighbors, len(steps.x))
    if k == len(steps.x):
        return Led(x + steps.mean(np.arange(k)[None]), k)
    moved = np.empty_like(x)
    _, rows = nearest(steps.x, x, k)
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        moved[part] = x[part] + steps.mean(rows[part])
    return Led(moved, k)


def _steps(x: FloatArray, y: FloatArray, shared: Shared, mates: Mates) -> _Steps:
    import scipy.sparse as sp

    plan = sp.csr_matrix((mates.mass, (mates.i, mates.j)), shape=(len(x), len(y)))
    mass = np.asarray(plan.sum(axis=1))[:, 0]
    known = np.flatnonzero(mass > 0)
    step = plan[known] @ y / mass[known, None] - x[known]
    clones = (shared.source.tocsr()[known] != 0).astype(np.float64)
    return _Steps(x[known], step, mass[known], clones)


def _best(steps: _Steps) -> int:
    """Number of neighbours whose steps predict those of cells of other clones best."""
    n = len(steps.x)
    candidates = [k for k in _CANDIDATES if k < n]
    some = stream(_DRAW).permutation(n)[:_TESTED]
    error = np.zeros(len(candidates) + 1)
    for start in range(0, len(some), _CHUNK):
        error += _errors(steps, some[start : start + _CHUNK], candidates)
    best = 0
    for k in range(1, len(error)):
        if error[k] < error[best] * (1.0 - _ROUNDING):
            best = k
    return [n, *candidates][best]


def _errors(steps: _Steps, some: IntArray, candidates: list[int]) -> FloatArray:
    """Sums of squared errors for some cells, of the mean over all and of each candidate."""
    related = steps.clones[some] @ steps.clones.T
    related.data[:] = 1.0
    mass = steps.mass.sum() - related @ steps.mass
    total = steps.mass @ steps.step - related @ (steps.mass[:, None] * steps.step)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(mass[:, None] > 0, total / mass[:, None], 0.0)
    _, rows = nearest(steps.x, steps.x[some], _REACH)
    width = rows.shape[1]
    kin = steps.clones[np.repeat(some, width)].multiply(steps.clones[rows.ravel()]).sum(axis=1)
    other = np.asarray(kin).reshape(rows.shape) == 0
    weight = steps.mass[rows] * other
    masses = np.cumsum(weight, axis=1)
    sums = np.cumsum(weight[:, :, None] * steps.step[rows], axis=1)
    count = np.cumsum(other, axis=1)
    each = np.arange(len(some))
    predicted = [mean]
    for k in candidates:
        last = (count < k).sum(axis=1).clip(max=width - 1)
        known = masses[each, last] > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            near = sums[each, last] / masses[each, last][:, None]
        predicted.append(np.where(known[:, None], near, mean))
    miss = [steps.mass[some] @ ((steps.step[some] - p) ** 2).sum(axis=1) for p in predicted]
    return np.array(miss)
