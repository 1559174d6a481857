"""When paths are committed to their fates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.analysis.fates.paths import Ended
from cellflow.analysis.fates.votes import kernel
from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Company", "commitment"]

#: Paths around a state whose fates vote, at most, and the share of all paths that they are.
_NEIGHBORS = 30
_SHARE = 0.1
_LEAST = 5
#: Share of the votes that the final fate of a committed path has.
_COMMITTED = 0.8


@dataclass(frozen=True, eq=False)
class Company:
    """Paths of some cells, by which the votes around any state are counted.

    Parameters
    ----------
    parts
        Paths by their starts.
    weight
        Mass of each path at the end, of each part; the masses at one start sum to one.
    sign
        1 forward in time, -1 backward.
    """

    parts: Sequence[Ended]
    weight: Sequence[FloatArray]
    sign: float

    def shares(self, time: float, x: FloatArray, fate: IntArray, source: IntArray) -> FloatArray:
        """Share of the votes for a path's own fate, of paths at states `(m, d)` at a time.

        The paths nearest to the state at this time vote, by the masses of their ends. Those of the
        same cell do not, nor those that were absorbed earlier.
        """
        here = [self._at(k, time) for k in range(len(self.parts))]
        states = np.concatenate([found[0] for found in here])
        votes = np.concatenate([found[1] for found in here])
        weight = np.concatenate([found[2] for found in here])
        origin = np.concatenate([found[3] for found in here])
        if len(states) < 2:
            return np.zeros(len(x))
        k = min(max(_LEAST, min(_NEIGHBORS, int(_SHARE * len(states)))), len(states) - 1)
        distance, rows = nearest(states, x, k + 1)
        counted = weight[rows] * kernel(distance)
        counted[origin[rows] == source[:, None]] = 0.0
        total = counted.sum(axis=1)
        own = (counted * votes[rows, fate[:, None]]).sum(axis=1)
        return np.asarray(np.divide(own, total, out=np.zeros(len(x)), where=total > 0))

    def _at(self, k: int, time: float) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
        """States, fates, masses and cells of the paths of one start that are there at a time."""
        part = self.parts[k]
        place = np.flatnonzero(part.grid == time)
        there = self.sign * (part.time - time) >= 0
        if len(place) == 0:
            there = np.zeros(len(there), dtype=bool)
        states = part.x[place[0] if len(place) else 0][there]
        return states, part.shares[there], self.weight[k][there], part.source[there]


def commitment(ended: Ended, company: Company) -> FloatArray:
    """Time from the start until each path is committed, shape `(m,)`; NaN for one that never is.

    It is the first time at which the path's final fate has 0.8 of the votes, with the share linear
    between the times of the grid. A path that ends undecided is not committed.
    """
    sign = company.sign
    fate = ended.shares.argmax(axis=1)
    n_labels = ended.shares.shape[1] - 1
    found = np.full(len(fate), np.nan)
    before = np.zeros(len(fate))
    since = np.full(len(fate), ended.grid[0])
    waiting = np.flatnonzero(fate < n_labels)
    for time, x in zip(ended.grid.tolist(), ended.x, strict=True):
        on = waiting[sign * (ended.time[waiting] - time) > 0]
        share = np.zeros(len(fate))
        if len(on):
            share[on] = company.shares(time, x[on], fate[on], ended.source[on])
        over = waiting[sign * (ended.time[waiting] - time) <= 0]
        share[over] = ended.shares[over, fate[over]]
        now = np.where(sign * (ended.time - time) > 0, time, ended.time)
        found[waiting] = _crossed(before, share, since, now)[waiting]
        waiting = waiting[np.isnan(found[waiting]) & (sign * (ended.time[waiting] - time) > 0)]
        before = share
        since = now
    return np.asarray(sign * (found - ended.grid[0]))


def _crossed(
    before: FloatArray, share: FloatArray, since: FloatArray, now: FloatArray
) -> FloatArray:
    """Time at which a share that is linear reaches that of commitment; NaN where it does not."""
    rise = np.where(share > before, share - before, 1.0)
    part = np.clip((_COMMITTED - before) / rise, 0.0, 1.0)
    return np.where(share >= _COMMITTED, since + part * (now - since), np.nan)
