"""Cells moved to the times of a grid at which they stand for the population."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.trends.support import Cloud
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import naming_cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellflow.core.population import Population, Snapshots
    from cellflow.model.base import FittedDynamics

__all__ = ["Stretch", "stretches"]

#: Cells that are moved together.
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some cells of one snapshot, and the times at which they stand for the population.

    Parameters
    ----------
    source
        Number of the snapshot.
    rows
        Row of each cell, shape `(n,)`.
    x
        Positions at their own time, shape `(n, d)`.
    context
        Features of their conditions, shape `(n, c)`, or None.
    at
        Numbers of the times in the grid, shape `(m,)`.
    share
        Share of the population at each time that the whole snapshot stands for, shape `(m,)`.
    states
        Positions at these times, shape `(m, n, d)`.
    mass
        Mass at these times: the weight in the snapshot, times growth, shape `(m, n)`.
    off
        Whether each path leads to where no cell was measured, shape `(m, n)`.
    """

    source: int
    rows: IntArray
    x: FloatArray
    context: FloatArray | None
    at: IntArray
    share: FloatArray
    states: FloatArray
    mass: FloatArray
    off: np.ndarray


def stretches(
    flow: FittedDynamics,
    snapshots: Snapshots,
    grid: FloatArray,
    *,
    start: float | None = None,
    clouds: Mapping[float, Cloud] | None = None,
) -> Iterator[Stretch]:
    r"""Move cells to the times of a grid.

    Between two snapshots the population is the cells of the first, moved forward, and those of the
    second, moved backward, weighted by closeness in time; at the time of a snapshot it is its
    cells. So errors of the motion do not add up over the snapshots, and cells that enter between
    two snapshots are there. With a `start`, the cells measured then are followed over the whole
    grid instead.

    Parameters
    ----------
    flow
        The fitted dynamics.
    snapshots
        Measured cells; `Population.index` holds their rows.
    grid
        Increasing times, shape `(T,)`. Times outside those of the snapshots are left out.
    start
        Time of a snapshot.
    clouds
        Where cells were measured, by time, for `off`; None where it is not asked for.

    Yields
    ------
    Parts of the snapshots.

    Raises
    ------
    InputError
        No snapshot at the start.
    IntegrationError
        A state that is not finite.
    """
    known = snapshots.times
    inside = (grid >= known[0]) & (grid <= known[-1])
    if start is not None:
        snapshots.at(start)
    for k, population in enumerate(snapshots.populations):
        if start is None:
            share = np.where(inside, _closeness(grid, known, k), 0.0)
        else:
            share = np.where(inside & (population.time == start), 1.0, 0.0)
        at = np.flatnonzero(share > 0)
        if len(at):
            ends = _ends(grid[at], known, population.time)
            for first in range(0, len(population), _CHUNK):
                rows = slice(first, first + _CHUNK)
                yield _moved(flow, k, population, rows, grid, at, share[at], ends, clouds)


def _closeness(grid: FloatArray, known: FloatArray, k: int) -> FloatArray:
    """Share of snapshot `k` at each time: one at its own, falling to zero at its neighbours."""
    return np.asarray(np.interp(grid, known, np.arange(len(known)) == k))


def _ends(times: FloatArray, known: FloatArray, own: float) -> FloatArray:
    """The snapshot that is reached next on the way from a time of its own through each time."""
    later = known[np.searchsorted(known, times).clip(max=len(known) - 1)]
    earlier = known[(np.searchsorted(known, times, side="right") - 1).clip(min=0)]
    return np.where(times > own, later, np.where(times < own, earlier, own))


def _moved(
    flow: FittedDynamics,
    k: int,
    cells: Population,
    rows: slice,
    grid: FloatArray,
    at: IntArray,
    share: FloatArray,
    ends: FloatArray,
    clouds: Mapping[float, Cloud] | None,
) -> Stretch:
    x = np.asarray(cells.x[rows], dtype=np.float64)
    index = cells.index[rows]
    context = None if cells.context is None else cells.context[rows]
    times = np.union1d(grid[at], ends)
    with naming_cells(index):
        moved = flow.simulate(x, cells.time, times, context=context)
    mass = cells.weight[rows] * np.exp(moved.log_weight)
    off = np.zeros((len(times), len(x)), dtype=bool)
    if clouds is not None:
        for end in np.unique(ends[ends != cells.time]).tolist():
            place = int(np.searchsorted(times, end))
            off[place] = clouds[end].misses(np.asarray(moved.x[place]))
    wanted = np.searchsorted(times, grid[at])
    reached = np.searchsorted(times, ends)
    states = np.asarray(moved.x[wanted], dtype=np.float64)
    # A cell at its own time is where it was measured, without the rounding of the solver.
    states[grid[at] == cells.time] = x
    return Stretch(k, index, x, context, at, share, states, mass[wanted], off[reached])
