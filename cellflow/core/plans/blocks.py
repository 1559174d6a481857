"""Plans of groups of cells, such as one per condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans.base import AliasTable, Plan, Side
from cellflow.core.plans.mixed import MixedPlan
from cellflow.core.plans.potentials import PotentialPlan
from cellflow.errors import CouplingError

__all__ = ["BlockPlan"]


@dataclass(frozen=True, eq=False, repr=False)
class BlockPlan(Compact):
    """Plans of groups of cells, side by side: what leaves a group stays in it.

    Parameters
    ----------
    shape
        Numbers of source and target cells of the whole.
    plans
        One plan per group.
    rows, columns
        Source and target cells of each group, in the order of its plan; no cell is in two groups.
        Cells that are in none have no mass.
    shares
        Mass of the source cells of each group, non-negative, in any unit: scaled to sum to one. A
        group's plan counts its own mass in units of this share.

    Raises
    ------
    CouplingError
        Shares or sizes that do not fit the plans, or groups that overlap.
    """

    shape: tuple[int, int]
    plans: Sequence[Plan]
    rows: Sequence[IntArray]
    columns: Sequence[IntArray]
    shares: FloatArray

    def __post_init__(self) -> None:
        shares = np.asarray(self.shares, dtype=np.float64)
        total = shares.sum()
        sizes = [(len(i), len(j)) for i, j in zip(self.rows, self.columns, strict=True)]
        fits = len(shares) == len(sizes) and sizes == [plan.shape for plan in self.plans]
        if not (fits and np.isfinite(total) and total > 0 and (shares >= 0).all()):
            msg = (
                f"{len(self.plans)} plans for groups of {sizes} cells with shares {shares.tolist()}"
                " are no plan; expected a plan of these sizes and a non-negative share for each"
                " group."
            )
            raise CouplingError(msg)
        for side, n, parts in zip(
            ("source", "target"), self.shape, (self.rows, self.columns), strict=True
        ):
            if np.bincount(np.concatenate(list(parts)), minlength=n).max() > 1:
                msg = f"A {side} cell is in two groups of a plan; groups must not overlap."
                raise CouplingError(msg)
        object.__setattr__(self, "shares", shares / total)

    @cached_property
    def row_mass(self) -> FloatArray:
        """Mass that leaves each source cell, shape `(n,)`."""
        mass = np.zeros(self.shape[0])
        for share, plan, rows in zip(self.shares, self.plans, self.rows, strict=True):
            mass[rows] = share * plan.row_mass
        return mass

    @cached_property
    def col_mass(self) -> FloatArray:
        """Mass that reaches each target cell, shape `(m,)`."""
        mass = np.zeros(self.shape[1])
        for share, plan, columns in zip(self.shares, self.plans, self.columns, strict=True):
            mass[columns] = share * plan.col_mass
        return mass

    @cached_property
    def masses(self) -> FloatArray:
        """Mass of each group's plan, in units of the whole source population, shape `(k,)`."""
        return np.array([s * plan.total for s, plan in zip(self.shares, self.plans, strict=True)])

    @property
    def total(self) -> float:
        """Mass of the plan; one to rounding where all groups are balanced."""
        return float(self.masses.sum())

    @property
    def cost(self) -> float:
        """Mean cost per unit of mass, over all groups."""
        return float(self.masses @ [plan.cost for plan in self.plans]) / self.total

    @property
    def gap(self) -> float | None:
        """Certified bound on (cost - optimum) / cost among plans that keep to the groups.

        None if any group has none. For entropic plans, whose objective is not the cost, the largest
        gap of a group.
        """
        gaps = [plan.gap for plan in self.plans if plan.gap is not None]
        if len(gaps) < len(self.plans):
            return None
        if any(isinstance(plan, PotentialPlan | MixedPlan) for plan in self.plans):
            return max(gaps)
        excess = self.masses @ [g * plan.cost for g, plan in zip(gaps, self.plans, strict=True)]
        return float(excess) / (self.cost * self.total) if self.cost > 0 else 0.0

    @cached_property
    def _table(self) -> AliasTable:
        return AliasTable(self.masses)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs; see `Plan.sample`."""
        group = self._table.draw(n, rng)
        i = np.empty(n, dtype=np.int64)
        j = np.empty(n, dtype=np.int64)
        for k, plan in enumerate(self.plans):
            here = np.flatnonzero(group == k)
            source, target = plan.sample(len(here), rng)
            i[here] = self.rows[k][source]
            j[here] = self.columns[k][target]
        return i, j

    def partners(
        self, cells: IntArray, rng: np.random.Generator, side: Side = "source"
    ) -> IntArray:
        """Draw a partner for each cell inside its group; see `Plan.partners`."""
        cells = np.asarray(cells)
        own, others = (self.rows, self.columns) if side == "source" else (self.columns, self.rows)
        found = np.empty(len(cells), dtype=np.int64)
        place = np.full(self.shape[0 if side == "source" else 1], -1)
        for plan, here, there in zip(self.plans, own, others, strict=True):
            place[:] = -1
            place[here] = np.arange(len(here))
            inside = np.flatnonzero(place[cells] >= 0)
            found[inside] = there[plan.partners(place[cells[inside]], rng, side)]
        return found

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        values = np.asarray(values, dtype=np.float64)
        source = side == "source"
        mean = np.full((self.shape[0 if source else 1], values.shape[1]), np.nan)
        own, others = (self.rows, self.columns) if source else (self.columns, self.rows)
        for share, plan, here, there in zip(self.shares, self.plans, own, others, strict=True):
            if share > 0:
                mean[here] = plan.barycentre(values[there], side)
        return mean
