r"""Sinkhorn's iteration for entropic transport with relaxed marginals, overrelaxed.

.. math::
    f_i \leftarrow -\frac{\tau_s}{\tau_s + \varepsilon} \, \varepsilon
    \log \sum_j b_j \exp((g_j - |x_i - y_j|^2) / \varepsilon)

and the same for `g`, in turn. Each update solves one of the two equations of the optimum (see
`relaxed`). One pass over all pairs updates `f`, gives the column sums for the update of `g`, and
the gap. The factor :math:`\tau / (\tau + \varepsilon)` bounds the rate of convergence, and so
the overrelaxation; where convergence is faster, a smaller one is better.

References
----------
Chizat, L. et al. (2018). Scaling algorithms for unbalanced optimal transport problems. Math. Comp.
87.
Sejourne, T., Vialard, F.-X. & Peyre, G. (2022). Faster unbalanced optimal transport: translation
invariant Sinkhorn and 1-D Frank-Wolfe. AISTATS.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from math import isinf, sqrt
from typing import NamedTuple

import numpy as np

from cellflow.core._kernel import Kernel
from cellflow.core._random import systematic
from cellflow.core._typing import FloatArray, IntArray
from cellflow.transport.relaxed import Relaxed, Sums, relative_gap, translation
from cellflow.transport.sinkhorn import best_relaxation

__all__ = ["Found", "iterate", "solve"]

logger = logging.getLogger("cellflow")

#: From this size on, potentials are first found on a subsample.
_LARGE = 1000
#: How many times smaller a subsample is.
_RATIO = 4
#: The relative gap of a subsample, and its iterations.
_ROUGH_TOL = 1e-4
_ROUGH_ITER = 200
#: Ratio of successive epsilons, from the largest cost down, and iterations with each.
_STEP = 4.0
_STEP_ITER = 20
#: Columns of less than this share of the mass are summed with logarithms.
_SMALL = 1e-30
#: Iterations between two estimates of the rate of convergence.
_OBSERVED = 8
#: Overrelaxation to begin with where no smaller one is known to be best, and the largest; at 2 the
#: iteration would not converge.
_FIRST_RELAXATION = 1.7
_MAX_RELAXATION = 1.95
#: An overrelaxed update goes beyond the plain one as if that were at most this long, in units of
#: epsilon. Beyond a long step the objective rises exponentially.
_LONG = 0.5


class Found(NamedTuple):
    """Potentials `f (n,)`, `g (m,)` and how good they are."""

    f: FloatArray
    g: FloatArray
    total: float  # mass of the plan
    gap: float  # (objective - dual value) / objective; infinite where both marginals are kept
    error: float  # sum of absolute errors of the conditions on row and column sums
    n_iter: int
    relaxation: float  # overrelaxation in use at the end

    @property
    def reached(self) -> float:
        """What is compared with the tolerance: the gap, or the error where there is no gap."""
        return self.error if isinf(self.gap) else self.gap


def _update_rows(
    problem: Relaxed, kernel: Kernel, f: FloatArray, g: FloatArray, relaxation: float
) -> tuple[FloatArray, Sums, float]:
    """Update `f` in a pass over all pairs: new `f`, its plan's sums, and the former row error."""
    epsilon = problem.epsilon
    log_a = np.log(problem.a)
    log_mass = np.empty(len(f))
    after = np.empty(len(f))
    columns = np.zeros(len(g))
    ones = np.ones(len(g), kernel.dtype)
    for rows, top, tile in kernel.tiles(f / epsilon + log_a, g / epsilon + np.log(problem.b)):
        log_mass[rows] = top + np.log((tile @ ones).astype(np.float64))
        plain = problem.damping[0] * (f[rows] - epsilon * (log_mass[rows] - log_a[rows]))
        after[rows] = _relaxed(f[rows], plain, relaxation, epsilon)
        scale = top + (after[rows] - f[rows]) / epsilon
        largest = scale.max()
        columns += np.exp(largest) * (np.exp(scale - largest).astype(kernel.dtype) @ tile)
    expected = problem.a * np.exp(-f / problem.tau_source)
    error = float(np.abs(np.exp(log_mass) - expected).sum())
    return after, Sums(np.exp(log_mass + (after - f) / epsilon), columns), error


def _relaxed(
    before: FloatArray, plain: FloatArray, relaxation: float, epsilon: float
) -> FloatArray:
    """Go beyond the plain update, but not far; see `_LONG`."""
    step = np.clip(plain - before, -_LONG * epsilon, _LONG * epsilon)
    return plain + (relaxation - 1.0) * step


def _log_columns(problem: Relaxed, f: FloatArray, g: FloatArray, columns: FloatArray) -> FloatArray:
    """Logarithms of the column sums; those of very little mass are computed anew."""
    with np.errstate(divide="ignore"):
        logs: FloatArray = np.log(columns)
    few = np.flatnonzero(columns <= _SMALL * columns.sum())
    if len(few):
        kernel = Kernel.of(problem.y[few], problem.x, problem.epsilon)
        by_row = g[few] / problem.epsilon + np.log(problem.b[few])
        for rows, top, tile in kernel.tiles(by_row, f / problem.epsilon + np.log(problem.a)):
            logs[few[rows]] = top + np.log(tile.sum(axis=1))
    return logs


