"""Entropic transport: the coupling of a Schrödinger bridge."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from cellflow.core._neighbors import squared_distances
from cellflow.core._numbers import as_number
from cellflow.core._random import stream, systematic
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans import PotentialPlan
from cellflow.core.population import Population
from cellflow.couplings.base import cloud, positive, whole
from cellflow.errors import CouplingError, InputError

__all__ = ["Entropic"]

logger = logging.getLogger("cellflow")

#: Numbers in one tile, small enough to stay in the cache between the two products of an iteration
#: (1 MiB).
_TILE = 2**17
#: Up to this many pairs (half a gigabyte), the plan is kept between iterations; above, its tiles
#: are computed anew.
_KEPT_PAIRS = 2**26
#: From this size on, potentials are first found on a subsample, this many times smaller.
_LARGE = 1000
_RATIO = 4
#: Scalings beyond this are taken up into the potentials, before anything under- or overflows.
_WIDE = 1e20
#: Iterations between two looks at the rate of convergence, and the largest overrelaxation that is
#: dared.
_OBSERVED = 16
_MAX_RELAXATION = 1.95


@dataclass(frozen=True)
class Entropic:
    r"""Entropic transport for squared Euclidean cost, by Sinkhorn's iteration in the log domain.

    With `sigma`, the plan is that of the Schrödinger bridge whose reference is Brownian motion of
    diffusion `sigma` over the time between the two populations:

    .. math:: \min_\pi \; \mathbb{E}_\pi |x - y|^2 + \varepsilon \, \mathrm{KL}(\pi \,\|\, a \otimes b),
              \qquad \varepsilon = 2 \sigma^2 (t_1 - t_0).

    Potentials start from a subsample, and there from a larger epsilon. The plan is kept while it
    fits into half a gigabyte; for larger populations it is computed tile by tile in each iteration.

    Parameters
    ----------
    sigma
        Diffusion per square root of time; `"auto"` stands for the value that fitting derives from
        the snapshots' times.
    epsilon
        Regularisation itself, instead of `sigma`.
    tol
        Largest sum of absolute errors of the column masses; row masses are exact.
    max_iter
        Iterations at full size.

    Raises
    ------
    CouplingError
        Not within `tol` after `max_iter` iterations.

    References
    ----------
    Cuturi, M. (2013). Sinkhorn distances: lightspeed computation of optimal transport. NeurIPS.
    Schmitzer, B. (2019). Stabilized sparse scaling algorithms for entropy regularized transport problems. SIAM J. Sci. Comput.

    Examples
    --------
    >>> cells = np.array([[0.0], [1.0]])
    >>> plan = Entropic(epsilon=1e3)(Population(cells, 0.0), Population(cells, 1.0))
    >>> np.round(plan.barycentre(cells), 3).ravel()
    array([0.5, 0.5])
    """

    sigma: float | Literal["auto"] | None = "auto"
    epsilon: float | None = None
    tol: float = 1e-5
    max_iter: int = 5000

    def __post_init__(self) -> None:
        positive(tol=self.tol)
        whole(max_iter=self.max_iter)
        if self.epsilon is not None:
            positive(epsilon=self.epsilon)
            if not (self.sigma is None or self.sigma == "auto"):
                msg = (
                    f"sigma={self.sigma!r} and epsilon={self.epsilon!r} say the same thing twice;"
                    " give one of them."
                )
                raise InputError(msg)
        elif self.sigma is None:
            msg = "Entropic transport needs `sigma` or `epsilon`; found neither."
            raise InputError(msg)
        elif self.sigma != "auto":
            as_number("sigma", self.sigma, above=0.0, remedy=', "auto" or None')

    def regularisation(self, source: Population, target: Population) -> float:
        """Epsilon between these populations."""
        if self.epsilon is not None:
            return self.epsilon
        if self.sigma is None or isinstance(self.sigma, str):
            msg = (
                'sigma="auto" depends on the times of all snapshots and is resolved by a fit; pass'
                " a number here."
            )
            raise InputError(msg)
        if not target.time > source.time:
            msg = (
                f"The target's time ({target.time:g}) must be after the source's ({source.time:g});"
                " or pass `epsilon`."
            )
            raise InputError(msg)
        return 2.0 * self.sigma**2 * (target.time - source.time)

    @guarded
    def __call__(self, source: Population, target: Population) -> PotentialPlan:
        """Couple two whole populations."""
        epsilon = self.regularisation(source, target)
        centre = target.weight @ target.x
        (rows, x, a), (columns, y, b) = cloud(source, centre), cloud(target, centre)
        start = _start(x, y, a, b, epsilon, stream(0))
        f, g, error, n_iter = _sinkhorn(x, y, a, b, start, epsilon, self.tol, self.max_iter)
        logger.debug(
            "entropic plan, epsilon %.4g: marginal error %.2g after %d iterations",
            epsilon,
            error,
            n_iter,
        )
        if not error <= self.tol:
            msg = (
                f"Entropic transport with epsilon={epsilon:.4g} has a marginal error of {error:.2g}"
                f" after {n_iter} iterations (tol={self.tol:g}). Raise `sigma` (or `epsilon`),"
                " `max_iter` or `tol`, or use Sparse()."
            )
            raise CouplingError(msg)

        def everywhere(potential: FloatArray, kept: IntArray, n: int) -> FloatArray:
            full = np.zeros(n)
            full[kept] = potential
            return full

        return PotentialPlan(
            source.x - centre,
            target.x - centre,
            source.weight,
            target.weight,
            everywhere(f, rows, len(source)),
            everywhere(g, columns, len(target)),
            epsilon,
            error,
        )


def _blocks(n: int, m: int) -> Iterator[slice]:
    step = max(1, _TILE // m)
    return (slice(start, start + step) for start in range(0, n, step))


def _soft_transform(
    x: FloatArray, y: FloatArray, g: FloatArray, b: FloatArray, epsilon: float
) -> FloatArray:
    """Potential of each `x` that gives it its whole mass: the soft minimum of `|x - y|^2 - g(y)`, shape `(n,)`."""
    f = np.empty(len(x))
    by_column = g / epsilon + np.log(b)
    for rows in _blocks(len(x), len(y)):
        exponent = squared_distances(x[rows], y)
        exponent *= -1.0 / epsilon
        exponent += by_column
        top = exponent.max(axis=1)
        exponent -= top[:, None]
        f[rows] = -epsilon * (top + np.log(np.exp(exponent, out=exponent).sum(axis=1)))
    return f


def _start(
    x: FloatArray,
    y: FloatArray,
    a: FloatArray,
    b: FloatArray,
    epsilon: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Find potentials `g` to begin with: from a subsample, or from a larger epsilon."""
    if max(len(x), len(y)) > _LARGE:
        size = max(len(x), len(y)) // _RATIO
        rows, a_few = _sample(a, size, rng)
        columns, b_few = _sample(b, size, rng)
        g = _start(x[rows], y[columns], a_few, b_few, epsilon, rng)
        f, *_ = _sinkhorn(x[rows], y[columns], a_few, b_few, g, epsilon, 1e-2, 200)
        return _soft_transform(y, x[rows], f, a_few, epsilon)
    g = np.zeros(len(y))
    step = float(squared_distances(x, y).max())
    while step > epsilon:
        _, g, *_ = _sinkhorn(x, y, a, b, g, step, 1e-2, 50)
        step /= 4.0
    return g


