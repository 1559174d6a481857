"""Additive offsets of samples, from cells of one time that correspond to each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.analysis.samples import Group, groups_of
from cellflow.core._random import shuffled, stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Population, Snapshots

__all__ = ["SampleOffsets", "sample_offsets"]

logger = logging.getLogger("cellflow")

#: Cells of all samples of one time together that a plan has at one side, and the range for each.
_CELLS = 2000
_FEWEST = 50
_MOST = 500
#: Strength of the marginals of the plans; see `sample_offsets`.
_TAU = 1.0
#: Offsets are final when none changes by more than this, in standard deviations of the cells.
_TOLERANCE = 0.02
_MOST_ROUNDS = 30


@dataclass(frozen=True, eq=False)
class SampleOffsets:
    """What is subtracted from the positions of each sample's cells.

    Parameters
    ----------
    values
        Shape `(n_samples, d)`.
    is_reference
        Whether a sample is one of those whose mean offset is zero, shape `(n_samples,)`.
    """

    values: FloatArray
    is_reference: np.ndarray

    def moved(self, x: FloatArray, sample: IntArray) -> FloatArray:
        """Positions `(n, d)` without offsets; cells of no sample (number -1) stay."""
        if not self.values.any():
            return x
        whole = np.vstack([self.values, np.zeros(self.values.shape[1])])
        return (x.astype(np.float64) - whole[sample]).astype(x.dtype)

    def removed(self, snapshots: Snapshots) -> Snapshots:
        """The snapshots at positions without offsets."""
        return snapshots.moved(
            [self.moved(p.x, p.sample) for p in snapshots.populations]  # type: ignore[arg-type]
        )


@dataclass(frozen=True, eq=False)
class _Unit:
    """Some cells of one sample at one time, of one condition."""

    stratum: int
    sample: int
    x: FloatArray

    @property
    def noise(self) -> float:
        """Variance of the mean of its cells, summed over dimensions."""
        return float(self.x.var(axis=0, ddof=1).sum()) / len(self.x)


def sample_offsets(snapshots: Snapshots, n_samples: int) -> SampleOffsets:
    r"""Estimate one additive offset for each sample, in the model mean = time + sample.

    Each sample is coupled with the other samples of its time and condition, by a plan whose
    marginals are relaxed (`couplings.Unbalanced`), so that groups of cells which only one of them
    has are matched less than others. The mean displacement of the matched cells is what their
    offsets differ by. Offsets are the least-squares solution for all times together; with it
    removed, plans are solved again, until nothing changes.

    A sample that is at several times has one offset. Among samples that are linked by times which
    they share, the mean offset of those at the most times is zero: these are the reference. Where
    every sample is at one time only, samples of a time are moved to their common mean.

    Offsets :math:`o` with variance :math:`V` by the sampling of cells are multiplied by
    :math:`\max(0, 1 - V / |o|^2)`, so samples that differ by their cells only get none.

    Parameters
    ----------
    snapshots
        Populations with samples; those of fewer than 10 cells at a time say nothing there.
    n_samples
        Samples are numbered below it.

    References
    ----------
    Ritchie et al., limma powers differential expression analyses, Nucleic Acids Research 2015
    (`removeBatchEffect`: least squares of time and batch); James and Stein, Estimation with
    quadratic loss, 1961 (the factor).
    """
    units = _units(snapshots)
    values: FloatArray = np.zeros((n_samples, snapshots.n_dims))
    is_reference = np.zeros(n_samples, dtype=bool)
    if not units:
        return SampleOffsets(values, is_reference)
    solve = np.linalg.pinv(_design(units, n_samples), rcond=1e-9)
    spread = float(np.sqrt(np.mean([u.x.var(axis=0).sum() for u in units])))
    for count in range(_MOST_ROUNDS):
        change = solve @ _deviations(units, values)
        values = values + change
        if np.linalg.norm(change, axis=1).max() <= _TOLERANCE * spread:
            logger.debug("offsets of samples: %d rounds", count + 1)
            break
    else:
        logger.info("Offsets of samples still changed after %d rounds.", _MOST_ROUNDS)
    values = _shrunk(values, solve**2 @ np.array([u.noise for u in units]))
    there = [g.sample for p in snapshots.populations for g in groups_of(p)]
    n_times = np.bincount(there, minlength=n_samples)
    for linked in _linked(units):
        first = linked[n_times[linked] == n_times[linked].max()]
        is_reference[first] = True
        values[linked] -= values[first].mean(axis=0)
    return SampleOffsets(values, is_reference)


def _units(snapshots: Snapshots) -> list[_Unit]:
    """Cells of every sample that has another one beside it."""
    found: list[_Unit] = []
    stratum = 0
    for k, population in enumerate(snapshots.populations):
        groups = groups_of(population)
        for condition in dict.fromkeys(g.condition for g in groups):
            here = [g for g in groups if g.condition == condition]
            if len(here) > 1:
                most = int(np.clip(_CELLS // len(here), _FEWEST, _MOST))
                rng = stream(k)
                found += [_Unit(stratum, g.sample, _cells(population, g, most, rng)) for g in here]
                stratum += 1
    return found


def _cells(population: Population, group: Group, most: int, rng: np.random.Generator) -> FloatArray:
    """Positions of at most so many cells, drawn by weight."""
    weight = population.weight[group.rows]
    rows = group.rows
    if len(rows) > most or np.ptp(weight) > 1e-9 * weight.max():
        rows = rows[shuffled(weight, min(most, len(rows)), rng)]
    return population.x[rows].astype(np.float64)


def _design(units: Sequence[_Unit], n_samples: int) -> FloatArray:
    """Rows of the model: the offset of each unit minus the mean offset of its stratum."""
    stratum = np.array([u.stratum for u in units])
    one = np.eye(n_samples)[[u.sample for u in units]]
    return np.asarray(one - np.stack([one[stratum == u.stratum].mean(axis=0) for u in units]))


def _deviations(units: Sequence[_Unit], values: FloatArray) -> FloatArray:
    """How far each unit lies from the mean of its stratum, by matched cells, offsets removed."""
    found = []
    for unit in units:
        others = [
            u.x - values[u.sample] for u in units if u.stratum == unit.stratum and u is not unit
        ]
        n = len(others) + 1
        found.append(_displacement(unit.x - values[unit.sample], others) * (n - 1) / n)
    return np.stack(found)


def _displacement(x: FloatArray, others: Sequence[FloatArray]) -> FloatArray:
    """Mean displacement of cells from the cells of other samples, each of one weight."""
    from cellflow.couplings import Unbalanced

    y = np.concatenate(others)
    weight = np.concatenate([np.full(len(o), 1.0 / len(o)) for o in others])
    plan = Unbalanced(tau=_TAU)(Population(x, 0.0), Population(y, 1.0, weight))
    there = plan.barycentre(y)
    mass = np.where(np.isfinite(there[:, 0]), plan.row_mass, 0.0)
    mean: FloatArray = mass @ (x - np.nan_to_num(there)) / mass.sum()
    return mean


def _shrunk(values: FloatArray, variance: FloatArray) -> FloatArray:
    square = (values**2).sum(axis=1)
    factor = np.maximum(0.0, 1.0 - variance / np.where(square > 0, square, 1.0))
    return values * factor[:, None]


def _linked(units: Sequence[_Unit]) -> list[IntArray]:
    """Samples that share strata, directly or through others."""
    groups: list[set[int]] = []
    for stratum in dict.fromkeys(u.stratum for u in units):
        here = {u.sample for u in units if u.stratum == stratum}
        for group in [g for g in groups if g & here]:
            groups.remove(group)
            here |= group
        groups.append(here)
    return [np.array(sorted(group)) for group in groups]
