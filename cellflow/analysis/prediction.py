"""Populations at times without a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from cellflow.core._numbers import as_count, as_number
from cellflow.core._random import shuffled
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, closest, naming_cells

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics
    from cellflow.simulation import Trajectories

__all__ = ["Prediction", "Side", "of_condition", "predict", "sources"]

#: Which snapshots a prediction starts from: both neighbours, one of them, or the snapshot at a
#: time.
Side: TypeAlias = "Literal['both', 'earlier', 'later'] | float"
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
        Whether the time lies outside those of the snapshots.
    sides
        Where the cells come from: `"both"`, `"earlier"` or `"later"` snapshots, or `"same"`, the
        snapshot at that very time.
    context
        Features of the condition of each predicted cell, shape `(n, c)`; None without conditions.
    """

    x: FloatArray
    weight: FloatArray
    origin: IntArray
    origin_time: FloatArray
    extrapolated: bool
    sides: str = "both"
    context: FloatArray | None = None

    @property
    def side_by_side(self) -> FloatArray:
        """Positions and weights, shape `(n, d + 1)`."""
        return np.column_stack([self.x, self.weight])


def sources(
    snapshots: Snapshots, time: float, source: Side = "both"
) -> list[tuple[Population, float]]:
    """Return the snapshots that a prediction at `time` starts from, with their shares.

    Between two snapshots both are used, weighted by closeness in time; at a snapshot's own time,
    the neighbours strictly before and after it; outside the observed times, the nearest snapshot.

    Raises
    ------
    InputError
        For a source that does not exist, or no snapshot but the one at `time`.

    Examples
    --------
    >>> snapshots = Snapshots.from_arrays(np.zeros((3, 1)), np.array([0.0, 1.0, 3.0]))
    >>> [(p.time, share) for p, share in sources(snapshots, 1.5)]
    [(1.0, 0.75), (3.0, 0.25)]
    """
    if not isinstance(source, str):
        remedy = f", the time of a snapshot, or one of {list(_SIDES)}"
        return [(snapshots.at(as_number("source", source, remedy=remedy)), 1.0)]
    if source not in _SIDES:
        msg = (
            f"source={source!r} is none of {list(_SIDES)} and no time of a"
            f" snapshot{closest(source, _SIDES)}"
        )
        raise InputError(msg)
    earlier = [p for p in snapshots.populations if p.time < time][-1:]
    later = [p for p in snapshots.populations if p.time > time][:1]
    if source == "both":
        if earlier and later:
            share = (time - earlier[0].time) / (later[0].time - earlier[0].time)
            return [(earlier[0], 1.0 - share), (later[0], share)]
        if not earlier and not later:
            msg = (
                f"The only snapshot is at time {time:g} itself; a prediction there is made from"
                f" others. Expected cells of another time, or source={time:g} for these cells as"
                " they are."
            )
            raise InputError(msg)
        return [(p, 1.0) for p in earlier + later]
    chosen = earlier if source == "earlier" else later
    if not chosen:
        msg = (
            f"source={source!r} of time {time:g}: no snapshot is {source}; found"
            f" {snapshots.times.tolist()}."
        )
        raise InputError(msg)
    return [(chosen[0], 1.0)]


def of_condition(snapshots: Snapshots, features: FloatArray) -> tuple[Snapshots, bool]:
    """Choose the cells from which a prediction for one condition starts.

    Where some snapshot has cells of the condition, these are chosen, and snapshots without any are
    left out. Where none has, all cells are, as if they had that condition: the prediction is of a
    combination that was not measured.

    Parameters
    ----------
    snapshots
        With `context`.
    features
        Of the condition, shape `(c,)`.

    Returns
    -------
    The cells, and whether they have the condition.
    """
    parts = []
    for p in snapshots.populations:
        rows = np.flatnonzero((np.asarray(p.context) == features).all(axis=1))
        if p.weight[rows].sum() > 0:
            parts.append(p.part(rows))
    if parts:
        return Snapshots(tuple(parts)), True
    relabelled = [
        replace(p, context=np.broadcast_to(features, (len(p), len(features))))
        for p in snapshots.populations
    ]
    return Snapshots(tuple(relabelled)), False


