r"""Passes over all pairs of a transport problem with relaxed marginals.

A pass updates the potential of the rows, and sums the columns of the plan that results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isinf
from typing import NamedTuple, TypeAlias

import numpy as np

from cellflow.core._kernel import Kernel, column_sums
from cellflow.core._typing import FloatArray
from cellflow.transport.relaxed import Relaxed, Sums

__all__ = ["AllPairs", "Updated", "overrelaxed"]

#: Columns of less than this share of the mass are summed with logarithms.
_SMALL = 1e-30
#: An overrelaxed update goes beyond the plain one as if that were at most this long, in units of
#: epsilon. Beyond a long step the objective rises exponentially.
_LONG = 0.5
#: Sums of masses in float32 are right to one part in a million; gaps are quadratic in errors.
_LEAST_ERROR = 1e-5
_LEAST_GAP = 1e-9
#: Reads a tile: `(tile, scale, log_mass)` where the masses of its pairs are `exp(scale) * tile`, of
#: the sums `exp(log_mass)`.
Reader: TypeAlias = Callable[[FloatArray, FloatArray, FloatArray], None]


class Updated(NamedTuple):
    """An update of the rows: new `f`, sums of the plan with it, and the row error before."""

    f: FloatArray
    sums: Sums
    error: float


def overrelaxed(
    before: FloatArray, plain: FloatArray, relaxation: float, epsilon: float
) -> FloatArray:
    """Go beyond the plain update, but not far; see `_LONG`."""
    step = np.clip(plain - before, -_LONG * epsilon, _LONG * epsilon)
    further: FloatArray = plain + (relaxation - 1.0) * step
    return further


@dataclass(frozen=True, eq=False)
class AllPairs:
    """Passes over all pairs."""

    problem: Relaxed
    kernel: Kernel

    @classmethod
    def of(cls, problem: Relaxed, tol: float = 1.0) -> AllPairs:
        """In float32 where that is accurate enough for a gap or an error of `tol`."""
        both = isinf(problem.tau_source) and isinf(problem.tau_target)
        kernel = Kernel.of if tol < (_LEAST_ERROR if both else _LEAST_GAP) else Kernel.fast
        return cls(problem, kernel(problem.x, problem.y, problem.epsilon))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return len(self.problem.x), len(self.problem.y)

    @property
    def exact(self) -> AllPairs:
        """The same in float64."""
        return AllPairs(
            self.problem, Kernel.of(self.problem.x, self.problem.y, self.problem.epsilon)
        )

    def cover(self, f: FloatArray, g: FloatArray) -> bool:  # noqa: ARG002 (as for few pairs)
        """Whether masses with these potentials can be computed: always."""
        return True

    def update(
        self, f: FloatArray, g: FloatArray, relaxation: float, read: Reader | None = None
    ) -> Updated:
        """Update the rows; `read` gets each tile of the plan with the new potential."""
        epsilon = self.problem.epsilon
        log_a = np.log(self.problem.a)
        log_mass = np.empty(len(f))
        after = np.empty(len(f))
        columns = np.zeros(len(g))
        kernel = self.kernel
        ones = np.ones(len(g), kernel.dtype)
        by_column = g / epsilon + np.log(self.problem.b)
        for rows, top, tile in kernel.tiles(f / epsilon + log_a, by_column):
            log_mass[rows] = top + np.log((tile @ ones).astype(np.float64))
            excess = epsilon * (log_mass[rows] - log_a[rows])
            plain = self.problem.damping[0] * (f[rows] - excess)
            after[rows] = overrelaxed(f[rows], plain, relaxation, epsilon)
            scale = top + (after[rows] - f[rows]) / epsilon
            columns += column_sums(tile, scale)
            if read is not None:
                read(tile, scale, log_mass[rows] + (after[rows] - f[rows]) / epsilon)
        with np.errstate(over="ignore"):  # the first potentials may be far off
            expected = self.problem.a * np.exp(-f / self.problem.tau_source)
            error = float(np.abs(np.exp(log_mass) - expected).sum())
        return Updated(after, Sums(np.exp(log_mass + (after - f) / epsilon), columns), error)

    def log_columns(self, f: FloatArray, g: FloatArray, columns: FloatArray) -> FloatArray:
        """Logarithms of the column sums; those of very little mass are computed anew."""
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.log(columns)
        few = np.flatnonzero(columns <= _SMALL * columns.sum())
        if len(few):
            problem = self.problem
            kernel = Kernel.of(problem.y[few], problem.x, problem.epsilon)
            by_row = g[few] / problem.epsilon + np.log(problem.b[few])
            by_column = f / problem.epsilon + np.log(problem.a)
            for rows, top, tile in kernel.tiles(by_row, by_column):
                logs[few[rows]] = top + np.log(tile.sum(axis=1))
        return logs
