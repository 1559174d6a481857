"""Which sample is measured when and in which condition, and other ways to label the samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cellflow.core._typing import BoolArray, IntArray

__all__ = ["SHARED", "Design", "Labellings", "Left", "labellings", "left_out"]

#: Condition of samples that are measured at shared times only.
SHARED = -1


@dataclass(frozen=True, eq=False)
class Design:
    """Samples at times. The cells of one sample at one time are a block.

    Parameters
    ----------
    time, unit
        Number of the time and of the sample of each block, shape `(k,)`.
    condition
        Of each sample: 0 the reference, 1 the other condition, `SHARED`; shape `(n,)`.
    shared
        Whether the cells of a time precede both conditions, shape `(t,)`.
    """

    time: IntArray
    unit: IntArray
    condition: IntArray
    shared: BoolArray

    @property
    def n_units(self) -> int:
        """Number of samples."""
        return len(self.condition)

    def at(self, time: int) -> IntArray:
        """Numbers of the blocks of a time."""
        return np.flatnonzero(self.time == time)

    def counts(self, labels: IntArray) -> BoolArray:
        """Whether each block counts in either condition, in labellings `(l, n)`; `(2, l, k)`."""
        own = labels[:, self.unit]
        return np.stack([(own == c) | self.shared[self.time] for c in (0, 1)])

    def signature(self, unit: int) -> tuple[int, ...]:
        """Numbers of the times at which a sample is measured."""
        return tuple(sorted(set(self.time[self.unit == unit].tolist())))

    @property
    def strata(self) -> dict[tuple[int, ...], IntArray]:
        """Samples with a condition, by the times at which they are measured."""
        found: dict[tuple[int, ...], list[int]] = {}
        for unit in np.flatnonzero(self.condition != SHARED).tolist():
            found.setdefault(self.signature(unit), []).append(unit)
        return {times: np.array(units) for times, units in found.items()}

    def n_labellings(self, times: Sequence[int] | None = None) -> float:
        """How many labellings of the samples there are; of those at some times only, if given."""
        counted = [
            math.comb(len(units), int((self.condition[units] == 1).sum()))
            for at, units in self.strata.items()
            if times is None or set(at) & set(times)
        ]
        return float(math.prod(counted))

    def smallest(self, n_perm: int, times: Sequence[int] | None = None) -> float:
        """The smallest p-value that permutations of the labels can give.

        Where both conditions have equally many samples, exchanging them changes only the sign of an
        effect, so that each size of it is there twice.
        """
        possible = self.n_labellings(times)
        strata = [u for at, u in self.strata.items() if times is None or set(at) & set(times)]
        equal = all(2 * int((self.condition[u] == 1).sum()) == len(u) for u in strata)
        least = (2.0 if equal and possible > 1 else 1.0) / possible
        return max(least, 1.0 / (n_perm + 1.0))


class Labellings(NamedTuple):
    """Labellings of the samples `(l, n)`, that of the data first; whether these are all."""

    labels: IntArray
    exhaustive: bool


def labellings(design: Design, n_perm: int, rng: np.random.Generator) -> Labellings:
    """Labellings that are as likely as that of the data if the conditions do not differ.

    Labels are exchanged among samples that are measured at the same times, so that every time keeps
    its numbers of samples. Where there are no more than `n_perm + 1` labellings, all are returned.
    """
    strata = list(design.strata.values())
    if design.n_labellings() <= n_perm + 1:
        return Labellings(_every(design, strata), exhaustive=True)
    labels = np.repeat(design.condition[None], n_perm + 1, axis=0)
    for units in strata:
        labels[1:, units] = rng.permuted(labels[1:, units], axis=1)
    return Labellings(labels, exhaustive=False)


def _every(design: Design, strata: Sequence[IntArray]) -> IntArray:
    """All labellings, that of the data first."""
    parts = []
    for units in strata:
        own = np.flatnonzero(design.condition[units] == 1).tolist()
        every = itertools.combinations(range(len(units)), len(own))
        parts.append([own, *(list(c) for c in every if list(c) != own)])
    rows = []
    for combination in itertools.product(*parts):
        row = np.where(design.condition == SHARED, SHARED, 0)
        for units, chosen in zip(strata, combination, strict=True):
            row[units[chosen]] = 1
        rows.append(row)
    return np.array(rows)


class Left(NamedTuple):
    """Samples that are left out in turn, and the stratum of each, both `(m,)`."""

    unit: IntArray
    stratum: IntArray


def left_out(design: Design) -> Left:
    """All samples, with strata of those that are measured at the same times.

    Strata in which a condition has a single sample are joined. A single sample of the shared times
    is never left out: nothing is known about how such samples vary.
    """
    strata = list(design.strata.values())
    alone = [k for k, units in enumerate(strata) if _has_single(design.condition[units])]
    number = np.full(design.n_units, -1)
    for k, units in enumerate(strata):
        number[units] = len(strata) if k in alone else k
    before = np.flatnonzero(design.condition == SHARED)
    for k, at in enumerate(sorted({design.signature(u) for u in before.tolist()})):
        units = np.array([u for u in before.tolist() if design.signature(u) == at])
        if len(units) > 1:
            number[units] = len(strata) + 1 + k
    kept = np.flatnonzero(number >= 0)
    return Left(kept, number[kept])


def _has_single(condition: IntArray) -> bool:
    return bool(((condition == 0).sum() == 1) or ((condition == 1).sum() == 1))
