"""Cells of a fit as the course of two conditions, one of them the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.columns import read_labels
from cellflow.adapter.fitted import Fitted
from cellflow.analysis.comparison import ALL, SHARED, Block, Course, Groups
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Population
from cellflow.couplings import Coupling
from cellflow.errors import InputError
from cellflow.tl._compare_samples import FEWEST_CELLS, Kinds, Units

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["CourseOf", "course_of", "groups_at", "groups_of", "nearest_cells"]


@dataclass(frozen=True, eq=False)
class CourseOf:
    """The course of the reference and one other condition.

    Parameters
    ----------
    course
        The cells.
    names
        Of the reference and of the other condition.
    left_out
        Times of the fit that one of both lacks, or has with fewer than two samples.
    """

    course: Course
    names: tuple[str, str]
    left_out: tuple[float, ...]


def course_of(
    fitted: Fitted, kinds: Kinds, units: Units, other: int, coupling: Coupling, max_cells: int
) -> CourseOf:
    """Build the course of the reference and of the condition of number `other`.

    Raises
    ------
    InputError
        No time in common, one only, or no two samples of either condition at such a time.
    """
    names = (kinds.names[0], kinds.names[other])
    by_time = _samples_by_time(fitted, kinds, units, other)
    used = [t for t, (shared, counts) in by_time.items() if shared or min(counts) > 1]
    _require_times(by_time, used, names, units)
    blocks = []
    numbers: dict[int, int] = {}
    condition: list[int] = []
    for k, time in enumerate(used):
        population = _population(fitted, time)
        for unit, kind in _present(fitted, kinds, units, other, time):
            if unit not in numbers:
                numbers[unit] = len(numbers)
                condition.append(kind)
            elif condition[numbers[unit]] == SHARED:
                condition[numbers[unit]] = kind
            rows = np.flatnonzero(units.code[population.index] == unit)
            some = _some(fitted, population.index[rows], max_cells)
            part = population.part(rows[np.isin(population.index[rows], some)])
            blocks.append(Block(part, numbers[unit], k))
    shared = np.array([by_time[t][0] for t in used])
    course = Course(tuple(blocks), np.array(used), np.array(condition), shared, coupling)
    return CourseOf(course, names, tuple(t for t in by_time if t not in used))


def _samples_by_time(
    fitted: Fitted, kinds: Kinds, units: Units, other: int
) -> dict[float, tuple[bool, tuple[int, int]]]:
    """Of each time of the fit: whether it is shared, and numbers of samples of both conditions."""
    found = {}
    for time in np.unique(fitted.times[fitted.cells.timed]).tolist():
        if time not in fitted.flow.times:
            continue
        here = _present(fitted, kinds, units, other, time)
        counts = [sum(kind == c for _, kind in here) for c in (0, 1)]
        shared = bool(kinds.shared[fitted.times == time].all())
        found[time] = (shared and len(here) > 0, (counts[0], counts[1]))
    return found


def _present(
    fitted: Fitted, kinds: Kinds, units: Units, other: int, time: float
) -> list[tuple[int, int]]:
    """Samples with enough cells at a time, and the condition of each: 0, 1, or `SHARED`."""
    weight = fitted.cells.weight
    here = fitted.cells.timed & (fitted.times == time) & (units.code >= 0)
    here &= kinds.shared | np.isin(kinds.code, [0, other])
    if weight is not None:
        here &= weight > 0
    found = []
    for unit, count in zip(*np.unique(units.code[here], return_counts=True), strict=True):
        if count >= FEWEST_CELLS:
            row = np.flatnonzero(here & (units.code == unit))[0]
            kind = SHARED if kinds.shared[row] else int(kinds.code[row] == other)
            found.append((int(unit), kind))
    return found


def _require_times(
    by_time: dict[float, tuple[bool, tuple[int, int]]],
    used: Sequence[float],
    names: tuple[str, str],
    units: Units,
) -> None:
    both = [t for t, (shared, counts) in by_time.items() if not shared and min(counts) > 0]
    own = [t for t in used if not by_time[t][0]]
    asked = f"{names[0]!r} and {names[1]!r}"
    if not both:
        msg = (
            f"The conditions {asked} have no time in common: at none does each have a sample"
            f" of at least {FEWEST_CELLS} cells; cells are of {list(by_time)}. Expected two such"
            " times, or one after shared ones."
        )
        raise InputError(msg)
    if not own:
        msg = (
            f"At no time do both {asked} have two samples"
            f"{f' in adata.obs[{units.key!r}]' if units.key else ''}; at time {both[0]:g} they have"
            f" {by_time[both[0]][1][0]} and {by_time[both[0]][1][1]}. Expected two of each at"
            " least: cells of one sample are no replicates. Pass the column of the samples, or"
            " by='cell' for p-values that are too small where samples differ."
        )
        raise InputError(msg)
    if len(used) < 2:
        msg = (
            f"The conditions {asked} can be compared at one time only, {used[0]:g}. Expected two"
            " times: velocities, growth and fates are changes from one to the next."
        )
        raise InputError(msg)


def _population(fitted: Fitted, time: float) -> Population:
    """The cells of a time in model coordinates, each once, as they were measured."""
    population = fitted.cells.snapshots().at(time)
    # Cells of shared times are in the snapshots once for each condition.
    once = population.part(np.unique(population.index, return_index=True)[1])
    measured = fitted.cells.as_read[once.index]
    return replace(once, x=fitted.flow.frame.to_model(measured), removed=None)


def _some(fitted: Fitted, rows: IntArray, most: int) -> IntArray:
    """At most so many rows, chosen by the names of the cells."""
    if len(rows) <= most:
        return rows
    # Multiplication mixes the low bits of keys that are small integers into the high ones.
    mixed = fitted.noise_keys[rows].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray(rows[np.argsort(mixed, kind="stable")[:most]])


def groups_of(adata: AnnData, groupby: str | None) -> Groups:
    """Groups of the cells by a column of `obs`; none without a column.

    Raises
    ------
    MissingKeyError, InputError
        No such column, or one without groups.
    """
    if groupby is None:
        return Groups((), np.full(adata.n_obs, -1))
    import pandas as pd

    labels = read_labels(adata, groupby)
    column = adata.obs[groupby]
    known = {label for label in labels.tolist() if label is not None}
    names = sorted(known)
    if isinstance(column.dtype, pd.CategoricalDtype):
        names = [str(c) for c in column.cat.categories if str(c) in known]
    if ALL in names:
        msg = (
            f"adata.obs[{groupby!r}] has a group named {ALL!r}, which stands for all cells in the"
            " result. Expected another name: rename it."
        )
        raise InputError(msg)
    number = {name: k for k, name in enumerate(names)}
    code = np.array([number.get(label, -1) for label in labels.tolist()], dtype=np.int64)
    return Groups(tuple(names), code)


def groups_at(groups: Groups, course: Course, time: int) -> Groups:
    """The groups that cells of one time of a course have."""
    rows = [b.population.index for b in course.blocks if b.time == time]
    found = np.unique(groups.code[np.concatenate(rows)])
    found = found[found >= 0]
    number = np.full(len(groups.names) + 1, -1)  # the last stands for cells without a group
    number[found] = np.arange(len(found))
    return Groups(tuple(groups.names[k] for k in found), number[groups.code])


def nearest_cells(fitted: Fitted, rows: IntArray, time: float) -> tuple[IntArray, IntArray]:
    """Cells of a time, and for each the number of the nearest of some reference cells."""
    from cellflow.core._neighbors import nearest

    here: IntArray = np.flatnonzero(fitted.cells.timed & (fitted.times == time))
    x: FloatArray = fitted.flow.frame.to_model(fitted.cells.as_read)
    return here, nearest(x[rows], x[here], 1)[1][:, 0]