def _sample(weight: FloatArray, size: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Draw by weight, systematically in random order: the cells drawn, and their shares of the draws."""
    order = rng.permutation(len(weight))
    drawn, counts = np.unique(systematic(weight[order], size, rng), return_counts=True)
    return order[drawn], counts / size


def _sinkhorn(
    x: FloatArray,
    y: FloatArray,
    a: FloatArray,
    b: FloatArray,
    g: FloatArray,
    epsilon: float,
    tol: float,
    max_iter: int,
) -> tuple[FloatArray, FloatArray, float, int]:
    """Alternate scaling until the column masses are within `tol`: potentials, error and number of iterations.

    Scalings `u, v` multiply the plan of the potentials `f, g`, so that one iteration is two
    products with each tile. Steps are overrelaxed as the observed rate suggests, and plain again
    before the end, so that rows are exact.
    """
    keep = len(x) * len(y) <= _KEPT_PAIRS
    blocks = list(_blocks(len(x), len(y)))
    relaxation = 1.0
    history = [np.inf]
    while True:
        f = _soft_transform(x, y, g, b, epsilon)
        by_row = f / epsilon + np.log(a)
        by_column = g / epsilon + np.log(b)

        def tile(
            rows: slice, by_row: FloatArray = by_row, by_column: FloatArray = by_column
        ) -> FloatArray:
            exponent = squared_distances(x[rows], y)
            exponent *= -1.0 / epsilon
            exponent += by_row[rows, None]
            exponent += by_column
            return np.exp(exponent, out=exponent)

        tiles = [tile(rows) for rows in blocks] if keep else None
        u = np.ones(len(x))
        v = np.ones(len(y))
        while True:
            columns = np.zeros(len(y))
            error = 0.0
            for k, rows in enumerate(blocks):
                mass = tiles[k] if tiles else tile(rows)
                found = u[rows] * (mass @ v)
                error += float(np.abs(found - a[rows]).sum()) if relaxation > 1.0 else 0.0
                u[rows] *= (a[rows] / found) ** relaxation
                columns += u[rows] @ mass
            error += float(np.abs(v * columns - b).sum())
            if relaxation == 1.0 and (error <= tol or len(history) > max_iter):
                return f + epsilon * np.log(u), g + epsilon * np.log(v), error, len(history) - 1
            if not columns.min() > 1e-250:
                g = _soft_transform(y, x, f + epsilon * np.log(u), a, epsilon)
                history.append(error)
                break
            v *= (b / (v * columns)) ** relaxation
            history.append(error)
            relaxation = _relaxation(relaxation, history, tol, max_iter)
            if max(v.max(), 1.0 / v.min(), u.max(), 1.0 / u.min()) > _WIDE:
                g = g + epsilon * np.log(v)
                break


def _relaxation(omega: float, history: list[float], tol: float, max_iter: int) -> float:
    r"""Choose the next overrelaxation from the errors so far.

    If plain iterations converge at the rate :math:`\lambda`, those with :math:`\omega` do at
    :math:`\mu` where
    :math:`(\mu + \omega - 1)^2 = \lambda \mu \omega^2`, and the best is :math:`2 / (1 + \sqrt{1 - \lambda})`.

    Lehmann, T. et al. (2022). A note on overrelaxation in the Sinkhorn algorithm. Optimization
    Letters 16.
    """
    if history[-1] <= tol or len(history) > max_iter:
        return 1.0
    if len(history) % _OBSERVED or len(history) <= _OBSERVED:
        return omega
    rate = (history[-1] / history[-_OBSERVED]) ** (1.0 / (_OBSERVED - 1))
    if not rate < 1.0:
        return 1.0
    plain = min((rate + omega - 1.0) ** 2 / (rate * omega**2), 1.0)
    return min(2.0 / (1.0 + sqrt(1.0 - plain)), _MAX_RELAXATION)
