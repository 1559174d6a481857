"""Transport plans: who becomes whom, in the form that each solver gives it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from cellflow.core._neighbors import squared_distances
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import CouplingError

__all__ = ["AliasTable", "BlockPlan", "EdgePlan", "Plan", "PotentialPlan", "ProductPlan", "Side"]

#: Numbers in one tile of a plan that is never held whole: small enough to stay in the cache (1
#: MiB).
_TILE = 2**17
#: The fractional part of its multiples spreads evenly over the unit interval, however many there
#: are.
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0

Side = Literal["source", "target"]


@runtime_checkable
class Plan(Protocol):
    """A joint distribution over (source cell, target cell), total mass one."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of source and target cells."""

    @property
    def row_mass(self) -> FloatArray:
        """Mass that leaves each source cell, shape `(n,)`."""

    @property
    def col_mass(self) -> FloatArray:
        """Mass that reaches each target cell, shape `(m,)`."""

    @property
    def cost(self) -> float:
        """Mean transport cost of the plan."""

    @property
    def gap(self) -> float | None:
        """Certified bound on (cost - optimum) / cost; None where nothing is certified."""

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs (source rows, target rows); each draw is O(1)."""

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Mean of the other side's `values` given each cell of `side`.

        With `side="source"`, `values` is `(m, k)` and the result `(n, k)`: where each source cell
        goes on average. Cells without mass get NaN.
        """


