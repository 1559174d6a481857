"""Paths of cells to their fates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.fates.cells import FateCells, Region, Targets
from cellflow.analysis.trajectories import Noise
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import naming_cells

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics
    from cellflow.simulation import Trajectories

__all__ = ["Ended", "Route", "ended", "followed", "grid_of", "moved", "tasks"]

#: Paths that are followed together.
_PATHS = 20_480
#: Steps of a diffusion per mean interval between snapshots. With 8, probabilities differ from
#: those with 25, the default of `Flow.diffuse`, by no more than the noise of 150 paths; with 4 they
#: are shifted by up to .03 (`benchmarks/fates.py --steps`).
_STEPS_PER_UNIT = 8
#: Times of the grid on which commitment is looked for, beside those of the snapshots.
_GRID = 21
#: Relative rounding of these times.
_ROUNDING = 1e-9
#: Share of the votes by which the region of a label is entered.
_MAJORITY = 0.5


@dataclass(frozen=True, eq=False)
class Route:
    """How paths of cells of one start are followed.

    Parameters
    ----------
    flow, cells, targets
        The fitted dynamics, the cells, and what a fate is.
    regions
        Classifiers by time.
    noise
        Of diffusions; None for the flow.
    grid
        Times of which the states are kept, in the order of the motion.
    step
        Of the solver of the flow, in units of time; `FittedDynamics.step` by default.
    """

    flow: FittedDynamics
    cells: FateCells
    targets: Targets
    regions: Mapping[float, Region]
    noise: Noise | None
    grid: FloatArray
    step: float | None = None

    def between(self, times: FloatArray, start: float) -> FloatArray:
        """Those of some times that lie after a start, in the order of the motion."""
        return times[self.targets.sign * (times - start) > 0]

    def without_grid(self) -> Route:
        """The same, of which no states are kept."""
        return replace(self, grid=self.grid[:0])


@dataclass(frozen=True, eq=False)
class Ended:
    """Paths that have reached their fates.

    Parameters
    ----------
    source
        Row of the cell of each path, shape `(m,)`.
    shares
        Probabilities of the fates, the last "undecided", shape `(m, l + 1)`.
    worth
        Votes that these are worth, shape `(m,)`.
    log_weight
        Logarithm of the mass at the end, relative to the start, shape `(m,)`.
    time
        When each was absorbed, or the end, shape `(m,)`.
    grid
        Times of the states, shape `(t,)`, the start first.
    x
        States, shape `(t, m, d)`.
    """

    source: IntArray
    shares: FloatArray
    worth: FloatArray
    log_weight: FloatArray
    time: FloatArray
    grid: FloatArray
    x: FloatArray


def grid_of(targets: Targets, first: float, snapshots: FloatArray) -> FloatArray:
    """Times between the first start and the end at which votes are counted."""
    even = np.linspace(first, targets.at, _GRID)
    low, high = sorted((first, targets.at))
    inner = snapshots[(snapshots >= low) & (snapshots <= high)]
    # A time that is a snapshot's but for rounding would make a step of no length.
    apart = np.abs(even[:, None] - inner).min(axis=1, initial=np.inf) > _ROUNDING * (high - low)
    times = np.unique(np.concatenate([even[apart], inner, [first, targets.at]]))
    return times[:: int(targets.sign)]


def tasks(cells: FateCells, rows: IntArray, n_rep: int) -> Iterator[IntArray]:
    """Rows that are followed together: of one start, so many that their paths fit into memory."""
    size = max(1, _PATHS // n_rep)
    for start in np.unique(cells.start[rows]):
        group = rows[cells.start[rows] == start]
        yield from np.split(group, np.arange(size, len(group), size))


def followed(route: Route, rows: IntArray, replicates: range) -> Ended:
    """Follow cells of one start to their fates; the paths of one cell are together.

    Parameters
    ----------
    route
        How.
    rows
        Of the cells.
    replicates
        Numbers of the paths of each; one for the flow.
    """
    return ended(route, moved(route, rows, replicates))


def moved(route: Route, rows: IntArray, replicates: range) -> Trajectories:
    """States of the paths of cells of one start at all times that matter; `source` has the rows."""
    start = float(route.cells.start[rows[0]])
    stops = route.between(route.targets.stops, start)
    grid = route.between(route.grid, start)
    times = np.unique(np.concatenate([stops, grid, [route.targets.at]]))
    with naming_cells(rows):
        found = _moved(route, rows, start, times, replicates)
    return replace(found, source=rows[found.source])


def _moved(
    route: Route, rows: IntArray, start: float, times: FloatArray, replicates: range
) -> Trajectories:
    """The same; `source` has places in `rows`."""
    cells = route.cells
    if route.noise is None:
        features = cells.features(rows)
        return route.flow.simulate(cells.x[rows], start, times, step=route.step, context=features)
    place = np.repeat(np.arange(len(rows)), len(replicates))
    again = rows[place]
    found = route.flow.diffuse(
        cells.x[again],
        start,
        times,
        random_state=route.noise.seed,
        step=route.flow.clock.unit / _STEPS_PER_UNIT,
        keys=route.noise.keys[again],
        replicate=np.tile(np.asarray(replicates), len(rows)),
        context=cells.features(again),
    )
    return replace(found, source=place)


def ended(route: Route, moved: Trajectories) -> Ended:
    """Fates at the ends of paths that `moved` returned, perhaps of a route to other regions."""
    source = moved.source
    start = float(route.cells.start[source[0]])
    grid = route.between(route.grid, start)
    kept = [np.searchsorted(moved.times, time) for time in grid]
    x = np.concatenate([route.cells.x[source][None], moved.x[kept]]).astype(np.float32)
    return Ended(source, *_ended(route, moved, start), np.append(start, grid), x)


def _ended(
    route: Route, moved: Trajectories, start: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Shares, what they are worth, logarithms of masses, and times at which paths end."""
    source = moved.source
    n = len(source)
    n_labels = len(route.targets.names)
    shares = np.zeros((n, n_labels + 1))
    worth = np.ones(n)
    log_weight = np.zeros(n)
    end = np.full(n, route.targets.at)
    alive = np.ones(n, dtype=bool)
    stops = route.targets.stops
    for stop in stops[route.targets.sign * (stops - start) >= 0].tolist():
        walking = np.flatnonzero(alive)
        if stop == start:
            absorbed = _labels_at_start(route, source, stop)
            growth = np.zeros(n)
        else:
            k = int(np.searchsorted(moved.times, stop))
            absorbed = np.full(n, -1)
            absorbed[walking] = _entered(route, moved.x[k, walking], stop)
            growth = moved.log_weight[k]
        caught = walking[absorbed[walking] >= 0]
        shares[caught, absorbed[caught]] = 1.0
        log_weight[caught] = growth[caught]
        end[caught] = stop
        alive[caught] = False
    walking = np.flatnonzero(alive)
    if len(walking):
        last = int(np.searchsorted(moved.times, route.targets.at))
        found, worth[walking] = route.regions[route.targets.at].votes(moved.x[last, walking])
        shares[walking, :n_labels] = found[:, :n_labels]
        shares[walking, n_labels] = found[:, n_labels:].sum(axis=1)
        log_weight[walking] = moved.log_weight[last, walking]
    return shares, worth, log_weight, end


