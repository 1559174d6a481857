r"""Sinkhorn's iteration for entropic transport with relaxed marginals, overrelaxed.

.. math::
    f_i \leftarrow -\frac{\tau_s}{\tau_s + \varepsilon} \, \varepsilon
    \log \sum_j b_j \exp((g_j - |x_i - y_j|^2) / \varepsilon)

and the same for `g`, in turn. Each update solves one of the two equations of the optimum (see
`relaxed`). One pass over all pairs updates `f`, gives the column sums for the update of `g`, and
the gap. The factor :math:`\tau / (\tau + \varepsilon)` bounds the rate of convergence, and so
the overrelaxation; where convergence is faster, a smaller one is better.

Large problems start from the potentials of a subsample. Between two passes over all pairs they are
iterated on the heaviest pairs only; see `thinned`.

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
from math import inf, isinf, sqrt
from typing import NamedTuple

import numpy as np

from cellflow.core._random import systematic
from cellflow.core._typing import FloatArray, IntArray
from cellflow.transport.passes import AllPairs, Updated, overrelaxed
from cellflow.transport.relaxed import Relaxed, relative_gap, translation
from cellflow.transport.sinkhorn import best_relaxation
from cellflow.transport.thinned import FewPairs, Heavy

__all__ = ["Found", "iterate", "solve"]

logger = logging.getLogger("cellflow")

#: From this size on, potentials are first found on a subsample.
_LARGE = 1000
#: How many times smaller a subsample is.
_RATIO = 4
#: The relative gap of a subsample, and its iterations.
_ROUGH_TOL = 1e-3
_ROUGH_ITER = 200
#: Ratio of successive epsilons, from the largest cost down, and iterations with each.
_STEP = 4.0
_STEP_ITER = 20
#: Share of the tolerance that is asked for on the heaviest pairs, and iterations on them.
_FINER = 0.1
_FEW_ITER = 500
#: A pass over all pairs reduces the gap at least to this share, or the heaviest pairs are given up.
_SLOW = 0.9
#: Iterations between two estimates of the rate of convergence.
_OBSERVED = 8
#: Overrelaxation to begin with where no smaller one is known to be best, and the largest; at 2 the
#: iteration would not converge.
_FIRST_RELAXATION = 1.7
_MAX_RELAXATION = 1.95


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

    @classmethod
    def of(
        cls, problem: Relaxed, updated: Updated, g: FloatArray, n_iter: int, relaxation: float
    ) -> Found:
        """What an update of the rows has found."""
        f, sums, row_error = updated
        with np.errstate(over="ignore"):  # the first potentials may be far off
            columns = problem.b * np.exp(-g / problem.tau_target)
        error = float(np.abs(sums.columns - columns).sum()) + row_error
        gap = relative_gap(problem, f, g, sums)
        k = translation(problem, f, g)
        return cls(f + k, g - k, float(sums.rows.sum()), gap, error, n_iter, relaxation)


def iterate(
    pairs: AllPairs | FewPairs,
    f: FloatArray,
    g: FloatArray,
    *,
    tol: float,
    max_iter: int,
    relaxation: float,
) -> Found:
    """Update both potentials in turn until gap or error is within `tol`.

    Parameters
    ----------
    pairs
        What to solve. Row sums that are kept are exact.
    f, g
        Potentials to begin with, shapes `(n,)` and `(m,)`; the former only as a reference.
    tol
        Largest gap; or error, where both marginals are kept.
    max_iter
        Passes at most.
    relaxation
        Overrelaxation to begin with, after a first plain update.
    """
    problem = pairs.problem
    history: list[float] = []
    now = 1.0
    last = False
    while True:
        updated = (pairs.exact if last else pairs).update(f, g, now)
        if now == 1.0:
            updated = updated._replace(error=0.0)  # a plain update leaves no error of the rows
        found = Found.of(problem, updated, g, len(history) + 1, relaxation)
        history.append(found.error)
        done = found.reached <= tol or len(history) >= max_iter
        if found.total == 0.0 or (done and (last or not isinf(problem.tau_source))):
            return found
        f = updated.f
        logs = pairs.log_columns(f, g, updated.sums.columns)
        plain = problem.damping[1] * (g - problem.epsilon * (logs - np.log(problem.b)))
        g = overrelaxed(g, plain, now, problem.epsilon)
        if not pairs.cover(f, g):
            return found
        relaxation = _next_relaxation(problem, relaxation, history)
        last = done
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
    """Solve from the potentials of a subsample, until gap or error is within `tol`.

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
    return _solve(problem, g, tol=tol, max_iter=max_iter, relaxation=relaxation, rng=rng)


