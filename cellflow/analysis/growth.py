r"""Growth of measured cells from plans alone, under several assumptions.

Snapshots do not determine how much cells grow: a type that gets rarer may grow less than others, or
its cells may become another type. A plan decides it. Let a plan :math:`\pi` have row sums :math:`r`
and column sums :math:`c`, and let :math:`a` and :math:`b` be the absolute masses of the cells. The
pairs of a source cell end with the masses :math:`\nu_{ij} = b_j \pi_{ij} / c_j`, those of a target
cell start with :math:`\mu_{ij} = a_i \pi_{ij} / r_i`. Over an interval of length :math:`h`,

.. math::  g_i = \frac{1}{h} \log \frac{\sum_j \nu_{ij}}{a_i}, \qquad
           g_j = \frac{1}{h} \log \frac{b_j}{\sum_i \mu_{ij}}

At an inner snapshot the two are averaged. No network is involved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._random import stream, systematic
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans import BlockPlan, Plan, log_factors
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Auto, Coupling, Lineage, Unbalanced
from cellflow.model.coupled import solve_plans

__all__ = ["TAUS", "GrowthField", "assumed_growth", "cell_growth", "plan_growth"]

#: Relaxations of `couplings.Unbalanced` that are tried, in units of the mean cost.
TAUS = (0.1, 0.3, 1.0, 3.0)
#: Rates are means over so many nearest cells, but over at most this share of a snapshot.
_N_NEIGHBORS = 30
_SHARE = 0.1
#: Stream of the cells that are drawn from large snapshots.
_DRAW = 83


def plan_growth(plan: Plan, source: Population, target: Population) -> tuple[FloatArray, ...]:
    """Rates of the source cells `(n,)` and of the target cells `(m,)`, per unit of time.

    Cells without mass in the plan get NaN. In a plan with groups (conditions), cells grow relative
    to their group, because the shares of conditions are a choice of the experiment.
    """
    h = target.time - source.time
    scale = math.log(target.mass / source.mass)
    forth = np.full(len(source), np.nan)
    back = np.full(len(target), np.nan)
    for part, rows, columns in _groups(plan):
        by_source, by_target = log_factors(part, source.part(rows), target.part(columns))
        up = part.barycentre(np.exp(by_target)[:, None], "source")[:, 0]
        down = part.barycentre(np.exp(by_source)[:, None], "target")[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            forth[rows] = (scale + np.log(up) - by_source) / h
            back[columns] = (scale + by_target - np.log(down)) / h
    return tuple(np.where(np.isfinite(rate), rate, np.nan) for rate in (forth, back))


def _groups(plan: Plan) -> Iterator[tuple[Plan, IntArray, IntArray]]:
    """Plans of the groups, with their source and target cells."""
    if isinstance(plan, BlockPlan):
        yield from zip(plan.plans, plan.rows, plan.columns, strict=True)
    else:
        yield plan, np.arange(plan.shape[0]), np.arange(plan.shape[1])


def cell_growth(snapshots: Snapshots, plans: Sequence[Plan]) -> list[FloatArray]:
    """Rate of every cell, by snapshot: the mean of that before it and that after it.

    NaN where a cell has no mass in either plan.
    """
    sides: list[list[FloatArray]] = [[] for _ in snapshots.populations]
    for k, (plan, ends) in enumerate(zip(plans, snapshots.intervals, strict=True)):
        forth, back = plan_growth(plan, *ends)
        sides[k].append(forth)
        sides[k + 1].append(back)
    rates = []
    for found in sides:
        known = np.isfinite(found).sum(axis=0)
        total = np.nansum(found, axis=0)
        rates.append(np.where(known > 0, total / np.maximum(known, 1), np.nan))
    return rates


class _Patch(NamedTuple):
    """Cells of one snapshot and one condition, with their rates."""

    x: FloatArray
    weight: FloatArray
    rate: FloatArray

    def near(self, x: FloatArray, n_neighbors: int) -> FloatArray:
        """Mean rate of the cells nearest to each position, shape `(m,)`."""
        k = min(n_neighbors, max(1, math.ceil(_SHARE * len(self.x))))
        _, rows = nearest(self.x, x, k)
        weight = self.weight[rows]
        mean: FloatArray = (weight * self.rate[rows]).sum(axis=1) / weight.sum(axis=1)
        return mean


@dataclass(frozen=True, eq=False)
class GrowthField:
    """Rates of measured cells as a function of position and time.

    The rate at a snapshot is the mean over the nearest cells of it that have the same condition;
    between two snapshots it is interpolated by time, and outside it is that of the nearest.

    Parameters
    ----------
    snapshots
        The cells, in model coordinates.
    rates
        Rate of each cell, by snapshot, shape `(n,)`.
    n_neighbors
        Number of nearest cells, at most a tenth of a snapshot.
    """

    snapshots: Snapshots
    rates: Sequence[FloatArray]
    n_neighbors: int = _N_NEIGHBORS

    def at(self, x: FloatArray, t: FloatArray, context: FloatArray | None = None) -> FloatArray:
        """Rates at positions `(m, d)` in model coordinates, at the times `(m,)`, shape `(m,)`.

        NaN where no cell has the condition of the features `(m, c)`.
        """
        times = self.snapshots.times
        after = np.clip(np.searchsorted(times, t), 1, len(times) - 1)
        share = np.clip((t - times[after - 1]) / (times[after] - times[after - 1]), 0.0, 1.0)
        found = np.zeros(len(x))
        for k in range(len(times)):
            part = np.where(after == k, share, np.where(after == k + 1, 1.0 - share, 0.0))
            rows = np.flatnonzero(part > 0)
            here = self._at_snapshot(k, x[rows], None if context is None else context[rows])
            found[rows] += part[rows] * here
        return found

    def _at_snapshot(self, k: int, x: FloatArray, context: FloatArray | None) -> FloatArray:
        population = self.snapshots[k]
        known = (population.weight > 0) & np.isfinite(self.rates[k])
        found = np.full(len(x), np.nan)
        for features in [None] if context is None else np.unique(context, axis=0):
            mine = known.copy()
            asked = np.ones(len(x), dtype=bool)
            if features is not None and population.context is not None and context is not None:
                mine &= (population.context == features).all(axis=1)
                asked = (context == features).all(axis=1)
            if mine.any() and asked.any():
                patch = _Patch(population.x[mine], population.weight[mine], self.rates[k][mine])
                found[asked] = patch.near(x[asked], self.n_neighbors)
        return found


def assumed_growth(
    snapshots: Snapshots,
    *,
    taus: Sequence[float] = TAUS,
    n_neighbors: int = _N_NEIGHBORS,
    max_cells: int = 2000,
    seed: int = 0,
    lineage: Lineage | None = None,
) -> Iterator[tuple[str, GrowthField]]:
    """Rates under each assumption, with its name, one after another.

    Parameters
    ----------
    snapshots
        Two at least, in model coordinates. `Population.mass` is the scale; with
        `Population.growth`, these rates are one of the assumptions.
    taus
        Relaxations of both marginals; see `couplings.Unbalanced`.
    n_neighbors
        Rates are means over so many cells.
    max_cells
        Cells of a snapshot that plans are solved for; of larger ones so many are drawn.
    seed
        Of that draw.
    lineage
        Informs all plans by the barcodes of the cells, if given.

    Raises
    ------
    InputError
        A relaxation that is not positive.
    CouplingError
        A plan that cannot be solved.
    """
    few = Snapshots(tuple(_reduced(p, max_cells, seed) for p in snapshots.populations))
    plain = Snapshots(tuple(replace(p, growth=None) for p in few.populations))
    tried: Mapping[str, tuple[Snapshots, Coupling]] = {
        f"tau={tau:g}": (plain, Unbalanced(tau)) for tau in taus
    }
    if all(p.growth is not None for p in few.populations[:-1]):
        tried = {**tried, "prior": (few, Auto())}
    for name, (seen, coupling) in tried.items():
        if lineage is not None:
            coupling = replace(lineage, coupling=coupling)
        plans = solve_plans(seen, coupling)[0]
        yield name, GrowthField(seen, cell_growth(seen, plans), n_neighbors)


def _reduced(population: Population, most: int, seed: int) -> Population:
    """At most so many cells; of each condition in proportion, but one at least."""
    if len(population) <= most:
        return population
    kinds = np.zeros(len(population), dtype=np.int64)
    if population.context is not None:
        kinds = np.unique(population.context, axis=0, return_inverse=True)[1].reshape(-1)
    chosen = []
    for kind in np.unique(kinds):
        rows = np.flatnonzero((kinds == kind) & (population.weight > 0))
        if len(rows) == 0:
            continue
        share = population.weight[rows].sum()
        rng = stream(seed, _DRAW, int(kind))
        order = rng.permutation(rows)
        drawn = order[systematic(population.weight[order], max(1, round(share * most)), rng)]
        chosen.append(drawn)
    rows = np.sort(np.concatenate(chosen))
    # Drawn by weight, each counts as one.
    return replace(population.part(rows), weight=np.full(len(rows), 1.0 / len(rows)))
