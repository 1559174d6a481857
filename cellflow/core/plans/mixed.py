"""A sum of plans between the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans.base import AliasTable, Plan, Side
from cellflow.core.plans.edges import EdgePlan
from cellflow.errors import CouplingError

__all__ = ["MixedPlan", "mixed"]


@dataclass(frozen=True, eq=False, repr=False)
class MixedPlan(Compact):
    r"""A weighted sum of plans, :math:`\pi = \sum_k s_k \pi_k`.

    Parameters
    ----------
    plans
        Plans of one shape.
    shares
        Their factors :math:`s_k`, positive.
    cost, gap
        Of the sum.

    Raises
    ------
    CouplingError
        No plan, plans of several shapes, or factors that are not positive.
    """

    plans: Sequence[Plan]
    shares: Sequence[float] | FloatArray
    cost: float
    gap: float | None = None

    def __post_init__(self) -> None:
        shapes = {plan.shape for plan in self.plans}
        if not (
            len(shapes) == 1
            and len(self.shares) == len(self.plans)
            and all(0.0 < share < np.inf for share in self.shares)
        ):
            msg = (
                f"{len(self.plans)} plans of shapes {sorted(shapes)} with factors"
                f" {list(self.shares)} have no sum; expected one shape and a positive factor for"
                " each."
            )
            raise CouplingError(msg)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of source and target cells."""
        return self.plans[0].shape

    def _masses(self, side: Side) -> FloatArray:
        """Mass of each cell in each of the plans, shape `(k, n)`."""
        parts = [p.row_mass if side == "source" else p.col_mass for p in self.plans]
        return np.array([s * mass for s, mass in zip(self.shares, parts, strict=True)])

    @cached_property
    def row_mass(self) -> FloatArray:
        """Mass that leaves each source cell, shape `(n,)`."""
        mass: FloatArray = self._masses("source").sum(axis=0)
        return mass

    @cached_property
    def col_mass(self) -> FloatArray:
        """Mass that reaches each target cell, shape `(m,)`."""
        mass: FloatArray = self._masses("target").sum(axis=0)
        return mass

    @cached_property
    def _totals(self) -> FloatArray:
        return np.array([s * plan.total for s, plan in zip(self.shares, self.plans, strict=True)])

    @property
    def total(self) -> float:
        """Mass of the sum."""
        return float(self._totals.sum())

    @cached_property
    def _table(self) -> AliasTable:
        return AliasTable(self._totals)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs; see `Plan.sample`."""
        which = self._table.draw(n, rng)
        i = np.empty(n, dtype=np.int64)
        j = np.empty(n, dtype=np.int64)
        for k, plan in enumerate(self.plans):
            here = np.flatnonzero(which == k)
            i[here], j[here] = plan.sample(len(here), rng)
        return i, j

    def partners(
        self, cells: IntArray, rng: np.random.Generator, side: Side = "source"
    ) -> IntArray:
        """Draw a partner for each cell; see `Plan.partners`."""
        cells = np.asarray(cells)
        ends = np.cumsum(self._masses(side)[:, cells], axis=0)
        # The place is below the sum, so a plan without mass at the cell is never chosen.
        which = (ends <= rng.random(len(cells)) * ends[-1]).sum(axis=0)
        found = np.empty(len(cells), dtype=np.int64)
        for k, plan in enumerate(self.plans):
            here = np.flatnonzero(which == k)
            found[here] = plan.partners(cells[here], rng, side)
        return found

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        masses = self._masses(side)
        mean = np.zeros((masses.shape[1], np.shape(values)[1]))
        for mass, plan in zip(masses, self.plans, strict=True):
            some = mass > 0
            mean[some] += mass[some, None] * plan.barycentre(values, side)[some]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean /= masses.sum(axis=0)[:, None]
        return mean


def mixed(
    plans: Sequence[Plan],
    shares: Sequence[float] | FloatArray,
    cost: float,
    gap: float | None = None,
) -> EdgePlan | MixedPlan:
    """Return the sum of plans, as edges where all of them are edges.

    Examples
    --------
    >>> one, other = (EdgePlan((2, 2), [k], [k], [1.0], cost=0.0) for k in range(2))
    >>> mixed([one, other], [0.25, 0.75], cost=0.0).row_mass
    array([0.25, 0.75])
    """
    edges = [plan for plan in plans if isinstance(plan, EdgePlan)]
    if len(edges) < len(plans):
        return MixedPlan(plans, shares, cost, gap)
    i = np.concatenate([plan.i for plan in edges])
    j = np.concatenate([plan.j for plan in edges])
    mass = np.concatenate([s * plan.mass for s, plan in zip(shares, edges, strict=True)])
    return EdgePlan(edges[0].shape, i, j, mass, cost, gap, float(mass.sum()))
