"""The plan of entropic transport."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cellflow.core._neighbors import squared_distances
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans.base import AliasTable, Side, conditional_mean

__all__ = ["PotentialPlan", "gibbs"]

#: Numbers in one tile of the matrix, small enough to stay in the cache (1 MiB).
_TILE = 2**17
#: The golden ratio less one: the fractional parts of its multiples spread evenly over the unit
#: interval, however many there are.
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def gibbs(
    costs: FloatArray,
    by_row: FloatArray,
    by_column: FloatArray,
    epsilon: float,
    out: FloatArray | None = None,
) -> FloatArray:
    r"""Masses :math:`\exp(r_i + c_j - C_{ij} / \varepsilon)`, shape `(n, m)`; in `out` if given."""
    exponent: FloatArray = np.multiply(costs, -1.0 / epsilon, out=out)
    exponent += by_row[:, None]
    exponent += by_column
    mass: FloatArray = np.exp(exponent, out=exponent)
    return mass


@dataclass(frozen=True, eq=False)
class PotentialPlan:
    r"""An entropic plan, held by its potentials; its rows are computed when they are needed.

    .. math:: \pi_{ij} = a_i b_j \exp\bigl((f_i + g_j - |x_i - y_j|^2) / \varepsilon\bigr)

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`.
    a, b
        Weights, shapes `(n,)` and `(m,)`, each summing to one.
    f, g
        Potentials, shapes `(n,)` and `(m,)`. They determine the masses: those of a balanced plan
        make its marginals `a` and `b`.
    epsilon
        Entropic regularisation, in units of the cost.
    marginal_error
        Sum of the absolute errors of the marginals that a solver left.
    draws_per_row
        How many equally likely targets stand for a row when pairs are drawn. They are quantiles of
        the row, evenly spaced, starting at an offset that differs from row to row, and are computed
        once: a draw is then O(1), and over many rows the columns' masses come out right to within
        about `1 / (n * draws_per_row)`.
    """

    x: FloatArray
    y: FloatArray
    a: FloatArray
    b: FloatArray
    f: FloatArray
    g: FloatArray
    epsilon: float
    marginal_error: float
    draws_per_row: int = 64
    gap: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of source and target cells."""
        return len(self.x), len(self.y)

    def tiles(self) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Rows, their masses `(r, m)` and their costs `(r, m)`, tile by tile."""
        with np.errstate(divide="ignore"):  # a cell without weight has logarithm -inf, and no mass
            by_row = self.f / self.epsilon + np.log(self.a)
            by_column = self.g / self.epsilon + np.log(self.b)
        step = max(1, _TILE // len(self.y))
        for start in range(0, len(self.x), step):
            rows = slice(start, start + step)
            costs = squared_distances(self.x[rows], self.y)
            with np.errstate(under="ignore"):
                mass = gibbs(costs, by_row[rows], by_column, self.epsilon)
            yield rows, mass, costs

    @cached_property
    def _sums(self) -> tuple[FloatArray, FloatArray, float]:
        row_mass = np.empty(len(self.x))
        col_mass = np.zeros(len(self.y))
        cost = 0.0
        for rows, mass, costs in self.tiles():
            row_mass[rows] = mass.sum(axis=1)
            col_mass += mass.sum(axis=0)
            cost += float(np.vdot(mass, costs))
        return row_mass, col_mass, cost / float(row_mass.sum())

    @property
    def total(self) -> float:
        """Mass of the plan; one to rounding for a balanced plan."""
        return float(self.row_mass.sum())

    @property
    def row_mass(self) -> FloatArray:
        """Mass that leaves each source cell, shape `(n,)`."""
        return self._sums[0]

    @property
    def col_mass(self) -> FloatArray:
        """Mass that reaches each target cell, shape `(m,)`."""
        return self._sums[1]

    @property
    def cost(self) -> float:
        """Mean transport cost, without the entropy."""
        return self._sums[2]

    @cached_property
    def _table(self) -> tuple[AliasTable, IntArray]:
        """A table of the rows, and targets that stand for each, shape `(n, draws_per_row)`."""
        row_mass = np.zeros(len(self.x))
        targets = np.zeros((len(self.x), self.draws_per_row), dtype=np.int32)
        offset = np.arange(len(self.x)) * _GOLDEN % 1.0
        for rows, mass, _ in self.tiles():
            ends = np.cumsum(mass, axis=1)
            row_mass[rows] = ends[:, -1]
            some = np.flatnonzero(ends[:, -1] > 0)
            ends = ends[some] / ends[some, -1:]
            place = np.arange(len(some))[:, None]
            quantiles = (
                np.arange(self.draws_per_row) + offset[rows][some, None]
            ) / self.draws_per_row
            # One search for all rows: row r occupies the interval from r to r + 1.
            found = np.searchsorted(
                (ends + place).ravel(), (quantiles + place).ravel(), side="right"
            )
            targets[rows][some] = found.reshape(quantiles.shape) - place * len(self.y)
        return AliasTable(row_mass), targets

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs; see `Plan.sample` and `draws_per_row`."""
        table, targets = self._table
        i = table.draw(n, rng)
        return i, targets[i, rng.integers(self.draws_per_row, size=n)].astype(np.int64)

    @cached_property
    def reversed(self) -> PotentialPlan:
        """The same plan with source and target exchanged."""
        return replace(self, x=self.y, y=self.x, a=self.b, b=self.a, f=self.g, g=self.f)

    def partners(
        self, cells: IntArray, rng: np.random.Generator, side: Side = "source"
    ) -> IntArray:
        """Draw a partner for each cell; see `Plan.partners` and `draws_per_row`."""
        targets = (self._table if side == "source" else self.reversed._table)[1]  # noqa: SLF001
        return targets[cells, rng.integers(self.draws_per_row, size=len(cells))].astype(np.int64)

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        values = np.asarray(values, dtype=np.float64)
        if side == "source":
            sums = np.concatenate([mass @ values for _, mass, _ in self.tiles()])
        else:
            sums = np.sum([mass.T @ values[rows] for rows, mass, _ in self.tiles()], axis=0)
        mass = self.row_mass if side == "source" else self.col_mass
        return conditional_mean(sums, mass)
