"""Random halves of snapshots, by cell or by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from cellflow.core._random import stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Population, Snapshots

__all__ = ["degrees_of", "halves"]


def halves(snapshots: Snapshots, n: int, seed: int) -> list[Snapshots]:
    """Draw `n` halves of the cells of every snapshot: pairs of complementary ones.

    Of every snapshot and condition, one half of a pair has every other unit of a random order. A
    unit is a sample where at least two are known there, else a cell; one alone is in both halves. A
    sample is in the same half at all times, as far as both halves have samples at each.

    Where offsets of samples were removed, so was most of what samples differ by. A half gets back
    how far the mean offset of its cells is from that of all cells of the snapshot and condition:
    halves then lie as far apart as their samples were measured.

    Parameters
    ----------
    snapshots
        With `sample` or without.
    n
        Number of halves; of an odd number the last has no complement.
    seed
        Of the draw.
    """
    found: list[Snapshots] = []
    for pair in range((n + 1) // 2):
        rng = stream(seed, pair)
        sides: dict[int, int] = {}
        rows = [_rows(p, sides, rng) for p in snapshots.populations]
        for side in (0, 1):
            parts = [_half(p, r[side]) for p, r in zip(snapshots.populations, rows, strict=True)]
            found.append(Snapshots(tuple(parts)))
    return found[:n]


def degrees_of(snapshots: Snapshots, n: int) -> float:
    """Degrees of freedom of what `n` halves differ by: one a pair, at most one a sample but one.

    The snapshot and condition with the fewest samples counts, among those that are halved by
    sample: two samples can be halved in one way only.
    """
    fewest = float(n) / 2
    for population in snapshots.populations:
        if population.sample is not None:
            for rows in _strata(population, np.arange(len(population))):
                n_samples = len(np.unique(population.sample[rows]))
                fewest = min(fewest, n_samples - 1) if n_samples > 1 else fewest
    return fewest


def _half(population: Population, rows: IntArray) -> Population:
    """Some of the cells, at the mean offset of their samples."""
    part = population.part(rows)
    if population.removed is None or part.removed is None:
        return part
    x = part.x.astype(np.float64)
    for stratum in _strata(population, np.arange(len(population))):
        here = np.flatnonzero(np.isin(rows, stratum))
        of_all = _mean(population.removed[stratum], population.weight[stratum])
        x[here] += _mean(part.removed[here], part.weight[here]) - of_all
    return replace(part, x=x.astype(part.x.dtype), removed=None)


def _mean(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted mean; that of all rows where none has weight."""
    mean: FloatArray = np.average(values, axis=0, weights=weight + np.finfo(np.float64).tiny)
    return mean


def _rows(
    population: Population, sides: dict[int, int], rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Rows of both halves; `sides` has the half of every sample that was drawn already."""
    cells, first, place = np.unique(population.index, return_index=True, return_inverse=True)
    side = np.full(len(cells), -1)  # 0 or 1; 2 for both
    for stratum in _strata(population, first):
        units = stratum if population.sample is None else population.sample[first[stratum]]
        names = np.unique(units)
        if population.sample is not None and len(names) > 1:
            drawn = _sides_of_samples(names.tolist(), sides, rng)
            side[stratum] = [drawn[name] for name in units.tolist()]
        else:
            side[stratum] = _alternating(len(stratum), rng)
    of_row = side[place.reshape(-1)]
    return np.flatnonzero(of_row != 1), np.flatnonzero(of_row != 0)


def _strata(population: Population, first: IntArray) -> Iterator[IntArray]:
    """Groups of cells of one condition each, of which both halves have some."""
    if population.context is None:
        yield np.arange(len(first))
        return
    _, kind = np.unique(population.context[first], axis=0, return_inverse=True)
    for k in range(kind.max() + 1):
        yield np.flatnonzero(kind.reshape(-1) == k)


def _alternating(n: int, rng: np.random.Generator) -> IntArray:
    """Sides 0 and 1 in turn, in random order; 2, for both, of one unit alone."""
    if n == 1:
        return np.array([2])
    return rng.permutation((np.arange(n) + rng.integers(2)) % 2)


def _sides_of_samples(
    names: Sequence[int], sides: dict[int, int], rng: np.random.Generator
) -> dict[int, int]:
    """The side of each sample: that it has already, and of the others as even as can be."""
    old = {name: sides[name] for name in names if name in sides}
    new = [name for name in names if name not in sides]
    excess = sum(1 if side == 0 else -1 for side in old.values())
    if not new and abs(excess) == len(old):
        # All would be in one half, and the other had no cells here.
        return dict(zip(names, _alternating(len(names), rng).tolist(), strict=True))
    for name in rng.permutation(new).tolist():
        side = int(rng.integers(2)) if excess == 0 else int(excess > 0)
        excess += 1 if side == 0 else -1
        sides[name] = old[name] = side
    return old