def predict(
    flow: FittedDynamics,
    snapshots: Snapshots,
    time: float,
    *,
    n_obs: int | None = None,
    rng: np.random.Generator | None = None,
    source: Side = "both",
    seed: int | None = None,
    keys: IntArray | None = None,
) -> Prediction:
    """Move measured cells to a time: the earlier snapshot forward, the later one backward.

    Parameters
    ----------
    flow
        The fitted dynamics.
    snapshots
        Measured cells in data coordinates; `Population.index` holds their rows,
        `Population.context` their conditions.
    time
        Where to predict.
    n_obs
        Cells to draw, in proportion to their weights and without repeats as far as there are cells;
        by default every cell of the sources comes back once, with its weight.
    rng
        For the draw; needed with `n_obs`.
    source
        See `sources`.
    seed
        Of a stochastic prediction: cells are moved by the diffusion with the flow's marginals
        (`Flow.diffuse`), not by the flow itself. None for the flow.
    keys
        What finds the noise of each cell by its row, non-negative integers; the rows themselves by
        default.

    Raises
    ------
    InputError
        A source that does not exist, or a number of cells that is not positive.
    IntegrationError
        Where a state stops being finite.
    """
    time = as_number("time", time)
    chosen = sources(snapshots, time, source)
    cells = [p for p, _ in chosen]
    start = np.concatenate([p.x for p in cells])
    weight = np.concatenate([share * p.weight for p, share in chosen])
    origin = np.concatenate([p.index for p in cells])
    origin_time = np.repeat([p.time for p in cells], [len(p) for p in cells])
    context = None
    if snapshots.n_context:
        context = np.concatenate([p.context for p in cells if p.context is not None])
    again: IntArray = np.zeros(len(start), dtype=np.int64)
    if n_obs is not None:
        n_obs = as_count("n_obs", n_obs, each=8 * (start.shape[1] + 3))
        rows, again = _drawn(weight, n_obs, rng)
        start = start[rows]
        origin = origin[rows]
        origin_time = origin_time[rows]
        context = None if context is None else context[rows]
        weight = np.full(n_obs, 1.0 / n_obs)
    x = np.array(start, dtype=np.float64)
    for since in np.unique(origin_time[origin_time != time]):
        group = np.flatnonzero(origin_time == since)
        names = origin[group] if keys is None else keys[origin[group]]
        features = None if context is None else context[group]
        with naming_cells(origin[group]):
            moved = _moved(
                flow, start[group], float(since), time, seed, names, again[group], features
            )
        x[group] = moved.x[0]
        weight[group] = _grown(weight[group], moved.log_weight[0])
    outside = not snapshots.times[0] <= time <= snapshots.times[-1]
    about = (outside, _sides(cells, time), context)
    return Prediction(x, weight / weight.sum(), origin, origin_time, *about)


def _drawn(
    weight: FloatArray, n_obs: int, rng: np.random.Generator | None
) -> tuple[IntArray, IntArray]:
    """Rows by weight, and how often each row was drawn before: repeats get noise of their own."""
    if rng is None:
        msg = "Drawing n_obs cells needs a generator."
        raise InputError(msg)
    rows = shuffled(weight, n_obs, rng)
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], rows[order])
    again = np.empty(n_obs, dtype=np.int64)
    again[order] = np.arange(n_obs) - first
    return rows, again


def _sides(cells: Sequence[Population], time: float) -> str:
    if len(cells) == 2:
        return "both"
    side = np.sign(cells[0].time - time)
    return "earlier" if side < 0 else "later" if side > 0 else "same"


def _moved(
    flow: FittedDynamics,
    x: FloatArray,
    since: float,
    time: float,
    seed: int | None,
    names: IntArray,
    again: IntArray,
    context: FloatArray | None,
) -> Trajectories:
    """Move cells from one time to another, by the flow, or with a seed by the diffusion."""
    if seed is None:
        return flow.simulate(x, since, [time], context=context)
    return flow.diffuse(
        x, since, [time], random_state=seed, keys=names, replicate=again, context=context
    )


def _grown(weight: FloatArray, log_weight: FloatArray) -> FloatArray:
    """Weights times growth, with the same sum: a source keeps its share of the prediction."""
    grown = weight * np.exp(log_weight)
    return np.asarray(grown * (weight.sum() / grown.sum()))
