"""How far samples of one time lie apart, beside how far consecutive times do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from cellflow.core._random import shuffled, stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Population, Snapshots

__all__ = [
    "FEW",
    "Group",
    "SampleDistances",
    "differ_beyond_chance",
    "groups_of",
    "sample_distances",
]

#: Samples with fewer cells at a time are left out there: their place is not known.
FEW = 10
#: Cells of one time that distances are measured between.
_MOST = 1000
#: First keys of the random streams: of draws of cells, of permutations.
_DRAW = 0
_PERMUTE = 1
#: Permutations of the samples, and the largest p-value that is beyond chance.
_N_PERMUTATIONS = 39
_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Group:
    """The cells of one sample at one time, of one condition.

    Parameters
    ----------
    sample
        Number of the sample.
    condition
        Features of the condition; none without conditions.
    rows
        The cells, rows of their population, shape `(m,)`.
    """

    sample: int
    condition: tuple[float, ...]
    rows: IntArray


def groups_of(population: Population, *, least: int = FEW) -> list[Group]:
    """The samples of one time, each condition apart; those with fewer cells are left out.

    Cells of weight zero do not count, nor do cells without a sample (of number -1).
    """
    sample = population.sample
    if sample is None:
        return []
    n = len(population)
    context = np.zeros((n, 0)) if population.context is None else population.context
    known = np.flatnonzero((population.weight > 0) & (sample >= 0))
    if len(known) == 0:
        return []
    labels = np.column_stack([context[known], sample[known]])
    kinds, kind = np.unique(labels, axis=0, return_inverse=True)
    found = [
        Group(int(row[-1]), tuple(row[:-1].tolist()), known[kind.reshape(-1) == k])
        for k, row in enumerate(kinds)
    ]
    return [group for group in found if len(group.rows) >= least]


@dataclass(frozen=True, eq=False)
class SampleDistances:
    """How far samples lie apart, by time; every array has shape `(k,)`.

    Distances are energy distances without the part that is due to the finite numbers of cells: zero
    on average between two samples of one population.

    Parameters
    ----------
    times
        Of the snapshots.
    n_samples, n_cells
        Numbers of samples and of cells at each time.
    between
        Mean distance between two samples of one time and condition; NaN where there is one only.
    step
        Mean distance between a sample of this time and another one of the next; NaN at the last.
    share
        Share of the step that is batch: `between / step`, within 0 and 1. `between` is the mean of
        both ends of the step, or of all times where neither end has two samples. NaN where no time
        has two samples.
    """

    times: FloatArray
    n_samples: IntArray
    n_cells: IntArray
    between: FloatArray
    step: FloatArray
    share: FloatArray

    @property
    def worst(self) -> int | None:
        """Position of the step with the largest share; None where no share is known."""
        return None if np.isnan(self.share).all() else int(np.nanargmax(self.share))


def sample_distances(snapshots: Snapshots) -> SampleDistances:
    r"""Compare the distances between samples of one time with those between consecutive times.

    With :math:`P_{ts}` the population of sample :math:`s` at time :math:`t` and :math:`E` the
    energy distance, the share of the step from :math:`t` to :math:`t'` is

    .. math:: \frac{\overline{E(P_{ts}, P_{ts'})}}{\overline{E(P_{ts}, P_{t's'})}},
              \qquad s \ne s',

    means over pairs of different samples of one condition. It is zero where samples differ by
    their cells only, one half where samples of consecutive times lie twice as far apart as
    samples of one time, and one where time adds nothing. A sample that is at both ends lies as far
    from itself as time alone moves it; the mean distance between samples is added there.

    Parameters
    ----------
    snapshots
        Populations with samples. At most 1,000 cells of each time are compared, and samples of at
        least 10.

    References
    ----------
    Székely and Rizzo, Energy statistics, J. Stat. Plan. Inference 2013.
    """
    parts = [_Part.of(p, k) for k, p in enumerate(snapshots.populations)]
    tables = [part.distances(part) for part in parts]
    between = np.array(
        [_mean(_among(p, t)) for p, t in zip(parts, tables, strict=True)], dtype=np.float64
    )
    step = np.full(len(parts), np.nan)
    share = np.full(len(parts), np.nan)
    everywhere = _mean(between)
    for k in range(len(parts) - 1):
        here = _mean(between[k : k + 2])
        batch = np.maximum(0.0, everywhere if np.isnan(here) else here)  # NaN stays NaN
        own = float(np.nan_to_num(batch))
        step[k] = _mean(_across(parts[k], parts[k + 1], tables[k], tables[k + 1], own))
        if not (np.isnan(batch) or np.isnan(step[k])):
            share[k] = batch / max(step[k], batch) if batch > 0 else 0.0
    samples = [{g.sample for g in groups_of(p, least=1)} for p in snapshots.populations]
    return SampleDistances(
        snapshots.times,
        np.array([len(found) for found in samples]),
        np.array([np.count_nonzero(p.weight) for p in snapshots.populations]),
        between,
        step,
        share,
    )


def differ_beyond_chance(snapshots: Snapshots) -> bool:
    """Whether samples of one time and condition differ more than random groups of its cells.

    A test by 39 permutations of the cells within time and condition, at the level of 5 %.
    """
    parts = [_Part.of(p, k) for k, p in enumerate(snapshots.populations)]
    tables = [part.distances(part) for part in parts]
    found = [distance for pair in zip(parts, tables, strict=True) for distance in _among(*pair)]
    if not found:
        return False
    above = sum(total >= sum(found) for total in _permuted(parts, tables))
    return bool((1 + above) / (1 + _N_PERMUTATIONS) <= _LEVEL)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some cells of each group of one time: positions, and a weight for each group and cell."""

    groups: tuple[Group, ...]
    x: FloatArray
    weight: FloatArray  # (n_groups, n)

    @classmethod
    def of(cls, population: Population, key: int) -> _Part:
        """Draw cells of every group, the same number at most."""
        groups = tuple(groups_of(population))
        most = max(FEW, _MOST // max(1, len(groups)))
        rng = stream(_DRAW, key)
        drawn = [_drawn(population.weight[g.rows], most, rng) for g in groups]
        rows = [g.rows[some] for g, (some, _) in zip(groups, drawn, strict=True)]
        ends = np.cumsum([0, *map(len, rows)])
        weight = np.zeros((len(groups), ends[-1]))
        for k, (_, share) in enumerate(drawn):
            weight[k, ends[k] : ends[k + 1]] = share
        every = np.concatenate(rows) if rows else np.zeros(0, dtype=int)
        return cls(groups, population.x[every].astype(np.float64), weight)

    def distances(self, other: _Part) -> FloatArray:
        """Distances between all cells of two times, `(n, m)`."""
        from scipy.spatial.distance import cdist

        return np.asarray(cdist(self.x, other.x))

    def means(self, table: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean distances of cells of two groups, and of two different cells of one group."""
        means = weight @ table @ weight.T
        return means, np.diagonal(means) / (1.0 - (weight**2).sum(axis=1))


def _drawn(weight: FloatArray, most: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Rows of at most so many cells, and their weights of sum one."""
    if len(weight) <= most:
        return np.arange(len(weight)), weight / weight.sum()
    return shuffled(weight, most, rng), np.full(most, 1.0 / most)


def _among(part: _Part, table: FloatArray, weight: FloatArray | None = None) -> list[float]:
    """Distances of all pairs of groups of one time and condition."""
    means, within = part.means(table, part.weight if weight is None else weight)
    return [
        2 * means[i, j] - within[i] - within[j]
        for i, j in combinations(range(len(part.groups)), 2)
        if part.groups[i].condition == part.groups[j].condition
    ]


def _across(
    a: _Part, b: _Part, a_table: FloatArray, b_table: FloatArray, own: float
) -> list[float]:
    """Distances of groups of two times, of one condition; `own` is added for the same sample."""
    means = a.weight @ a.distances(b) @ b.weight.T
    _, a_within = a.means(a_table, a.weight)
    _, b_within = b.means(b_table, b.weight)
    return [
        2 * means[i, j] - a_within[i] - b_within[j] + own * (g.sample == h.sample)
        for (i, g), (j, h) in product(enumerate(a.groups), enumerate(b.groups))
        if g.condition == h.condition
    ]


def _permuted(parts: Sequence[_Part], tables: Sequence[FloatArray]) -> Iterator[float]:
    """Sums of distances between groups, of permuted cells."""
    rng = stream(_PERMUTE)
    for _ in range(_N_PERMUTATIONS):
        total = 0.0
        for part, table in zip(parts, tables, strict=True):
            total += sum(_among(part, table, part.weight[:, _order(part, rng)]))
        yield total


def _order(part: _Part, rng: np.random.Generator) -> IntArray:
    """A permutation of the cells within each condition."""
    kinds = [g.condition for g in part.groups]
    of_cell = np.array([kinds.index(kinds[k]) for k in part.weight.argmax(axis=0)])
    order = np.arange(len(of_cell))
    for kind in np.unique(of_cell):
        rows = np.flatnonzero(of_cell == kind)
        order[rows] = rng.permutation(rows)
    return order


def _mean(values: Sequence[float] | FloatArray) -> float:
    """Mean of the values there are; NaN for none."""
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else float("nan")
