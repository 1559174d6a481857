"""All effects of one condition relative to another, with intervals and p-values by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellflow.analysis.comparison.cells import Differences, differences
from cellflow.analysis.comparison.course import Course, Groups
from cellflow.analysis.comparison.divergence import Divergence, divergence
from cellflow.analysis.comparison.fates import fates, rates
from cellflow.analysis.comparison.resampling import (
    Resampling,
    adjusted,
    inference,
    resampling,
)
from cellflow.analysis.comparison.velocity import local_moves, speeds
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray

__all__ = ["ALL", "Asked", "Compared", "Effect", "compare"]

#: Name of all cells together, where groups are named.
ALL = "all"
#: Streams of random numbers.
_LABELS = 131
_CELLS = 132


@dataclass(frozen=True)
class Asked:
    """What to compare, and how.

    Parameters
    ----------
    n_perm
        Permutations of the labels of the samples at most.
    level
        Of the intervals.
    n_neighbors, n_cells
        See `local_moves`.
    grows
        Whether to compare growth.
    seed
        Of the permutations, and of the draw of reference cells.
    """

    n_perm: int = 999
    level: float = 0.9
    n_neighbors: int = 30
    n_cells: int = 500
    grows: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Effect:
    """One effect: the value in the other condition less that in the reference.

    `time` is the start of an interval, or NaN for all of them. `p` is by permutation, `smallest`
    the smallest that is possible; `p_t` is by Student's t, as the interval; `n` are the numbers of
    samples in the reference and in the other condition.
    """

    quantity: str
    group: str
    fate: str
    time: float
    values: tuple[float, float]
    effect: float
    low: float
    high: float
    p: float
    p_t: float
    q: float
    smallest: float
    n: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Compared:
    """Effects, the cells whose velocities differ, and when the populations diverge."""

    effects: tuple[Effect, ...]
    cells: Differences
    divergence: Divergence
    n_labellings: float
    exhaustive: bool


@dataclass(frozen=True, eq=False)
class _Family:
    """Effects with their names, and the values of both conditions `(2, l, 1 + m, q)`."""

    quantity: str
    values: FloatArray
    names: Sequence[tuple[str, str]]  # group and fate
    time: float
    times: Sequence[int]  # numbers of the times that they depend on


def compare(
    course: Course,
    scale: FloatArray,
    groups: Groups,
    asked: Asked,
    ends: Groups | None = None,
) -> Compared:
    """Compare the two conditions of a course.

    Parameters
    ----------
    course
        The cells, in model coordinates. Two times at least, with two samples of either condition at
        each that is not shared.
    scale
        Of the data in model coordinates, shape `(d,)`.
    groups
        Of cells, for speed, growth and the starts of fates.
    asked
        What to compare.
    ends
        What cells of the last time are; None compares no fates.

    Returns
    -------
    Effects of speed (all cells, and groups), growth (groups), fates (of all cells and of groups of
    the first time), of the whole course and of each interval.
    """
    resampled = resampling(course.design, asked.n_perm, stream(asked.seed, _LABELS))
    parts = [
        local_moves(
            course,
            between,
            scale,
            n_neighbors=asked.n_neighbors,
            n_cells=asked.n_cells,
            rng=stream(asked.seed, _CELLS, between.number),
        )
        for between in course.intervals
    ]
    names = [(ALL, ""), *((name, "") for name in groups.names)]
    by_interval = [speeds(p, resampled, groups) for p in parts]
    families = list(_over_time("speed", course, by_interval, names))
    if asked.grows and groups.names:
        found = [rates(course, between, resampled, groups) for between in course.intervals]
        families += _over_time("growth", course, found, names[1:])
    if ends is not None:
        families.append(_of_fates(course, resampled, groups, ends))
    effects = [e for f in _gathered(families) for e in _effects(f, course, resampled, asked)]
    return Compared(
        tuple(effects),
        differences(parts, resampled),
        divergence(course),
        course.design.n_labellings(),
        resampled.exhaustive,
    )


def _over_time(
    quantity: str,
    course: Course,
    values: Sequence[FloatArray],
    names: Sequence[tuple[str, str]],
) -> Iterator[_Family]:
    """A rate over all intervals, weighted by their lengths, and in each."""
    length = np.array([between.length for between in course.intervals])
    every = np.stack(values)
    # A group counts where both conditions have it.
    known = np.asarray(np.isfinite(every[:, :, 0, 0]).all(axis=1))
    weight = length[:, None] * known
    total = np.where(known[:, None, None, None], every, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.einsum("kq,kclmq->clmq", weight, total) / weight.sum(axis=0)
    yield _Family(quantity, mean, names, np.nan, range(len(course.times)))
    for between, found in zip(course.intervals, values, strict=True):
        k = between.number
        yield _Family(quantity, found, names, between.start, (k, k + 1))


def _of_fates(course: Course, resampled: Resampling, groups: Groups, ends: Groups) -> _Family:
    """Fates from the first time to the last; "undecided" only where some cell has no label."""
    values = fates(course, resampled, groups, ends)
    labels = [*ends.names, "undecided"]
    shaped = values.reshape(*values.shape[:3], -1, len(labels))
    if not (shaped[..., -1] > 0).any():
        labels.pop()
    values = shaped[..., : len(labels)].reshape(*values.shape[:3], -1)
    names = [(group, fate) for group in (ALL, *groups.names) for fate in labels]
    return _Family("fate", values, names, float(course.times[0]), range(len(course.times)))


def _gathered(families: Sequence[_Family]) -> Iterator[list[_Family]]:
    """Families whose p-values are adjusted together: of one quantity, of all times or of each."""
    kinds = dict.fromkeys((f.quantity, np.isnan(f.time)) for f in families)
    for kind in kinds:
        yield [f for f in families if (f.quantity, np.isnan(f.time)) == kind]


def _effects(
    families: Sequence[_Family], course: Course, resampled: Resampling, asked: Asked
) -> Iterator[Effect]:
    found: list[Effect] = []
    for family in families:
        of = inference(family.values, resampled, asked.level)
        smallest = course.design.smallest(asked.n_perm, family.times)
        n = _counts(course, family)
        for k, (group, fate) in enumerate(family.names):
            if np.isfinite(of.effect[k]):
                means = (float(family.values[0, 0, 0, k]), float(family.values[1, 0, 0, k]))
                about = (family.quantity, group, fate, family.time, means)
                limits = (float(of.effect[k]), float(of.low[k]), float(of.high[k]))
                found.append(
                    Effect(*about, *limits, float(of.p[k]), float(of.p_t[k]), np.nan, smallest, n)
                )
    adjusted_p = adjusted(np.array([effect.p for effect in found], dtype=np.float64))
    for effect, q in zip(found, adjusted_p, strict=True):
        yield replace(effect, q=float(q))


def _counts(course: Course, family: _Family) -> tuple[int, int]:
    """Numbers of samples of either condition at the times of a family."""
    design = course.design
    units = np.unique(design.unit[np.isin(design.time, list(family.times))])
    found = [int((design.condition[units] == c).sum()) for c in (0, 1)]
    return found[0], found[1]
