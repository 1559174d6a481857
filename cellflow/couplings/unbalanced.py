"""Transport between populations that grow and shrink: marginals are kept roughly."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from math import isinf

import numpy as np

from cellflow.core._numbers import as_count, as_number
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.core.plans import PotentialPlan
from cellflow.core.population import Population
from cellflow.couplings.base import Cloud, cloud
from cellflow.errors import CouplingError, CouplingWarning
from cellflow.transport.relaxed import Relaxed
from cellflow.transport.scaling import solve

__all__ = ["Unbalanced"]

logger = logging.getLogger("cellflow")


@dataclass(frozen=True)
class Unbalanced:
    r"""Entropic transport whose marginals are relaxed, for squared Euclidean cost.

    .. math:: \min_\pi \sum_{ij} \pi_{ij} |x_i - y_j|^2
              + \varepsilon\, \mathrm{KL}(\pi \,\|\, a \otimes b)
              + \tau_s\, \mathrm{KL}(\pi 1 \,\|\, a) + \tau_t\, \mathrm{KL}(\pi^T 1 \,\|\, b)

    Where the shares of cell types change, a balanced plan moves mass from one type to another. Here
    a plan may have less or more mass at a cell instead, which is read as growth or death: for small
    `tau` mass stays near, for large `tau` the plan is nearly balanced. The total of the plan is
    free, and at most one; what can be compared between cells is the mass of each relative to its
    weight.

    All strengths are in units of the mean cost of independent pairs,
    :math:`\sum_{ij} a_i b_j |x_i - y_j|^2`, so one setting serves data of any scale. `inf` keeps
    the marginal of that side exactly. Cells of weight zero have no mass in the plan.

    Potentials start from a subsample. A pass over all pairs updates both of them and gives the gap
    between the objective and its dual value, which bounds the distance to the optimum. Time grows
    with the number of pairs, memory with the number of cells.

    Parameters
    ----------
    tau
        Strength with which both marginals are kept.
    tau_source, tau_target
        Strength of one side, instead of `tau`.
    epsilon
        Entropic regularisation: pairs are spread over distances of about its square root.
    tol
        Stop when (objective - dual value) / objective is at most this; where both marginals are
        kept, when the sum of absolute errors of the column masses is.
    max_iter
        Passes over all pairs at most.
    random_state
        Seed of the subsamples.

    Raises
    ------
    InputError
        A strength that is not positive.
    CouplingError
        The plan has no mass: everything is too far away for so small a `tau`.

    Warns
    -----
    CouplingWarning
        The gap is still above `tol` after `max_iter` passes.

    References
    ----------
    Chizat, L., Peyre, G., Schmitzer, B. & Vialard, F.-X. (2018). Scaling algorithms for unbalanced
    optimal transport problems. Mathematics of Computation 87.
    Liero, M., Mielke, A. & Savare, G. (2018). Optimal entropy-transport problems and a new
    Hellinger-Kantorovich distance between positive measures. Inventiones mathematicae 211.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> place = np.array([[0.0, 0.0], [9.0, 0.0]])
    >>> source = Population(place[np.arange(60) % 2] + rng.normal(size=(60, 2)), 0.0)
    >>> target = Population(place[np.arange(60) % 3 % 2] + rng.normal(size=(60, 2)), 1.0)
    >>> i, j = Unbalanced(0.1)(source, target).sample(1000, rng)
    >>> bool((abs(source.x[i] - target.x[j]) < 6).all())
    True
    """

    tau: float = 1.0
    tau_source: float | None = field(default=None, kw_only=True)
    tau_target: float | None = field(default=None, kw_only=True)
    epsilon: float = field(default=0.02, kw_only=True)
    tol: float = field(default=1e-4, kw_only=True)
    max_iter: int = field(default=1000, kw_only=True)
    random_state: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        _require_strength("tau", self.tau)
        for name in ("tau_source", "tau_target"):
            if getattr(self, name) is not None:
                _require_strength(name, getattr(self, name))
        as_number("epsilon", self.epsilon, above=0.0)
        as_number("tol", self.tol, above=0.0)
        as_count("max_iter", self.max_iter)
        object.__setattr__(self, "random_state", as_seed(self.random_state))

    @property
    def strengths(self) -> tuple[float, float]:
        """Strength of the source and of the target marginal."""
        source = self.tau if self.tau_source is None else self.tau_source
        target = self.tau if self.tau_target is None else self.tau_target
        return float(source), float(target)

    @guarded
    def __call__(self, source: Population, target: Population) -> PotentialPlan:
        """Couple two whole populations."""
        centre = target.weight @ target.x
        a = cloud(source, centre)
        b = cloud(target, centre)
        unit = _mean_cost(a, b) or 1.0  # all cells at one place: every plan costs nothing
        tau = self.strengths
        problem = Relaxed(
            a.x, b.x, a.weight, b.weight, self.epsilon * unit, tau[0] * unit, tau[1] * unit
        )
        found = solve(problem, tol=self.tol, max_iter=self.max_iter, rng=stream(self.random_state))
        logger.debug("relaxed plan: gap %.2g after %d passes", found.gap, found.n_iter)
        if not found.total > 0.0:
            msg = (
                f"The plan of {len(source)} x {len(target)} cells has no mass: with tau={tau}"
                " of the mean cost, every cell is too far from the other side. Raise `tau`."
            )
            raise CouplingError(msg)
        if not found.reached <= self.tol:
            what = "an error of the marginals" if isinf(min(tau)) else "a gap"
            msg = (
                f"The plan of {len(source)} x {len(target)} cells has {what} of"
                f" {found.reached:.2g} after {found.n_iter} passes; expected tol={self.tol:g}."
                " Raise `max_iter`, `epsilon` or `tol`."
            )
            warn(msg, CouplingWarning)
        return PotentialPlan(
            source.x - centre,
            target.x - centre,
            source.weight,
            target.weight,
            _everywhere(found.f, a, len(source)),
            _everywhere(found.g, b, len(target)),
            problem.epsilon,
            found.error,
            gap=None if isinf(min(tau)) else found.gap,
        )


def _require_strength(name: str, value: object) -> None:
    """Refuse what is no positive number; infinity is one."""
    remedy = ", or inf, which keeps the marginal"
    if not (isinstance(value, float | np.floating) and value == np.inf):
        as_number(name, value, above=0.0, remedy=remedy)


def _mean_cost(a: Cloud, b: Cloud) -> float:
    """Mean squared distance of independent pairs, from the moments of both sides."""
    between = a.weight @ a.x - b.weight @ b.x
    spread = [_variance(side) for side in (a, b)]
    return float(sum(spread) + between @ between)


def _variance(side: Cloud) -> float:
    step = side.x - side.weight @ side.x
    return float(side.weight @ np.einsum("ij,ij->i", step, step))


def _everywhere(potential: FloatArray, side: Cloud, n: int) -> FloatArray:
    """Potentials of all cells; zero for cells without weight, whose mass is zero anyway."""
    full = np.zeros(n)
    full[side.rows] = potential
    return full