class AliasTable:
    """Draws from a discrete distribution in constant time (Walker 1977, Vose 1991)."""

    def __init__(self, mass: FloatArray) -> None:
        n = len(mass)
        total = float(mass.sum())
        if not total > 0:
            msg = "A plan without mass cannot be drawn from."
            raise CouplingError(msg)
        probability = np.asarray(mass, dtype=np.float64) * (n / total)
        alias = np.arange(n)
        # A uniform table needs no aliases, and is what balanced plans between clouds of equal size
        # give.
        if np.ptp(probability) > 1e-9:
            small = np.flatnonzero(probability < 1.0).tolist()
            large = np.flatnonzero(probability >= 1.0).tolist()
            p = probability.tolist()
            while small and large:
                less = small.pop()
                more = large[-1]
                alias[less] = more
                p[more] -= 1.0 - p[less]
                if p[more] < 1.0:
                    small.append(large.pop())
            probability = np.array(p)
            # What rounding left over on either stack is full; empty entries must never be drawn.
            leftover = np.array(small + large, dtype=np.intp)
            probability[leftover] = np.where(mass[leftover] > 0, 1.0, 0.0)
            empty = leftover[mass[leftover] == 0]
            alias[empty] = int(np.argmax(mass))
        self._probability = probability
        self._alias = alias

    def draw(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw `n` indices."""
        slot = rng.integers(len(self._alias), size=n)
        return np.where(rng.random(n) < self._probability[slot], slot, self._alias[slot])


@dataclass(frozen=True, eq=False)
class EdgePlan:
    """A sparse plan: edges with mass.

    Parameters
    ----------
    shape
        Numbers of source and target cells.
    i, j
        Ends of the edges, shape `(e,)`.
    mass
        Mass of each edge, shape `(e,)`, positive; normalised to sum to one.
    cost, gap
        Mean cost, and the certified bound on its relative distance from the optimum (None where
        unknown).
    """

    shape: tuple[int, int]
    i: IntArray
    j: IntArray
    mass: FloatArray
    cost: float
    gap: float | None = None

    def __post_init__(self) -> None:
        mass = np.asarray(self.mass, dtype=np.float64)
        total = mass.sum()
        if not (len(mass) and np.isfinite(total) and total > 0 and (mass >= 0).all()):
            msg = f"A plan of {len(mass)} edges with total mass {total} is no plan."
            raise CouplingError(msg)
        keep = mass > 0
        object.__setattr__(self, "i", np.asarray(self.i)[keep].astype(np.int64))
        object.__setattr__(self, "j", np.asarray(self.j)[keep].astype(np.int64))
        object.__setattr__(self, "mass", mass[keep] / total)

    @cached_property
    def row_mass(self) -> FloatArray:
        """Mass that leaves each source cell, shape `(n,)`."""
        return np.bincount(self.i, weights=self.mass, minlength=self.shape[0]).astype(
            np.float64, copy=False
        )

    @cached_property
    def col_mass(self) -> FloatArray:
        """Mass that reaches each target cell, shape `(m,)`."""
        return np.bincount(self.j, weights=self.mass, minlength=self.shape[1]).astype(
            np.float64, copy=False
        )

    @cached_property
    def _table(self) -> AliasTable:
        return AliasTable(self.mass)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs; see `Plan.sample`."""
        edge = self.edges(n, rng)
        return self.i[edge], self.j[edge]

    def edges(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw the numbers of `n` edges."""
        return self._table.draw(n, rng)

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        import scipy.sparse as sp

        here, there = (self.i, self.j) if side == "source" else (self.j, self.i)
        n = self.shape[0] if side == "source" else self.shape[1]
        matrix = sp.csr_array((self.mass, (here, there)), shape=(n, len(values)))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: FloatArray = (matrix @ np.asarray(values, dtype=np.float64)) / matrix.sum(axis=1)[
                :, None
            ]
        return mean


@dataclass(frozen=True, eq=False)
class ProductPlan:
    """The independent coupling: every source cell may become every target cell.

    Parameters
    ----------
    row_mass, col_mass
        The two marginals, shapes `(n,)` and `(m,)`, each summing to one.
    cost
        Mean cost under the product.
    """

    row_mass: FloatArray
    col_mass: FloatArray
    cost: float
    gap: float | None = None

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

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        here, there = (
            (self.row_mass, self.col_mass) if side == "source" else (self.col_mass, self.row_mass)
        )
        mean = there @ np.asarray(values, dtype=np.float64)
        return np.where(here[:, None] > 0, mean[None, :], np.nan)


@dataclass(frozen=True, eq=False)
class PotentialPlan:
    r"""An entropic plan, held by its potentials: rows are computed when they are needed, a tile at a time.

    .. math:: \pi_{ij} = a_i b_j \exp\bigl((f_i + g_j - |x_i - y_j|^2) / \varepsilon\bigr)

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`.
    a, b
        Weights, shapes `(n,)` and `(m,)`, each summing to one.
    f, g
        Potentials, shapes `(n,)` and `(m,)`.
    epsilon
        Entropic regularisation, in units of the cost.
    marginal_error
        Sum of the absolute errors of the column masses; rows are exact.
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
            exponent = costs * (-1.0 / self.epsilon)
            exponent += by_row[rows, None]
            exponent += by_column
            with np.errstate(under="ignore"):
                mass = np.exp(exponent, out=exponent)
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
        """The rows, and the targets that stand for each, shape `(n, draws_per_row)`."""
        targets = np.zeros((len(self.x), self.draws_per_row), dtype=np.int32)
        offset = np.arange(len(self.x)) * _GOLDEN % 1.0
        for rows, mass, _ in self.tiles():
            some = np.flatnonzero(self.a[rows] > 0)
            ends = np.cumsum(mass[some], axis=1)
            ends /= ends[:, -1:]
            place = np.arange(len(some))[:, None]
            quantiles = (
                np.arange(self.draws_per_row) + offset[rows][some, None]
            ) / self.draws_per_row
            # One search for all rows: row r occupies the interval from r to r + 1.
            found = np.searchsorted(
                (ends + place).ravel(), (quantiles + place).ravel(), side="right"
            )
            targets[rows][some] = found.reshape(quantiles.shape) - place * len(self.y)
        return AliasTable(self.a), targets

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs; see `Plan.sample` and `draws_per_row`."""
        table, targets = self._table
        i = table.draw(n, rng)
        return i, targets[i, rng.integers(self.draws_per_row, size=n)].astype(np.int64)

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        values = np.asarray(values, dtype=np.float64)
        if side == "source":
            total = np.concatenate([mass @ values for _, mass, _ in self.tiles()])
        else:
            total = np.sum([mass.T @ values[rows] for rows, mass, _ in self.tiles()], axis=0)
        mass = self.row_mass if side == "source" else self.col_mass
        with np.errstate(invalid="ignore"):
            return total / mass[:, None]


@dataclass(frozen=True, eq=False)
class BlockPlan:
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
        Mass of each group, not negative; normalised to sum to one.
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
                " are no plan."
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

    @property
    def cost(self) -> float:
        """Mean transport cost of all groups."""
        return float(
            sum(share * plan.cost for share, plan in zip(self.shares, self.plans, strict=True))
        )

    @property
    def gap(self) -> float | None:
        """Certified bound on (cost - optimum) / cost among plans that keep to the groups; None if any group has none."""
        gaps = [plan.gap for plan in self.plans]
        if any(gap is None for gap in gaps):
            return None
        excess = sum(
            s * gap * plan.cost
            for s, gap, plan in zip(self.shares, gaps, self.plans, strict=True)
            if gap
        )
        return float(excess / self.cost) if self.cost > 0 else 0.0

    @cached_property
    def _table(self) -> AliasTable:
        return AliasTable(self.shares)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs; see `Plan.sample`."""
        group = self._table.draw(n, rng)
        i = np.empty(n, dtype=np.int64)
        j = np.empty(n, dtype=np.int64)
        for k, (plan, rows, columns) in enumerate(
            zip(self.plans, self.rows, self.columns, strict=True)
        ):
            here = np.flatnonzero(group == k)
            source, target = plan.sample(len(here), rng)
            i[here], j[here] = rows[source], columns[target]
        return i, j

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Conditional mean of the other side; see `Plan.barycentre`."""
        values = np.asarray(values, dtype=np.float64)
        source = side == "source"
        mean = np.full((self.shape[0 if source else 1], values.shape[1]), np.nan)
        for share, plan, rows, columns in zip(
            self.shares, self.plans, self.rows, self.columns, strict=True
        ):
            if share > 0:
                here, there = (rows, columns) if source else (columns, rows)
                mean[here] = plan.barycentre(values[there], side)
        return mean
