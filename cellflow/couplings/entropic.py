"""Entropic transport: the coupling of a Schrödinger bridge."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cellflow.core._numbers import as_count, as_number
from cellflow.core._random import stream
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans import PotentialPlan
from cellflow.core.population import Population
from cellflow.couplings.base import cloud
from cellflow.errors import CouplingError, InputError
from cellflow.transport import sinkhorn

__all__ = ["Entropic"]

logger = logging.getLogger("cellflow")


@dataclass(frozen=True)
class Entropic:
    r"""Entropic transport for squared Euclidean cost, by Sinkhorn's iteration in the log domain.

    With `sigma`, the plan is that of the Schrödinger bridge whose reference is Brownian motion of
    diffusion `sigma` over the time between the two populations:

    .. math:: \min_\pi \; \mathbb{E}_\pi |x - y|^2
              + \varepsilon \, \mathrm{KL}(\pi \,\|\, a \otimes b),
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
    Schmitzer, B. (2019). Stabilized sparse scaling algorithms for entropy regularized transport
    problems. SIAM J. Sci. Comput. 41.

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
        as_number("tol", self.tol, above=0.0)
        as_count("max_iter", self.max_iter)
        if self.epsilon is not None:
            as_number("epsilon", self.epsilon, above=0.0)
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
        a = cloud(source, centre)
        b = cloud(target, centre)
        problem = sinkhorn.Entropic(a.x, b.x, a.weight, b.weight, epsilon)
        first = sinkhorn.first_potential(problem, stream(0))
        found = sinkhorn.sinkhorn(problem, first, tol=self.tol, max_iter=self.max_iter)
        logger.debug(
            "entropic plan, epsilon %.4g: marginal error %.2g after %d iterations",
            epsilon,
            found.error,
            found.n_iter,
        )
        if not found.error <= self.tol:
            msg = (
                f"Entropic transport with epsilon={epsilon:.4g} has a marginal error of"
                f" {found.error:.2g} after {found.n_iter} iterations (tol={self.tol:g}). Raise"
                " `sigma` (or `epsilon`), `max_iter` or `tol`, or use Sparse()."
            )
            raise CouplingError(msg)
        return PotentialPlan(
            source.x - centre,
            target.x - centre,
            source.weight,
            target.weight,
            _everywhere(found.f, a.rows, len(source)),
            _everywhere(found.g, b.rows, len(target)),
            epsilon,
            found.error,
        )


def _everywhere(potential: FloatArray, rows: IntArray, n: int) -> FloatArray:
    """Potentials of all cells; zero for cells without weight, whose mass is zero anyway."""
    full = np.zeros(n)
    full[rows] = potential
    return full
