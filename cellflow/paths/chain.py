"""The input of curved paths: snapshots, the plans between them, and a fixed table of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cellflow.core._neighbors import nearest
from cellflow.core._random import stream, systematic
from cellflow.core._typing import BoolArray, FloatArray, IntArray
from cellflow.core.conditions import shared_conditions
from cellflow.core.plans import BlockPlan, EdgePlan, GrowingPairs, Plan, growing_pairs
from cellflow.core.population import Pairs, Population, Snapshots

__all__ = ["Chain", "Chains", "Neighborhood", "Pool", "Table", "chained", "smoothed"]

#: Neighbours of each cell of the pool that are kept; smaller numbers are taken from these.
_N_NEIGHBORS = 100
#: Seed of the pairs that are drawn from the plans.
_PAIRS = 0


class Neighborhood(NamedTuple):
    """The nearest cells of `m` positions.

    Their kernel weights are those of a normal kernel whose width is half the distance to the last
    of them, times the weights of the cells; rows sum to one.
    """

    rows: IntArray  # in the pool, `(m, k)`
    share: FloatArray  # kernel weights, `(m, k)`
    shift: FloatArray  # kernel mean minus the position itself (the mean shift), `(m, d)`
    radius: FloatArray  # distance to the last of them, `(m,)`


@dataclass(frozen=True, eq=False)
class Pool:
    """The cells of several snapshots together, those without weight left out."""

    x: FloatArray  # positions, `(n, d)`
    weight: FloatArray  # of each cell within its own snapshot, `(n,)`
    knot: IntArray  # number of its snapshot, `(n,)`

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def _own(self) -> tuple[FloatArray, IntArray]:
        return nearest(self.x, self.x, _N_NEIGHBORS)

    def near(self, k: int, queries: FloatArray | None = None) -> Neighborhood:
        """Return the `k` nearest cells of each query, or of each cell (itself included)."""
        k = min(k, len(self))
        if queries is None and k <= _N_NEIGHBORS:
            distances, rows = self._own
        else:
            distances, rows = nearest(self.x, self.x if queries is None else queries, k)
        distances = distances[:, :k]
        rows = rows[:, :k]
        # Where all neighbours coincide, their distances are zero and their shares equal.
        width = np.maximum(0.5 * distances[:, -1:], np.finfo(np.float64).tiny ** 0.25)
        share = self.weight[rows] * np.exp(-0.5 * (distances / width) ** 2)
        share /= share.sum(axis=1, keepdims=True)
        shift: FloatArray = np.einsum("mk,mkd->md", share, self.x[rows]) - (
            self.x if queries is None else queries
        )
        return Neighborhood(rows, share, shift, distances[:, -1])


@dataclass(frozen=True, eq=False)
class Chain:
    """All snapshots of one condition, the plans between them, and pairs drawn from the plans.

    In the table of all chains, the pairs of the intervals follow each other.
    """

    snapshots: Snapshots  # in model coordinates, `k` of them
    plans: Sequence[Plan]  # one per interval, `k - 1`
    i: Sequence[IntArray]  # rows of the pairs of each interval in its first snapshot
    j: Sequence[IntArray]  # the same in its second snapshot
    first: int  # number of the first pair in the table of all chains

    @property
    def rows(self) -> list[slice]:
        """The pairs of each interval, counted from the first of the chain."""
        ends = np.concatenate([[0], np.cumsum([len(i) for i in self.i])])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    @cached_property
    def pairs(self) -> Pairs:
        """All pairs, interval after interval, in float64."""
        intervals = self.snapshots.intervals
        x0 = np.concatenate([a.x[i] for (a, _), i in zip(intervals, self.i, strict=True)]).astype(
            np.float64, copy=False
        )
        x1 = np.concatenate([b.x[j] for (_, b), j in zip(intervals, self.j, strict=True)]).astype(
            np.float64, copy=False
        )
        lengths = [len(i) for i in self.i]
        times = self.snapshots.times
        ends = (x0, x1, np.repeat(times[:-1], lengths), np.repeat(times[1:], lengths))
        start, stop, t0, t1 = (torch.from_numpy(end) for end in ends)
        return Pairs(start, stop, t0, t1, row=torch.arange(self.first, self.first + len(x0)))

    @cached_property
    def pool(self) -> Pool:
        """The cells of all snapshots."""
        parts = [(p.x[p.weight > 0], p.weight[p.weight > 0]) for p in self.snapshots.populations]
        knot = np.repeat(np.arange(len(parts)), [len(x) for x, _ in parts])
        x = np.concatenate([x for x, _ in parts]).astype(np.float64, copy=False)
        return Pool(x, np.concatenate([w for _, w in parts]), knot)

    def at_ends(self, of_pool: Tensor) -> tuple[Tensor, Tensor]:
        """Values of the cells of the pool `(n, k)`, at the two ends of every pair."""
        number = []
        count = 0
        for p in self.snapshots.populations:
            alive = p.weight > 0
            number.append(count + np.cumsum(alive) - 1)
            count += int(alive.sum())
        start = np.concatenate([number[k][i] for k, i in enumerate(self.i)])
        stop = np.concatenate([number[k + 1][j] for k, j in enumerate(self.j)])
        return of_pool[torch.from_numpy(start)], of_pool[torch.from_numpy(stop)]


@dataclass(frozen=True, eq=False)
class Table:
    """The pairs of one interval as edges with mass, and their rows in the table of all chains."""

    plan: EdgePlan
    row: IntArray
    #: Growth of each pair relative to its population, over the interval, `(e,)`; None without
    #: growth. With it, pairs are drawn and weighted as `core.plans.growing` describes.
    log_ratio: FloatArray | None = None
    by_source: BoolArray | None = None  # whether the source cell of a pair was drawn first, `(e,)`


@dataclass(frozen=True, eq=False)
class Chains(Sequence[Chain]):
    """The chains of all conditions; their pairs are drawn at the first use (see `chained`)."""

    snapshots: Snapshots  # in model coordinates
    plans: Sequence[Plan]  # one per interval
    growing: bool = False  # whether pairs carry mass that grows

    @cached_property
    def _drawn(self) -> tuple[list[Chain], list[Table]]:
        return chained(self.snapshots, self.plans, growing=self.growing)

    @property
    def tables(self) -> list[Table]:
        """The pairs of each interval."""
        return self._drawn[1]

    def __len__(self) -> int:
        return len(self._drawn[0])

    def __getitem__(self, number: Any) -> Any:
        return self._drawn[0][number]


def chained(
    snapshots: Snapshots, plans: Sequence[Plan], *, growing: bool = False
) -> tuple[list[Chain], list[Table]]:
    """Draw the pairs that a curved path is prepared for.

    The result is a chain for each condition and a table for each interval. As many pairs are drawn
    from a plan as its larger snapshot has cells, by systematic resampling where the plan has edges;
    twice as many with growth (see `growing_pairs`). They depend on the plans alone, so that all
    fits that share plans share what is prepared from them.

    Parameters
    ----------
    snapshots
        In model coordinates.
    plans
        One per interval.
    growing
        Whether pairs carry mass that grows.
    """
    parts = [shared_conditions(a, b) for a, b in snapshots.intervals]
    drawn: list[list[GrowingPairs]] = []
    chains: list[Chain] = []
    first = 0
    for c in range(len(parts[0])):
        # The rows of the condition in every snapshot: those of its intervals' left ends, and of the
        # last one's right end.
        members = [parts[0][c][1], *(part[c][2] for part in parts)]
        inside = Snapshots(
            tuple(p.part(rows) for p, rows in zip(snapshots.populations, members, strict=True))
        )
        own = [plan.plans[c] if isinstance(plan, BlockPlan) else plan for plan in plans]
        drawn.append([])
        for k, (plan, ends) in enumerate(zip(own, inside.intervals, strict=True)):
            rng = stream(_PAIRS, c, k)
            pairs = growing_pairs(plan, *ends, max(plan.shape), rng) if growing else None
            drawn[c].append(_drawn(plan, rng) if pairs is None else pairs)
        chain = Chain(inside, own, [p.i for p in drawn[c]], [p.j for p in drawn[c]], first)
        chains.append(chain)
        first += sum(len(i) for i in chain.i)
    return chains, [
        _table(plan, k, parts[k], chains, [of[k] for of in drawn], growing=growing)
        for k, plan in enumerate(plans)
    ]


def _drawn(plan: Plan, rng: np.random.Generator) -> GrowingPairs:
    """Draw pairs by their mass in the plan; no growth."""
    n = max(plan.shape)
    if isinstance(plan, EdgePlan):
        # In the order of the source cells, so that each of them gets its share.
        order = np.lexsort((plan.j, plan.i))
        edge = order[systematic(plan.mass[order], n, rng)]
        return GrowingPairs(plan.i[edge], plan.j[edge], np.zeros(n), np.ones(n, dtype=bool))
    return GrowingPairs(*plan.sample(n, rng), np.zeros(n), np.ones(n, dtype=bool))


def _table(
    plan: Plan,
    k: int,
    parts: Sequence[tuple[FloatArray, IntArray, IntArray]],
    chains: Sequence[Chain],
    drawn: Sequence[GrowingPairs],
    *,
    growing: bool,
) -> Table:
    """The pairs of interval `k`, of all conditions."""
    masses: FloatArray = np.ones(1)
    if isinstance(plan, BlockPlan):
        masses = plan.shares if growing else plan.masses
    i = np.concatenate([rows[pairs.i] for (_, rows, _), pairs in zip(parts, drawn, strict=True)])
    j = np.concatenate([rows[pairs.j] for (_, _, rows), pairs in zip(parts, drawn, strict=True)])
    lengths = [len(pairs.i) for pairs in drawn]
    mass = np.repeat(masses / lengths, lengths)
    row = np.concatenate([c.first + np.arange(c.rows[k].start, c.rows[k].stop) for c in chains])
    log_ratio = np.concatenate([pairs.log_ratio for pairs in drawn])
    edges = EdgePlan(plan.shape, i, j, mass, plan.cost, plan.gap, plan.total)
    kept = mass > 0
    if not growing:
        return Table(edges, row[kept])
    by_source = np.concatenate([pairs.by_source for pairs in drawn])
    return Table(edges, row[kept], log_ratio[kept], by_source[kept])


def smoothed(population: Population, values: FloatArray, k: int) -> FloatArray:
    """Mean of the values `(n, m)` over the `k` nearest cells of the same snapshot.

    Cells without weight get zero. Rows of NaN (cells whose weight is rounded to zero in a plan) are
    left out of the means.
    """
    alive = np.flatnonzero(population.weight > 0)
    known = alive[~np.isnan(values[alive]).any(axis=1)]
    _, rows = nearest(population.x[known], population.x[alive], max(1, k))
    weight = population.weight[known][rows]
    mean = np.zeros_like(values)
    mean[alive] = np.einsum(
        "nk,nkm->nm", weight / weight.sum(axis=1, keepdims=True), values[known][rows]
    )
    return mean