def _entered(route: Route, x: FloatArray, time: float) -> IntArray:
    """Number of the label whose region absorbs each state, shape `(m,)`; -1 for none."""
    shares, _ = route.regions[time].votes(x)
    return _majority(shares, route.targets.absorbing(time))


def _labels_at_start(route: Route, source: IntArray, time: float) -> IntArray:
    """The same of measured cells: by their own label, or where they have none by the votes."""
    cells = route.cells
    targets = route.targets
    absorbing = targets.absorbing(time)
    code = np.where(np.isin(targets.code[source], absorbing), targets.code[source], -1)
    rows, place = np.unique(source, return_inverse=True)
    unlabelled = ~targets.labelled[rows] & (cells.measured[rows] == time)
    if unlabelled.any():
        shares, _ = route.regions[time].shares(cells.x[rows[unlabelled]], rows[unlabelled])
        own = np.full(len(rows), -1)
        own[unlabelled] = _majority(shares, absorbing)
        code = np.where(targets.labelled[source], code, own[place])
    return np.asarray(code)


def _majority(shares: FloatArray, absorbing: IntArray) -> IntArray:
    best = shares[:, absorbing].argmax(axis=1)
    entered = shares[np.arange(len(shares)), absorbing[best]] > _MAJORITY
    return np.where(entered, absorbing[best], -1)
