"""The cells whose fates are asked for, and what a fate is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cellflow.analysis.fates.votes import Votes
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError

__all__ = ["FateCells", "Region", "Targets", "region", "regions"]

#: Cells of a snapshot that vote at most; the search among more takes longer than the simulation.
_VOTERS = 10_000


@dataclass(frozen=True, eq=False)
class FateCells:
    """Cells at their own times.

    Parameters
    ----------
    x
        Positions, shape `(n, d)`.
    start
        Time from which each is moved, shape `(n,)`.
    measured
        Time at which each was measured, shape `(n,)`; NaN where it was inferred.
    weight
        Not negative, shape `(n,)`.
    keys
        What the noise of each cell depends on beside the seed, and by which cells are chosen where
        there are too many: non-negative integers, shape `(n,)`.
    context
        Features of the cells' conditions, shape `(n, c)`, or None.
    """

    x: FloatArray
    start: FloatArray
    measured: FloatArray
    weight: FloatArray
    keys: IntArray
    context: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def some(self, rows: IntArray, n: int) -> IntArray:
        """At most `n` of some rows, which do not depend on their order, increasing."""
        if len(rows) <= n:
            return np.sort(rows)
        # Multiplication mixes the low bits of keys that are small integers into the high ones.
        mixed = self.keys[rows].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return np.sort(rows[np.argsort(mixed, kind="stable")[:n]])

    def of(self, rows: IntArray) -> FateCells:
        """Some of the cells, by their rows."""
        kept = ("x", "start", "measured", "weight", "keys")
        parts = {name: getattr(self, name)[rows] for name in kept}
        return FateCells(**parts, context=self.features(rows))

    def features(self, rows: IntArray) -> FloatArray | None:
        """Features of some cells."""
        return None if self.context is None else self.context[rows]


@dataclass(frozen=True, eq=False)
class Targets:
    """What a fate is: a label of the cells measured at the end, or of an absorbing region.

    Parameters
    ----------
    names
        Labels, in the order of the columns.
    code
        Number of the label of each cell, shape `(n,)`; -1 for none, and for other labels.
    at
        Time of the end; before the cells' own times, ancestors are asked for.
    absorb
        Times at which the region of a label absorbs, by its number.
    backward
        Whether cells are moved to earlier times.
    labelled
        Whether each cell has a label, be it one of `names` or not, shape `(n,)`.
    """

    names: tuple[str, ...]
    code: IntArray
    at: float
    labelled: np.ndarray
    absorb: Mapping[int, FloatArray] = field(default_factory=dict)
    backward: bool = False

    @property
    def sign(self) -> float:
        """1 forward in time, -1 backward."""
        return -1.0 if self.backward else 1.0

    def of(self, rows: IntArray) -> Targets:
        """The same fates, with the labels of some of the cells."""
        return replace(self, code=self.code[rows], labelled=self.labelled[rows])

    def ahead(self, start: FloatArray) -> np.ndarray:
        """Time from each start to the end; negative for cells beyond it."""
        return np.asarray(self.sign * (self.at - start))

    def absorbing(self, time: float) -> IntArray:
        """Numbers of the labels whose regions absorb at a time."""
        return np.array([c for c, times in self.absorb.items() if time in times], dtype=np.int64)

    @property
    def stops(self) -> FloatArray:
        """Times at which regions absorb before the end, in the order of the motion."""
        every = np.unique(np.concatenate([np.empty(0), *self.absorb.values()]))
        every = every[self.sign * (self.at - every) > 0]
        return every[:: int(self.sign)]


@dataclass(frozen=True, eq=False)
class Region:
    """The classifier of states at one time, and the row of each of its voters among the cells."""

    votes: Votes
    rows: IntArray

    def shares(self, x: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Shares of the votes for states, and what they are worth; see `Votes`.

        A state that is a voter itself, by the row of its cell, does not vote; -1 for no cell.
        """
        shares, worth = self.votes(x)
        place = np.searchsorted(self.rows, rows).clip(max=len(self.rows) - 1)
        own = np.flatnonzero(self.rows[place] == rows)
        if len(own) and len(self.rows) > 1:
            shares[own], worth[own] = self.votes.of_cells(place[own])
        return shares, worth


def region(
    cells: FateCells, targets: Targets, time: float, unseen: FloatArray | None = None
) -> Region:
    """The classifier of states at a time, by the cells measured then; see `Votes` for `unseen`.

    Raises
    ------
    InputError
        No cell was measured then.
    """
    rows: IntArray = np.flatnonzero((cells.measured == time) & (cells.weight > 0))
    if len(rows) == 0:
        known = np.unique(cells.measured[~np.isnan(cells.measured)]).tolist()
        msg = f"No cell with a weight was measured at time {time:g}; cells are of {known}."
        raise InputError(msg)
    rows = cells.some(rows, _VOTERS)
    # A label that is no fate votes as one more label, which nothing is absorbed by.
    other = targets.labelled[rows] & (targets.code[rows] < 0)
    code = np.where(other, len(targets.names), targets.code[rows])
    weight = cells.weight[rows] / cells.weight[rows].mean()
    votes = Votes.fitted(cells.x[rows], code, len(targets.names) + 1, weight, unseen)
    return Region(votes, rows)


def regions(
    cells: FateCells, targets: Targets, unseen: FloatArray | None = None
) -> dict[float, Region]:
    """The classifiers at all times at which a path may end."""
    times = [*targets.stops.tolist(), targets.at]
    return {time: region(cells, targets, time, unseen) for time in times}
