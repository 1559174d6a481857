r"""Sinkhorn's iteration for entropic transport, in the log domain.

.. math:: \min_\pi \sum_{ij} \pi_{ij} |x_i - y_j|^2 + \varepsilon \,
          \mathrm{KL}(\pi \,\|\, a \otimes b), \qquad \pi 1 = a, \quad \pi^T 1 = b

The optimum is :math:`\pi_{ij} = a_i b_j \exp((f_i + g_j - |x_i - y_j|^2) / \varepsilon)`. The
iteration alternates between the potentials `f`, which give each row its mass, and `g`, which give
each column its mass. Here the plan is scaled, :math:`u_i \pi_{ij} v_j`, so that an iteration is two
products with each tile of a fixed matrix; extreme scalings are absorbed into the potentials.

References
----------
Cuturi, M. (2013). Sinkhorn distances: lightspeed computation of optimal transport. NeurIPS.
Schmitzer, B. (2019). Stabilized sparse scaling algorithms for entropy regularized transport
problems. SIAM J. Sci. Comput. 41.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Literal, NamedTuple

import numpy as np

from cellflow.core._neighbors import squared_distances
from cellflow.core._random import systematic
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans.potentials import gibbs

__all__ = ["Entropic", "Potentials", "best_relaxation", "first_potential", "sinkhorn"]

#: Numbers in one tile, small enough to stay in the cache between the two products of an iteration
#: (1 MiB).
_TILE = 2**17
#: Up to this many pairs (half a gigabyte), the plan is kept between iterations; above, its tiles
#: are computed anew.
_KEPT_PAIRS = 2**26
#: From this size on, potentials are first found on a subsample.
_LARGE = 1000
#: How many times smaller a subsample is.
_RATIO = 4
#: Tolerance, and number of iterations, of a subsample.
_ROUGH_TOL = 1e-2
_ROUGH_ITER = 200
#: Ratio of successive epsilons, from the largest cost down, and iterations with each.
_STEP = 4.0
_STEP_ITER = 50
#: Scalings beyond this are absorbed into the potentials, before anything under- or overflows.
_WIDE = 1e20
#: Columns of less mass than this are computed anew from the potentials.
_UNDERFLOW = 1e-250
#: Iterations between two estimates of the rate of convergence.
_OBSERVED = 16
#: The largest overrelaxation; at 2 the iteration would not converge.
_MAX_RELAXATION = 1.95


@dataclass(frozen=True, eq=False)
class Entropic:
    """What to solve."""

    x: FloatArray  # positions, `(n, d)`, centred
    y: FloatArray  # `(m, d)`
    a: FloatArray  # weights, `(n,)`, positive
    b: FloatArray  # `(m,)`
    epsilon: float  # regularisation, in units of the cost

    @property
    def reversed(self) -> Entropic:
        """The same problem with source and target exchanged."""
        return Entropic(self.y, self.x, self.b, self.a, self.epsilon)

    @property
    def blocks(self) -> list[slice]:
        """Rows of each tile of the matrix."""
        step = max(1, _TILE // len(self.y))
        return [slice(start, start + step) for start in range(0, len(self.x), step)]

    def soft_transform(self, g: FloatArray) -> FloatArray:
        r"""Return the potential `f (n,)` that gives each row its mass, for `g (m,)`.

        .. math:: f_i = -\varepsilon \log \sum_j b_j \exp((g_j - |x_i - y_j|^2) / \varepsilon)
        """
        f = np.empty(len(self.x))
        by_column = g / self.epsilon + np.log(self.b)
        for rows in self.blocks:
            exponent = squared_distances(self.x[rows], self.y)
            exponent *= -1.0 / self.epsilon
            exponent += by_column
            top = exponent.max(axis=1)
            exponent -= top[:, None]
            f[rows] = -self.epsilon * (top + np.log(np.exp(exponent, out=exponent).sum(axis=1)))
        return f

    def tiles(self, f: FloatArray, g: FloatArray) -> Sequence[FloatArray]:
        """Rows of the plan of these potentials, tile by tile: kept, or computed at every access."""
        by_row = f / self.epsilon + np.log(self.a)
        by_column = g / self.epsilon + np.log(self.b)
        tiles = _Tiles(self, self.blocks, by_row, by_column)
        return list(tiles) if len(self.x) * len(self.y) <= _KEPT_PAIRS else tiles


@dataclass(frozen=True, eq=False)
class _Tiles(Sequence[FloatArray]):
    problem: Entropic
    blocks: list[slice]
    by_row: FloatArray
    by_column: FloatArray

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, k: Any) -> Any:
        rows = self.blocks[k]
        costs = squared_distances(self.problem.x[rows], self.problem.y)
        return gibbs(costs, self.by_row[rows], self.by_column, self.problem.epsilon, out=costs)


class Potentials(NamedTuple):
    """Potentials `f (n,)`, `g (m,)`, the sum of errors of the marginals, and iterations taken."""

    f: FloatArray
    g: FloatArray
    error: float
    n_iter: int


def first_potential(problem: Entropic, rng: np.random.Generator) -> FloatArray:
    """Potential `g (m,)` to begin with: from a subsample, or from a larger epsilon."""
    if max(len(problem.x), len(problem.y)) > _LARGE:
        size = max(len(problem.x), len(problem.y)) // _RATIO
        rows, a = _sample(problem.a, size, rng)
        columns, b = _sample(problem.b, size, rng)
        few = Entropic(problem.x[rows], problem.y[columns], a, b, problem.epsilon)
        found = sinkhorn(few, first_potential(few, rng), tol=_ROUGH_TOL, max_iter=_ROUGH_ITER)
        to_columns = Entropic(problem.y, few.x, problem.b, a, problem.epsilon)
        return to_columns.soft_transform(found.f)
    g: FloatArray = np.zeros(len(problem.y))
    epsilon = float(squared_distances(problem.x, problem.y).max())
    while epsilon > problem.epsilon:
        smoother = replace(problem, epsilon=epsilon)
        g = sinkhorn(smoother, g, tol=_ROUGH_TOL, max_iter=_STEP_ITER).g
        epsilon /= _STEP
    return g


def _sample(weight: FloatArray, size: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Draw cells by weight: those drawn, in random order, and their shares of the draws."""
    order = rng.permutation(len(weight))
    drawn, counts = np.unique(systematic(weight[order], size, rng), return_counts=True)
    return order[drawn], counts / size


