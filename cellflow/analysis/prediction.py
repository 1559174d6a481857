"""Populations at times that nobody measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from cellflow._numbers import as_count, as_number
from cellflow._typing import FloatArray, IntArray
from cellflow.errors import InputError, closest
from cellflow.population import Population, Snapshots

if TYPE_CHECKING:
    from cellflow.flow import Flow

__all__ = ["Prediction", "Source", "predict", "sources"]

#: Which snapshots a prediction starts from: both neighbours, one of them, or the snapshot at a time.
Source: TypeAlias = "Literal['both', 'earlier', 'later'] | float"
_SIDES = ("both", "earlier", "later")


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted population.

    Parameters
    ----------
    x
        Positions in data coordinates, shape `(n, d)`.
    weight
        Shape `(n,)`, summing to one.
    origin
        Row of the measured cell that each predicted cell was moved from, shape `(n,)`.
    origin_time
        Its time, shape `(n,)`.
    extrapolated
        Whether the time lies outside the observed ones.
    """

    x: FloatArray
    weight: FloatArray
    origin: IntArray
    origin_time: FloatArray
    extrapolated: bool


def sources(snapshots: Snapshots, time: float, source: Source = "both") -> list[tuple[Population, float]]:
    """Return the snapshots that a prediction at `time` starts from, with their shares.

    Between two snapshots both are used, weighted by closeness in time; at a snapshot's own time, the neighbours strictly
    before and after it; outside the observed times, the nearest snapshot.

    Raises
    ------
    InputError
        For a source that does not exist.

    Examples
    --------
    >>> snapshots = Snapshots.from_arrays(np.zeros((3, 1)), np.array([0.0, 1.0, 3.0]))
    >>> [(p.time, share) for p, share in sources(snapshots, 1.5)]
    [(1.0, 0.75), (3.0, 0.25)]
    """
    if isinstance(source, str):
        if source not in _SIDES:
            msg = f"source={source!r} is none of {list(_SIDES)} and no time of a snapshot{closest(source, _SIDES)}"
            raise InputError(msg)
    else:
        return [(snapshots.at(as_number("source", source, remedy=f", the time of a snapshot, or one of {list(_SIDES)}")), 1.0)]
    earlier = [p for p in snapshots.populations if p.time < time][-1:]
    later = [p for p in snapshots.populations if p.time > time][:1]
    if source == "both":
        if earlier and later:
            share = (time - earlier[0].time) / (later[0].time - earlier[0].time)
            return [(earlier[0], 1.0 - share), (later[0], share)]
        return [(p, 1.0) for p in earlier + later]
    chosen = earlier if source == "earlier" else later
    if not chosen:
        msg = f"source={source!r} of time {time:g}: no snapshot is {source}; found {snapshots.times.tolist()}."
        raise InputError(msg)
    return [(chosen[0], 1.0)]


def predict(
    flow: Flow,
    snapshots: Snapshots,
    time: float,
    *,
    n_obs: int | None = None,
    rng: np.random.Generator | None = None,
    source: Source = "both",
) -> Prediction:
    """Move measured cells to a time: the earlier snapshot forward, the later one backward.

    Parameters
    ----------
    flow
        The fitted dynamics.
    snapshots
        Measured cells in data coordinates; `Population.index` holds their rows.
    time
        Where to predict.
    n_obs
        Cells to draw, in proportion to their weights and without repeats as far as there are cells; by default every
        cell of the sources comes back once, with its weight.
    rng
        For the draw; needed with `n_obs`.
    source
        See `sources`.

    Raises
    ------
    InputError
        A source that does not exist, or a number of cells that is not positive.
    IntegrationError
        Where a state stops being finite.
    """
    time = as_number("time", time)
    chosen = sources(snapshots, time, source)
    parts = []
    for population, share in chosen:
        moved = population.x if population.time == time else flow.simulate(population.x, population.time, [time]).x[0]
        parts.append((moved, share * population.weight, population.index, np.full(len(population), population.time)))
    x, weight, origin, origin_time = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if n_obs is not None:
        rows = _drawn(weight, n_obs, rng)
        x, origin, origin_time = x[rows], origin[rows], origin_time[rows]
        weight = np.full(n_obs, 1.0 / n_obs)
    outside = not snapshots.times[0] <= time <= snapshots.times[-1]
    return Prediction(x, weight / weight.sum(), origin, origin_time, outside)


def _drawn(weight: FloatArray, n: int, rng: np.random.Generator | None) -> IntArray:
    """Systematic resampling in random order: each row is drawn `n * weight` times, rounded up or down at random."""
    n = as_count("n_obs", n)
    if rng is None:
        msg = "Drawing n_obs cells needs a generator."
        raise InputError(msg)
    order = rng.permutation(len(weight))
    edges = np.cumsum(weight[order])
    points = (rng.random() + np.arange(n)) / n * edges[-1]
    return rng.permutation(order[np.minimum(np.searchsorted(edges, points, side="right"), len(weight) - 1)])
