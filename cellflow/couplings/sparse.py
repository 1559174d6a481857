"""Near-exact transport between whole populations, with a certificate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._numbers import as_count, as_number
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._warn import warn
from cellflow.core.plans import EdgePlan
from cellflow.core.population import Population
from cellflow.couplings.base import cloud
from cellflow.errors import CouplingWarning
from cellflow.transport.certified import certified

__all__ = ["Sparse"]


@dataclass(frozen=True)
class Sparse:
    r"""Optimal transport to a stated, certified accuracy, for tens of thousands of cells.

    .. math:: \min_\pi \sum_{ij} \pi_{ij} |x_i - y_j|^2, \qquad \pi 1 = a, \quad \pi^T 1 = b

    A subsample is solved first, by the same method. Its potentials, extended to all cells, select
    pairs of small reduced cost :math:`|x_i - y_j|^2 - u_i - v_j`. Transport on these few pairs is
    solved by an auction. Masses of many units (10,000 cells against 10,001, or weights) are rounded
    to a few for it, and a network simplex of the exact masses starts from its prices. A pass over
    all pairs gives dual feasible potentials, which bound the optimum from below (Kantorovich
    duality), rounding error included, and the pairs that were missing. This is repeated until the
    bound is within `tol`; the gap is part of the plan.
    Populations may have any sizes and weights; cells of weight zero have no mass in the plan. In
    one dimension the plan is exact.

    Time grows with the number of pairs (seconds for 20,000 by 20,000), memory with the number of
    cells. Unequal sizes take up to twice as long as equal ones, weights two to three times.

    Parameters
    ----------
    tol
        Stop when (cost - lower bound) / cost is at most this.
    random_state
        Seed of the subsamples.
    max_rounds
        How often missing arcs may be added.

    Warns
    -----
    CouplingWarning
        The certified gap is still above `tol` after `max_rounds`; the plan is complete.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> source = Population(rng.normal(size=(60, 2)), 0.0)
    >>> target = Population(rng.normal(size=(40, 2)) + 1, 1.0)
    >>> Sparse(tol=1e-3)(source, target).gap <= 1e-3
    True
    """

    tol: float = 1e-3
    random_state: int = 0
    max_rounds: int = 20

    def __post_init__(self) -> None:
        as_number("tol", self.tol, above=0.0)
        as_count("max_rounds", self.max_rounds)
        object.__setattr__(self, "random_state", as_seed(self.random_state))

    @guarded
    def __call__(self, source: Population, target: Population) -> EdgePlan:
        """Couple two whole populations."""
        centre = target.weight @ target.x
        a = cloud(source, centre)
        b = cloud(target, centre)
        found = certified(
            a.x,
            b.x,
            a.weight,
            b.weight,
            gap=self.tol,
            rounds=self.max_rounds,
            rng=stream(self.random_state),
        )
        if found.gap > self.tol:
            msg = (
                f"The plan of {len(source)} x {len(target)} cells is certified to {found.gap:.2g}"
                f" of its cost only; expected tol={self.tol:g}. Raise `max_rounds` or `tol`, or"
                " take Exact() if its matrix fits into memory."
            )
            warn(msg, CouplingWarning)
        shape = (len(source), len(target))
        mass = found.units.astype(np.float64)
        return EdgePlan(shape, a.rows[found.i], b.rows[found.j], mass, found.cost, found.gap)