def sinkhorn(problem: Entropic, g: FloatArray, *, tol: float, max_iter: int) -> Potentials:
    """Iterate until the column masses are within `tol`; row masses are exact.

    Parameters
    ----------
    problem
        What to solve.
    g
        Potential of the columns to begin with, shape `(m,)`.
    tol
        Largest sum of absolute errors of the column masses.
    max_iter
        Iterations at most; the error that is left is returned.
    """
    epsilon = problem.epsilon
    history = [np.inf]
    relaxation = 1.0
    while True:
        f = problem.soft_transform(g)
        scaled = _scaled(problem, problem.tiles(f, g), relaxation, history, tol, max_iter)
        relaxation = scaled.relaxation
        with_u = f + epsilon * np.log(scaled.u)
        if scaled.ended == "done":
            with_v = g + epsilon * np.log(scaled.v)
            return Potentials(with_u, with_v, scaled.error, len(history) - 1)
        if scaled.ended == "underflow":
            g = problem.reversed.soft_transform(with_u)
        else:
            g = g + epsilon * np.log(scaled.v)


class _Scaled(NamedTuple):
    """Scalings `u (n,)`, `v (m,)` of a plan, the error they leave, and why the iteration ended."""

    u: FloatArray
    v: FloatArray
    error: float
    relaxation: float
    ended: Literal["done", "underflow", "wide"]


def _scaled(
    problem: Entropic,
    tiles: Sequence[FloatArray],
    relaxation: float,
    history: list[float],
    tol: float,
    max_iter: int,
) -> _Scaled:
    """Scale rows and columns of a plan in turn; adds the error of each iteration to `history`.

    Steps are overrelaxed as the observed rate suggests, and plain again before the end, so that
    rows are exact.
    """
    u = np.ones(len(problem.x))
    v = np.ones(len(problem.y))
    while True:
        columns = np.zeros(len(v))
        error = 0.0
        for k, rows in enumerate(problem.blocks):
            mass = tiles[k]
            a = problem.a[rows]
            found = u[rows] * (mass @ v)
            error += float(np.abs(found - a).sum()) if relaxation > 1.0 else 0.0
            u[rows] *= (a / found) ** relaxation
            columns += u[rows] @ mass
        error += float(np.abs(v * columns - problem.b).sum())
        if relaxation == 1.0 and (error <= tol or len(history) > max_iter):
            return _Scaled(u, v, error, relaxation, "done")
        history.append(error)
        if not columns.min() > _UNDERFLOW:
            return _Scaled(u, v, error, relaxation, "underflow")
        v *= (problem.b / (v * columns)) ** relaxation
        relaxation = _relaxation(relaxation, history, tol, max_iter)
        if max(v.max(), 1.0 / v.min(), u.max(), 1.0 / u.min()) > _WIDE:
            return _Scaled(u, v, error, relaxation, "wide")


def _relaxation(omega: float, history: list[float], tol: float, max_iter: int) -> float:
    """The next overrelaxation, from the errors so far."""
    if history[-1] <= tol or len(history) > max_iter:
        return 1.0
    if len(history) % _OBSERVED or len(history) <= _OBSERVED:
        return omega
    rate = (history[-1] / history[-_OBSERVED]) ** (1.0 / (_OBSERVED - 1))
    return best_relaxation(rate, omega) if rate < 1.0 else 1.0


def best_relaxation(rate: float, omega: float) -> float:
    r"""The best overrelaxation, for errors that fall at a rate below one with `omega`.

    If plain iterations converge at the rate :math:`\lambda`, those with :math:`\omega` do at
    :math:`\mu` where :math:`(\mu + \omega - 1)^2 = \lambda \mu \omega^2`, and the best
    :math:`\omega` is :math:`2 / (1 + \sqrt{1 - \lambda})`.

    References
    ----------
    Lehmann, T. et al. (2022). A note on overrelaxation in the Sinkhorn algorithm. Optimization
    Letters 16.
    """
    plain = min((rate + omega - 1.0) ** 2 / (rate * omega**2), 1.0)
    return min(2.0 / (1.0 + sqrt(1.0 - plain)), _MAX_RELAXATION)