def iterate(
    problem: Relaxed, g: FloatArray, *, tol: float, max_iter: int, relaxation: float
) -> Found:
    """Update both potentials in turn until gap or error is within `tol`.

    Parameters
    ----------
    problem
        What to solve. Row sums that are kept are exact.
    g
        Potential of the columns to begin with, shape `(m,)`.
    tol
        Largest gap; or error, where both marginals are kept.
    max_iter
        Passes over all pairs at most.
    relaxation
        Overrelaxation to begin with, after a first plain update.
    """
    fast = problem.kernel
    kernel = fast
    f: FloatArray = np.zeros(len(problem.a))
    history: list[float] = []
    now = 1.0
    last = False
    while True:
        f, sums, row_error = _update_rows(problem, kernel, f, g, now)
        expected = problem.b * np.exp(-g / problem.tau_target)
        error = float(np.abs(sums.columns - expected).sum()) + row_error * (now > 1.0)
        history.append(error)
        k = translation(problem, f, g)
        gap = relative_gap(problem, f, g, sums)
        total = float(sums.rows.sum())
        found = Found(f + k, g - k, total, gap, error, len(history), relaxation)
        done = found.reached <= tol or len(history) >= max_iter
        if total == 0.0 or (done and (last or not isinf(problem.tau_source))):
            return found
        last = done
        # The last pass makes row sums that are kept exact to rounding.
        kernel = Kernel.of(problem.x, problem.y, problem.epsilon) if last else fast
        logs = _log_columns(problem, f, g, sums.columns)
        plain = problem.damping[1] * (g - problem.epsilon * (logs - np.log(problem.b)))
        g = _relaxed(g, plain, now, problem.epsilon)
        relaxation = _next_relaxation(problem, relaxation, history)
        now = 1.0 if last else relaxation


def _largest_relaxation(problem: Relaxed) -> float:
    """Overrelaxation that is best where nothing but the damping makes the updates converge."""
    plain = problem.damping[0] * problem.damping[1]
    return min(2.0 / (1.0 + sqrt(1.0 - plain)), _MAX_RELAXATION)


def _next_relaxation(problem: Relaxed, omega: float, history: list[float]) -> float:
    """The best overrelaxation, from the errors so far; see `sinkhorn`."""
    largest = _largest_relaxation(problem)
    if len(history) % _OBSERVED or len(history) <= _OBSERVED:
        return min(omega, largest)
    rate = (history[-1] / history[-_OBSERVED]) ** (1.0 / (_OBSERVED - 1))
    if not 0.0 < rate < 1.0:
        return min(omega, _FIRST_RELAXATION, largest)
    return min(best_relaxation(rate, omega), largest)


def solve(problem: Relaxed, *, tol: float, max_iter: int, rng: np.random.Generator) -> Found:
    """Solve by `iterate`, from the potentials of a subsample.

    Parameters
    ----------
    problem
        What to solve.
    tol, max_iter
        See `iterate`.
    rng
        Draws subsamples.
    """
    if isinf(problem.tau_target) and not isinf(problem.tau_source):
        # Rows are those that can be kept exactly.
        found = solve(problem.reversed, tol=tol, max_iter=max_iter, rng=rng)
        return found._replace(f=found.g, g=found.f)
    g, relaxation = _first(problem, rng)
    return iterate(problem, g, tol=tol, max_iter=max_iter, relaxation=relaxation)


def _first(problem: Relaxed, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """Potential `g (m,)` and overrelaxation to begin with, from a subsample or larger epsilons."""
    size = max(len(problem.x), len(problem.y)) // _RATIO
    if size * _RATIO > _LARGE:
        rows, a = _sample(problem.a, size, rng)
        columns, b = _sample(problem.b, size, rng)
        few = replace(problem, x=problem.x[rows], y=problem.y[columns], a=a, b=b)
        g, relaxation = _first(few, rng)
        found = iterate(few, g, tol=_ROUGH_TOL, max_iter=_ROUGH_ITER, relaxation=relaxation)
        logger.debug("%d cells: gap %.2g after %d passes", size, found.reached, found.n_iter)
        to_columns = replace(few, x=problem.y, y=few.x, a=problem.b, b=a)
        to_columns = replace(
            to_columns, tau_source=problem.tau_target, tau_target=problem.tau_source
        )
        zero: FloatArray = np.zeros(len(problem.y))
        extended, *_ = _update_rows(to_columns, to_columns.kernel, zero, found.f, 1.0)
        return extended, found.relaxation
    g = np.zeros(len(problem.y))
    epsilon = sum(float(np.linalg.norm(z, axis=1).max()) for z in (problem.x, problem.y)) ** 2
    while epsilon > problem.epsilon:
        smoother = replace(problem, epsilon=epsilon)
        g = iterate(smoother, g, tol=_ROUGH_TOL, max_iter=_STEP_ITER, relaxation=1.0).g
        epsilon /= _STEP
    return g, min(_FIRST_RELAXATION, _largest_relaxation(problem))


def _sample(weight: FloatArray, size: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Draw cells by weight: those drawn, in random order, and their shares of the draws."""
    if len(weight) <= size:
        return np.arange(len(weight)), weight
    order = rng.permutation(len(weight))
    drawn, counts = np.unique(systematic(weight[order], size, rng), return_counts=True)
    return order[drawn], counts / size
