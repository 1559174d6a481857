"""The plan of entropic transport."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._kernel import Kernel, column_sums
from cellflow.core._neighbors import squared_distances
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans._quantiles import quantiles
from cellflow.core.plans.base import AliasTable, Side

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


class _Read(NamedTuple):
    """Sums, mean cost, and targets that stand for each row, `(n, draws_per_row)`."""

    row_mass: FloatArray
    col_mass: FloatArray
    cost: float
    targets: IntArray


@dataclass(frozen=True, eq=False, repr=False)
class PotentialPlan(Compact):
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
    gap
        Bound on (objective - optimum) / objective, where the solver gives one; see `Unbalanced`.
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
    def _alive(self) -> tuple[IntArray, IntArray]:
        """Cells of either side that have weight."""
        return np.flatnonzero(self.a > 0), np.flatnonzero(self.b > 0)

    def _tiles(self) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Tiles of the masses among the cells that have weight; see `Kernel.tiles`."""
        i, j = self._alive
        by_row = self.f[i] / self.epsilon + np.log(self.a[i])
        by_column = self.g[j] / self.epsilon + np.log(self.b[j])
        yield from Kernel.fast(self.x[i], self.y[j], self.epsilon).tiles(by_row, by_column)

    @cached_property
    def _read(self) -> _Read:
        """What one pass over all pairs gives."""
        i, j = self._alive
        sums = np.empty(len(i))
        tops = np.empty(len(i))
        logs = np.empty(len(i))
        columns = np.zeros(len(j))
        targets = np.zeros((len(self.x), self.draws_per_row), dtype=np.int32)
        offset = np.arange(1, len(i) + 1) * _GOLDEN % 1.0  # never zero
        for rows, top, tile in self._tiles():
            places = (np.arange(self.draws_per_row) + offset[rows, None]) / self.draws_per_row
            tops[rows] = top
            sums[rows], found = quantiles(tile, places)
            targets[i[rows]] = j[found]
            columns += column_sums(tile, top)
            logs[rows] = np.einsum("ij,ij->i", tile, np.log(tile))
        scale = np.exp(tops)
        # Costs in units of epsilon are what the exponents lack of the potentials.
        cost = columns @ (self.g[j] / self.epsilon + np.log(self.b[j]))
        cost += (scale * sums) @ (self.f[i] / self.epsilon + np.log(self.a[i]) - tops)
        cost -= scale @ logs
        row_mass = np.zeros(len(self.x))
        row_mass[i] = scale * sums
        col_mass = np.zeros(len(self.y))
        col_mass[j] = columns
        total = float(row_mass.sum())
        mean = max(self.epsilon * float(cost) / total, 0.0) if total > 0 else np.nan
        return _Read(row_mass, col_mass, mean, targets)

    @property
    def total(self) -> float:
        """Mass of the plan; one to rounding for a balanced plan."""
        return float(self.row_mass.sum())

    @property
    def row_mass(self) -> FloatArray:
        """Mass that leaves each source cell, shape `(n,)`."""
        return self._read.row_mass

    @property
    def col_mass(self) -> FloatArray:
        """Mass that reaches each target cell, shape `(m,)`."""
        return self._read.col_mass

    @property
    def cost(self) -> float:
        """Mean transport cost, without the entropy."""
        return self._read.cost

    @cached_property
    def _table(self) -> AliasTable:
        return AliasTable(self.row_mass)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs; see `Plan.sample` and `draws_per_row`."""
        i = self._table.draw(n, rng)
        return i, self.partners(i, rng)

    @cached_property
    def reversed(self) -> PotentialPlan:
        """The same plan with source and target exchanged."""
        return replace(self, x=self.y, y=self.x, a=self.b, b=self.a, f=self.g, g=self.f)

    def partners(
        self, cells: IntArray, rng: np.random.Generator, side: Side = "source"
    ) -> IntArray:
        """Draw a partner for each cell; see `Plan.partners` and `draws_per_row`."""
        plan = self if side == "source" else self.reversed
        drawn = rng.integers(self.draws_per_row, size=len(cells))
        return plan._read.targets[cells, drawn].astype(np.int64)  # noqa: SLF001 (a plan of this class)

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        values = np.asarray(values, dtype=np.float64)
        if side == "target":
            return self.reversed.barycentre(values)
        i, j = self._alive
        mean = np.full((len(self.x), values.shape[1]), np.nan)
        centre = values[j].mean(axis=0)
        there = np.column_stack([values[j] - centre, np.ones(len(j))])
        for rows, top, tile in self._tiles():
            sums = (tile @ there.astype(tile.dtype)).astype(np.float64)
            some = np.exp(top) > 0.0
            mean[i[rows][some]] = centre + (sums[:, :-1] / sums[:, -1:])[some]
        return mean
