"""Cells of many start times, followed together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import IntegrationError, naming_cells

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics
    from cellflow.simulation import Trajectories

__all__ = ["follow", "follow_noisily", "nearest_station"]


def nearest_station(flow: FittedDynamics, times: FloatArray) -> FloatArray:
    """Round times to the solver's steps from the first snapshot, so that cells move together."""
    stations: FloatArray = flow.clock.start + flow.step * np.round(
        (times - flow.clock.start) / flow.step
    )
    # A station that is a snapshot's time but for rounding is that time, or a cell could lie outside
    # the observed ones.
    nearest = flow.times[np.abs(stations[:, None] - flow.times).argmin(axis=1)]
    return np.where(np.abs(stations - nearest) < 1e-6 * flow.step, nearest, stations)


def follow(
    flow: FittedDynamics,
    x: FloatArray,
    starts: FloatArray,
    times: FloatArray,
    *,
    context: FloatArray | None = None,
) -> Trajectories:
    """Trajectories of cells at common times, forward from the start of each and backward before it.

    All cells stop at the same stations: the snapshots' times, the solver's steps, and `times`. So
    they are moved together, whatever their starts, and a cell's states do not depend on the other
    cells. Cells whose start is no station are followed apart from the others.

    Parameters
    ----------
    flow
        The fitted dynamics.
    x
        Positions at the starts, shape `(n, d)`.
    starts
        Shape `(n,)`.
    times
        Shape `(T,)`, increasing.
    context
        Features of the cells' conditions, shape `(n, c)`; of a flow that was fitted with
        conditions.

    Returns
    -------
    `Trajectories` with states `(T, n, d)` in float32, the states of a cell contiguous in memory.

    Raises
    ------
    InputError
        Times so far away that it would take more than 10,000 steps.
    IntegrationError
        Where a state stops being finite.
    """
    from cellflow.simulation import Trajectories

    stations = _stations(flow, starts, times)
    together = np.isin(starts, stations)
    groups = [np.flatnonzero(together)] if together.any() else []
    groups += [np.flatnonzero(starts == start) for start in np.unique(starts[~together])]
    states = np.full((len(x), len(times), x.shape[1]), np.nan, dtype=np.float32)
    moved = Trajectories(times, states.transpose(1, 0, 2), {}, np.arange(len(x)))
    column = {time: k for k, time in enumerate(times.tolist())}
    try:
        for group in groups:
            route = np.union1d(stations, starts[group])
            for way in (route[route <= times[-1]], route[route >= times[0]][::-1]):
                with naming_cells(group):
                    for here in _march(flow, x[group], starts[group], way, _of(context, group)):
                        k = column.get(float(here.times[0]))
                        if k is not None:
                            moved = _with(moved, k, group[here.source], here)
    except IntegrationError as error:
        error.partial = moved
        raise
    return moved


def _with(moved: Trajectories, k: int, cells: IntArray, here: Trajectories) -> Trajectories:
    """Fill in states and quantities of some cells at time `k`; quantities are zero elsewhere."""
    moved.x[k, cells] = here.x[0]
    new = {name: np.zeros(moved.x.shape[:2]) for name in here.along if name not in moved.along}
    along = {**moved.along, **new}
    for name, values in here.along.items():
        along[name][k, cells] = values[0]
    return replace(moved, along=along)


def follow_noisily(
    flow: FittedDynamics,
    x: FloatArray,
    starts: FloatArray,
    times: FloatArray,
    *,
    n_rep: int,
    seed: int,
    keys: IntArray,
    context: FloatArray | None = None,
) -> Trajectories:
    """Trajectories of cells at common times along diffusions, reversed before the start of each.

    Parameters
    ----------
    flow
        With a score.
    x, starts, times, context
        As of `follow`.
    n_rep
        Paths of each cell.
    seed
        Of the noise.
    keys
        What the noise of each cell depends on beside the seed: non-negative integers, shape `(n,)`.

    Returns
    -------
    `Trajectories` of `n * n_rep` paths, those of one cell together, in the same layout as `follow`.

    Raises
    ------
    InputError
        A flow without a score.
    IntegrationError
        Where a state stops being finite.
    """
    from cellflow.simulation import Trajectories

    rows = np.repeat(np.arange(len(x)), n_rep)
    states = np.empty((len(rows), len(times), x.shape[1]), dtype=np.float32)
    moved = Trajectories(times, states.transpose(1, 0, 2), {}, rows)
    for start in np.unique(starts):
        group = np.flatnonzero(starts == start)
        with naming_cells(group):
            paths = flow.diffuse(
                x[group],
                float(start),
                times,
                n_rep=n_rep,
                random_state=seed,
                keys=keys[group],
                context=_of(context, group),
            )
        mine = np.isin(rows, group)
        for k in range(len(times)):
            moved = _with(moved, k, np.flatnonzero(mine), _at(paths, k))
    return moved


def _at(paths: Trajectories, k: int) -> Trajectories:
    """Trajectories at one of their times."""
    along = {name: values[[k]] for name, values in paths.along.items()}
    return replace(paths, times=paths.times[[k]], x=paths.x[[k]], along=along)


def _stations(flow: FittedDynamics, starts: FloatArray, times: FloatArray) -> FloatArray:
    """Stations of all cells, from the earliest to the latest of the starts and times."""
    from cellflow.simulation import require_few_steps

    low = min(starts.min(), times.min())
    high = max(starts.max(), times.max())
    require_few_steps(low, high, flow.step)
    first, last = (
        round_((t - flow.clock.start) / flow.step)
        for round_, t in ((np.floor, low), (np.ceil, high))
    )
    steps = flow.clock.start + flow.step * np.arange(first, last + 1)
    return np.unique(np.concatenate([steps, flow.times, times]))


def _of(context: FloatArray | None, rows: IntArray) -> FloatArray | None:
    return None if context is None else context[rows]


def _march(
    flow: FittedDynamics,
    x: FloatArray,
    starts: FloatArray,
    way: FloatArray,
    context: FloatArray | None,
) -> Iterator[Trajectories]:
    """Move cells along the stations of a way, each from its start on.

    Yields, for every station, the states there of the cells (`source`) that have started.
    """
    from cellflow.simulation import Trajectories

    place = {station: k for k, station in enumerate(way.tolist())}
    joins = np.array([place.get(start, len(way)) for start in starts.tolist()])
    current = np.array(x, dtype=np.float64)
    along: dict[str, FloatArray] = {}
    for k, station in enumerate(way.tolist()):
        moving = np.flatnonzero(joins < k)
        if len(moving):
            with naming_cells(moving):
                moved = flow.simulate(
                    current[moving], way[k - 1], [station], context=_of(context, moving)
                )
            current[moving] = moved.x[0]
            for name, values in moved.along.items():
                along.setdefault(name, np.zeros(len(x)))[moving] += values[0]
        there = np.flatnonzero(joins <= k)
        reached = {name: values[None, there] for name, values in along.items()}
        yield Trajectories(way[k : k + 1], current[None, there], reached, there)
