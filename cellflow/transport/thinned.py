r"""Passes over the heaviest pairs of a transport problem with relaxed marginals.

A pass over all pairs takes time. Between two of them the iteration continues on a thinned kernel:
pairs of much mass as they are, and all others together as an independent plan of the same sums,

.. math:: K_{ij} \approx S_{ij} + R_i C_j / \textstyle\sum_k C_k ,

which has the row and column sums of the kernel at the potentials that it was made with. The next
pass over all pairs corrects it.

References
----------
Schmitzer, B. (2019). Stabilized sparse scaling algorithms for entropy regularized transport
problems. SIAM J. Sci. Comput. 41.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from cellflow.core._compiled import compiled
from cellflow.core._kernel import Kernel
from cellflow.core._typing import FloatArray, IntArray
from cellflow.transport.passes import AllPairs, Updated, overrelaxed
from cellflow.transport.relaxed import Relaxed, Sums

__all__ = ["FewPairs", "Heavy"]

#: Kernels of fewer pairs are not thinned.
_LARGE = 2**22
#: Share of the pairs that are kept, and how many at most (8 bytes each).
_SHARE = 1 / 40
_MOST = 40_000_000
#: How much more than expected may be kept.
_EXTRA = 1.2
#: Share of the mass that the kept pairs have at least.
_ENOUGH = 0.7
#: Rows that are looked at to choose the limit, and pairs of them at most.
_ROWS = 256
_PAIRS = 2**23
#: Plans of less mass are not thinned, because float32 would underflow.
_LITTLE = 1e-20
#: Expected masses of columns are at least this, which float32 can hold.
_LEAST = 1e-37
#: How far potentials may be from those that a kernel was made with, in units of epsilon.
_RANGE = 30.0
#: Columns of less than this share of the mass stay as they are until the next pass over all pairs.
_SMALL = 1e-30


@dataclass(frozen=True, eq=False)
class FewPairs:
    """A thinned kernel; see the module."""

    problem: Relaxed
    f: FloatArray  # potentials that it was made with, `(n,)`
    g: FloatArray  # `(m,)`
    heavy: Any  # masses of the heavy pairs with these, CSR matrix `(n, m)` in float32
    rest: Sums  # row and column sums of all other pairs

    @classmethod
    def at(cls, problem: Relaxed, updated: Updated, g: FloatArray, heavy: Any) -> FewPairs:
        """Make one from sums over all pairs, and the masses of the heavy ones."""
        rows = np.maximum(updated.sums.rows - np.asarray(heavy.sum(axis=1)).ravel(), 0.0)
        columns = np.maximum(updated.sums.columns - np.asarray(heavy.sum(axis=0)).ravel(), 0.0)
        return cls(problem, updated.f, g, heavy, Sums(rows, columns))

    @property
    def exact(self) -> FewPairs:
        """Itself."""
        return self

    def corrected(self, updated: Updated, g: FloatArray) -> FewPairs:
        """The same pairs with other potentials, whose sums over all pairs are known now."""
        u = np.exp((updated.f - self.f) / self.problem.epsilon).astype(np.float32)
        v = np.exp((g - self.g) / self.problem.epsilon).astype(np.float32)
        heavy = self.heavy.copy()
        heavy.data *= np.repeat(u, np.diff(heavy.indptr))
        heavy.data *= v[heavy.indices]
        return self.at(self.problem, updated, g, heavy)

    def cover(self, f: FloatArray, g: FloatArray) -> bool:
        """Whether masses with these potentials are in the range of float32."""
        farthest = max(np.abs(f - self.f).max(), np.abs(g - self.g).max())
        return bool(farthest <= _RANGE * self.problem.epsilon)

    def update(self, f: FloatArray, g: FloatArray, relaxation: float) -> Updated:
        """Update the rows."""
        problem = self.problem
        epsilon = problem.epsilon
        u = np.exp((f - self.f) / epsilon)
        v = np.exp((g - self.g) / epsilon)
        mass = self.heavy @ v.astype(np.float32) + self.rest.rows * _mean(v, self.rest.columns)
        excess = epsilon * np.log(u * mass / problem.a)
        after = overrelaxed(f, problem.damping[0] * (f - excess), relaxation, epsilon)
        error = float(np.abs(u * mass - problem.a * np.exp(-f / problem.tau_source)).sum())
        u = np.exp((after - self.f) / epsilon)
        columns = self.heavy.T @ u.astype(np.float32) + self.rest.columns * _mean(u, self.rest.rows)
        return Updated(after, Sums(u * mass, v * columns), error)

    def log_columns(
        self,
        f: FloatArray,  # noqa: ARG002 (as for all pairs)
        g: FloatArray,
        columns: FloatArray,
    ) -> FloatArray:
        """Logarithms of the column sums; those of very small ones leave `g` as it is."""
        small = columns <= _SMALL * columns.sum()
        logs: FloatArray = np.log(np.where(small, 1.0, columns))
        unchanged = np.log(self.problem.b) - g / self.problem.tau_target
        return np.where(small, unchanged, logs)


def _mean(values: FloatArray, weight: FloatArray) -> float:
    """Weighted mean; zero where there is no weight."""
    total = float(weight.sum())
    return float(values @ weight) / total if total > 0.0 else 0.0


class Heavy:
    """Collects the heavy pairs in a pass over all pairs, row by row.

    Parameters
    ----------
    problem
        What is solved.
    limit
        Smallest mass that is kept, as a share of the mass of the row or of the column, whichever is
        less.
    columns
        Expected column sums, `(m,)`.
    most
        How many pairs at most; further ones belong to the rest.
    """

    def __init__(self, problem: Relaxed, limit: float, columns: FloatArray, most: int) -> None:
        self._problem = problem
        self._limit = limit
        self._of_columns = np.maximum(limit * columns, _LEAST).astype(np.float32)
        self._targets = np.empty(most + 1, np.int32)
        self._masses = np.empty(most + 1, np.float32)
        self._ends: list[IntArray] = [np.zeros(1, np.int64)]

    @classmethod
    def sampled(cls, whole: AllPairs, g: FloatArray, rng: np.random.Generator) -> Heavy | None:
        """Choose the limit by some rows; None where that is not worth while.

        That is so for small problems, and where a few pairs do not have most of the mass.
        """
        problem = whole.problem
        n = len(problem.x)
        m = len(problem.y)
        if n * m < _LARGE:
            return None
        some = rng.choice(n, min(n, _ROWS, max(1, _PAIRS // m)), replace=False)
        few = AllPairs(
            replace(problem, x=problem.x[some], a=problem.a[some]),
            Kernel(whole.kernel.left[some], whole.kernel.right),
        )
        with np.errstate(over="ignore"):
            columns = np.clip(problem.b * np.exp(-g / problem.tau_target), _LEAST, 1.0)
        masses: list[FloatArray] = []
        shares: list[FloatArray] = []

        def read(tile: FloatArray, scale: FloatArray, log_mass: FloatArray) -> None:
            mass = tile * np.exp(scale).astype(tile.dtype)[:, None]
            least = np.minimum(np.exp(log_mass)[:, None], columns)
            masses.append(mass.ravel())
            shares.append((mass / least).astype(np.float32).ravel())

        few.update(np.zeros(len(some)), g, 1.0, read)
        mass = np.concatenate(masses)
        share = np.concatenate(shares)
        keep = min(_SHARE, _MOST / (n * m))
        limit = float(np.quantile(share, 1.0 - keep))
        if not mass.sum() > _LITTLE or mass[share > limit].sum() < _ENOUGH * mass.sum():
            return None
        return cls(problem, limit, columns, int(_EXTRA * keep * n * m))

    def read(self, tile: FloatArray, scale: FloatArray, log_mass: FloatArray) -> None:
        """Add the heavy pairs of the next rows."""
        ends = np.empty(len(tile), np.int64)
        of_rows = (self._limit * np.exp(log_mass - scale)).astype(np.float32)
        with np.errstate(over="ignore"):
            unit = np.exp(-scale).astype(np.float32)
        first = int(self._ends[-1][-1])
        _select(tile, of_rows, self._of_columns, unit, first, self._targets, self._masses, ends)
        counts = np.diff(ends, prepend=first)
        self._masses[first : ends[-1]] *= np.repeat(np.exp(scale).astype(np.float32), counts)
        self._ends.append(ends)

    def among(self, updated: Updated, g: FloatArray) -> FewPairs:
        """The kernel of the collected pairs, after the pass that updated the rows with `g`."""
        ends = np.concatenate(self._ends)
        found = slice(0, ends[-1])
        shape = (len(updated.f), len(g))
        heavy = sparse.csr_matrix((self._masses[found], self._targets[found], ends), shape)
        return FewPairs.at(self._problem, updated, g, heavy)


@compiled
def _select(
    tile: FloatArray,
    of_rows: FloatArray,
    of_columns: FloatArray,
    unit: FloatArray,
    first: int,
    targets: IntArray,
    masses: FloatArray,
    ends: IntArray,
) -> None:
    """Write entries above the limit of their row or column, until there are too many."""
    # Every entry is written, and overwritten if it is below: there is no branch to mispredict.
    k = first
    most = len(targets) - 1
    for i in range(tile.shape[0]):
        for j in range(tile.shape[1]):
            value = tile[i, j]
            targets[k] = j
            masses[k] = value
            if (value > min(of_rows[i], of_columns[j] * unit[i])) and k < most:
                k += 1
        ends[i] = k
