"""Cells of many start times, followed together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow._typing import FloatArray

if TYPE_CHECKING:
    from cellflow.flow import Flow

__all__ = ["follow", "nearest_station"]


def nearest_station(flow: Flow, times: FloatArray) -> FloatArray:
    """Round times to the solver's steps, counted from the first snapshot; cells that start there are moved together."""
    return flow.clock.start + flow.step * np.round((times - flow.clock.start) / flow.step)


def follow(flow: Flow, x: FloatArray, starts: FloatArray, times: FloatArray) -> FloatArray:
    """States of cells at common times, each followed forward from its own start and backward before it.

    All cells stop at the same stations: the snapshots' times, the solver's steps, and `times`. So they are moved together,
    whatever their starts, and still a cell's states do not depend on the cells that are asked with it. A start that is no
    station is followed by itself.

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

    Returns
    -------
    Shape `(n, T, d)`, float32.

    Raises
    ------
    IntegrationError
        Where a state stops being finite.
    """
    stations = _stations(flow, starts, times)
    together = np.isin(starts, stations)
    groups = [np.flatnonzero(together)] if together.any() else []
    groups += [np.flatnonzero(starts == start) for start in np.unique(starts[~together])]
    states = np.empty((len(x), len(times), x.shape[1]), dtype=np.float32)
    for group in groups:
        route = np.union1d(stations, starts[group])
        for way in (route, route[::-1]):
            _march(flow, x, starts, times, way, group, states)
    return states


def _stations(flow: Flow, starts: FloatArray, times: FloatArray) -> FloatArray:
    """Where everybody stops, from the earliest to the latest of all times asked for."""
    low, high = min(starts.min(), times.min()), max(starts.max(), times.max())
    first, last = (round_((t - flow.clock.start) / flow.step) for round_, t in ((np.floor, low), (np.ceil, high)))
    steps = flow.clock.start + flow.step * np.arange(first, last + 1)
    return np.unique(np.concatenate([steps, flow.times, times]))


def _march(
    flow: Flow, x: FloatArray, starts: FloatArray, times: FloatArray, way: FloatArray, group: np.ndarray, states: FloatArray
) -> None:
    """Move cells from station to station, each from its start on, and note down their states at `times`."""
    sign = np.sign(way[-1] - way[0])
    current = np.array(x, dtype=np.float64)
    asked = sign * times[::-1 if sign < 0 else 1]
    states[:] = states
    for here, there in zip(way[:-1], way[1:], strict=True):
        del here, there, asked
