"""The independent plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans.base import AliasTable, Side

__all__ = ["ProductPlan"]


@dataclass(frozen=True, eq=False, repr=False)
class ProductPlan(Compact):
    r"""The product of two marginals: every source cell may become every target cell.

    .. math:: \pi_{ij} = r_i c_j / T, \qquad \sum_i r_i = \sum_j c_j = T

    Parameters
    ----------
    row_mass, col_mass
        The marginals :math:`r`, shape `(n,)`, and :math:`c`, shape `(m,)`; each sums to `total`.
    cost
        Mean cost under the product.
    total
        Mass :math:`T`, in units of a population's mass; one unless the plan is unbalanced.
    """

    row_mass: FloatArray
    col_mass: FloatArray
    cost: float
    gap: float | None = None
    total: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of source and target cells."""
        return len(self.row_mass), len(self.col_mass)

    @cached_property
    def _tables(self) -> tuple[AliasTable, AliasTable]:
        return AliasTable(self.row_mass), AliasTable(self.col_mass)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs; see `Plan.sample`."""
        rows, columns = self._tables
        return rows.draw(n, rng), columns.draw(n, rng)

    def partners(
        self,
        cells: IntArray,
        rng: np.random.Generator,
        side: Side = "source",
    ) -> IntArray:
        """Draw a partner for each cell, the same distribution for all; see `Plan.partners`."""
        return self._tables[1 if side == "source" else 0].draw(len(cells), rng)

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        masses = (self.row_mass, self.col_mass)
        here, there = masses if side == "source" else masses[::-1]
        mean = there @ np.asarray(values, dtype=np.float64) / self.total
        return np.where(here[:, None] > 0, mean[None, :], np.nan)