def _solve(
    problem: Relaxed,
    g: FloatArray,
    *,
    tol: float,
    max_iter: int,
    relaxation: float,
    rng: np.random.Generator,
) -> Found:
    """Solve by passes over all pairs, and iterations on the heaviest pairs between them."""
    whole = AllPairs.of(problem, tol)
    f: FloatArray = np.zeros(len(problem.x))
    few = None
    before = inf
    n_iter = 0
    heavy = Heavy.sampled(whole, g, rng)
    if heavy is not None:
        updated = whole.update(f, g, 1.0, heavy.read)
        f = updated.f
        few = heavy.among(updated, g)
        n_iter = 1
    while few is not None and n_iter < max_iter:
        inner = iterate(few, f, g, tol=_FINER * tol, max_iter=_FEW_ITER, relaxation=relaxation)
        g = inner.g
        relaxation = inner.relaxation
        # Other pairs may be the heavy ones by now.
        heavy = Heavy.sampled(whole, g, rng) if before < inf else None
        updated = whole.update(inner.f, g, 1.0, heavy.read if heavy else None)
        few = heavy.among(updated, g) if heavy else few.corrected(updated, g)
        f = updated.f
        n_iter += 1
        found = Found.of(problem, updated._replace(error=0.0), g, n_iter, relaxation)
        logger.debug("%d passes on heavy pairs, then gap %.2g", inner.n_iter, found.reached)
        if found.reached <= tol and not isinf(problem.tau_source):
            return found
        if not tol < found.reached < _SLOW * before:
            break
        before = found.reached
    found = iterate(whole, f, g, tol=tol, max_iter=max_iter, relaxation=relaxation)
    return found._replace(n_iter=found.n_iter + n_iter)


def _first(problem: Relaxed, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """Potential `g (m,)` and overrelaxation to begin with, from a subsample or larger epsilons."""
    size = max(len(problem.x), len(problem.y)) // _RATIO
    if size * _RATIO > _LARGE:
        rows, a = _sample(problem.a, size, rng)
        columns, b = _sample(problem.b, size, rng)
        few = replace(problem, x=problem.x[rows], y=problem.y[columns], a=a, b=b)
        g, relaxation = _first(few, rng)
        found = _solve(few, g, tol=_ROUGH_TOL, max_iter=_ROUGH_ITER, relaxation=relaxation, rng=rng)
        logger.debug("%d cells: gap %.2g after %d passes", size, found.reached, found.n_iter)
        to_columns = replace(problem.reversed, y=few.x, b=a)
        extended = AllPairs.of(to_columns).update(np.zeros(len(problem.y)), found.f, 1.0)
        return extended.f, found.relaxation
    zero: FloatArray = np.zeros(len(problem.x))
    g = np.zeros(len(problem.y))
    epsilon = sum(float(np.linalg.norm(z, axis=1).max()) for z in (problem.x, problem.y)) ** 2
    while epsilon > problem.epsilon:
        smoother = AllPairs.of(replace(problem, epsilon=epsilon))
        g = iterate(smoother, zero, g, tol=_ROUGH_TOL, max_iter=_STEP_ITER, relaxation=1.0).g
        epsilon /= _STEP
    return g, min(_FIRST_RELAXATION, _largest_relaxation(problem))


def _sample(weight: FloatArray, size: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Draw cells by weight: those drawn, in random order, and their shares of the draws."""
    if len(weight) <= size:
        return np.arange(len(weight)), weight
    order = rng.permutation(len(weight))
    drawn, counts = np.unique(systematic(weight[order], size, rng), return_counts=True)
    return order[drawn], counts / size
