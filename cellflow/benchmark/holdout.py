"""Leave snapshots out, and compare what methods predict with the cells that they have not seen."""

from __future__ import annotations

import math
import os
import time as clock
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow import __version__
from cellflow._numbers import as_count, as_number
from cellflow._random import as_seed, stream
from cellflow._typing import FloatArray, RandomState
from cellflow.benchmark.baselines import (
    around,
    mixture,
    next_snapshot,
    ot_interpolation,
    previous_snapshot,
    random_interpolation,
)
from cellflow.benchmark.methods import (
    PROTOCOLS,
    Fitted,
    Method,
    Protocols,
    Trained,
    as_methods,
    as_protocols,
    description,
)
from cellflow.benchmark.scores import Halves, Scores, as_metrics, columns, halves, score, score_floor, thinned
from cellflow.benchmark.tasks import Cache, Outcome, Task, as_jobs, digest, run
from cellflow.errors import InputError, closest
from cellflow.fitting import fit
from cellflow.flow import Flow
from cellflow.frame import Scale
from cellflow.population import Population, Snapshots
from cellflow.recipes import Recipe, ot_cfm

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BASELINES",
    "FLOOR",
    "STRAIGHT",
    "HeldOut",
    "Problem",
    "Row",
    "Score",
    "hold_out",
    "inner_times",
    "leave_one_out",
    "score_held_out",
]

Kind = Literal["model", "baseline", "floor"]

#: The baseline that a model has to beat, and the row that nobody can.
STRAIGHT, FLOOR = "OT interpolation", "noise floor"
#: Called as `(rest, time, rng)`.
_BASELINES: dict[str, Callable[[Snapshots, float, np.random.Generator], Population]] = {
    "previous snapshot": lambda rest, time, rng: previous_snapshot(rest, time),  # noqa: ARG005 (as those that draw)
    "next snapshot": lambda rest, time, rng: next_snapshot(rest, time),  # noqa: ARG005
    "mixture": lambda rest, time, rng: mixture(rest, time),  # noqa: ARG005
    STRAIGHT: ot_interpolation,
    "random pairing": random_interpolation,
}
#: Rows without a model that stand beside every model.
BASELINES = tuple(_BASELINES)
#: Splits, draws and what a baseline draws do not depend on the seeds of the models, so that all are judged alike.
_SEED = 0
#: Cells of a cloud that are kept for pictures.
_DRAWN = 2000
#: Name of a suffix in the rows of `leave_one_out`.
_SUFFIX: dict[str, str] = {"P1": "", "two-sided": ", two-sided"}


@dataclass(frozen=True, eq=False)
class Problem:
    """A snapshot to be predicted from the others.

    Parameters
    ----------
    snapshots
        All populations, in the coordinates that this snapshot is judged in.
    time
        Of the snapshot that is held out; an inner one.
    representation
        What these coordinates are and whether they have seen the held-out cells; a column of the table.

    Raises
    ------
    InputError
        No snapshot at this time, or none on one of its sides.
    """

    snapshots: Snapshots
    time: float
    representation: str = "as given"

    def __post_init__(self) -> None:
        around(self.rest, self.time)

    @cached_property
    def rest(self) -> Snapshots:
        """What a method may see."""
        return self.snapshots.without(self.time)

    @property
    def held_out(self) -> Population:
        """What it may not."""
        return self.snapshots.at(self.time)

    @property
    def n_half(self) -> int:
        """The common half size: half of the held-out cells, and no more than either neighbour has."""
        smallest = min(int(np.count_nonzero(p.weight)) for p in around(self.rest, self.time))
        return min(int(np.count_nonzero(self.held_out.weight)) // 2, smallest)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all cells."""
        arrays = [a for p in self.snapshots.populations for a in (p.x, p.weight, p.context) if a is not None]
        return digest(self.snapshots.times, self.time, *arrays)

    def halves(self, n_splits: int) -> list[Halves]:
        """Splits of the held-out cells, the same for everybody."""
        return halves(self.held_out, self.n_half, n_splits=n_splits, seed=_SEED)


@dataclass(frozen=True, eq=False)
class Row:
    """How one method did on one held-out snapshot: a row of the table.

    Parameters
    ----------
    time, method, protocol, seed, kind, representation
        Columns of the table; a baseline has no protocol and no seed.
    scores
        What was measured.
    seconds
        To predict, training and plans included; not to score.
    half_share
        Share of the held-out cells that are in a half.
    """

    time: float
    method: str
    protocol: str
    seed: int | None
    kind: Kind
    scores: Scores
    seconds: float
    representation: str
    half_share: float = 0.5


@dataclass(frozen=True, eq=False)
class HeldOut:
    """All rows, and the clouds that pictures are drawn from.

    Parameters
    ----------
    rows
        By time: baselines, models by seed and protocol, the floor.
    clouds
        By `"time_1.0"`, then by `"observed"`, the name of a baseline, or `"method, protocol"` (of the first seed): positions
        `x` of at most 2,000 cells in single precision, and their `weight`.
    """

    rows: tuple[Row, ...]
    clouds: Mapping[str, Mapping[str, Mapping[str, FloatArray]]]

    def table(self) -> pd.DataFrame:
        """One row per time, seed, method and protocol; see `cellflow.bench.holdout` for the columns."""
        from cellflow.benchmark.verdict import table

        return table(self.rows)

    @property
    def verdict(self) -> str:
        """Whether the models are better than interpolation without one, in plain sentences."""
        from cellflow.benchmark.verdict import verdict

        return verdict(self.rows)


@dataclass(frozen=True, eq=False)
class _Judged:
    """What all tasks of a problem share: how predictions are judged."""

    problem: Problem
    metrics: tuple[str, ...]
    n_splits: int

    def _hash(self, *parts: object) -> str:
        return digest(__version__, self.problem.fingerprint, list(self.metrics), self.n_splits, *parts)

    def _row(self, predicted: Population | None, notes: Sequence[str] = (), **named: Any) -> dict[str, Any]:
        """Score a prediction, or none; as plain values."""
        if predicted is None:
            empty = dict.fromkeys([*columns(self.metrics), "w1_half", "energy_half"], math.nan)
            found = Scores(empty | {"n_observed": len(self.problem.held_out)}, (), tuple(notes))
        else:
            splits = self.problem.halves(self.n_splits)
            found = score(predicted, self.problem.held_out, splits, chosen=self.metrics, seed=_SEED)
        return _as_plain(found) | named


def _as_plain(scores: Scores) -> dict[str, Any]:
    return {"values": dict(scores.values), "w1_splits": list(scores.w1_splits), "notes": list(scores.notes)}


def _cloud(name: str, cloud: Population) -> dict[str, FloatArray]:
    x, weight = thinned(cloud, _DRAWN, seed=_SEED)
    return {f"{name}|x": x, f"{name}|weight": weight}


@dataclass(frozen=True, eq=False)
class _Baseline(_Judged):
    """A baseline or the floor, scored once whatever the seeds."""

    name: str

    @property
    def key(self) -> str:
        return self._hash("baseline", self.name)

    def run(self) -> Outcome:
        problem, about = self.problem, {"method": self.name, "protocol": "", "seed": None, "kind": "baseline", "seconds": 0.0}
        if self.name == FLOOR:
            found = score_floor(problem.held_out, problem.halves(self.n_splits), chosen=self.metrics, seed=_SEED)
            cloud = _cloud("observed", problem.held_out)
            return Outcome([_as_plain(found) | about | {"kind": "floor"}], cloud)
        begun = clock.perf_counter()
        try:
            predicted = _BASELINES[self.name](problem.rest, problem.time, stream(_SEED, BASELINES.index(self.name)))
        except Exception as error:  # noqa: BLE001 (the rest of the table stands)
            return Outcome([self._row(None, [_said(error)], **about)], {}, complete=False)
        seconds = clock.perf_counter() - begun
        return Outcome([self._row(predicted, **about | {"seconds": seconds})], _cloud(self.name, predicted))


@dataclass(frozen=True, eq=False)
class _Model(_Judged):
    """A method with one seed, by all protocols."""

    method: Method
    seed: int
    protocols: tuple[Protocols, ...]

    @property
    def key(self) -> str:
        return self._hash("model", description(self.method), self.seed, list(self.protocols))

    def run(self) -> Outcome:
        try:
            predicted = self._predicted()
        except Exception as error:  # noqa: BLE001 (a method that fails leaves the rest of the table intact)
            rows = [self._row(None, [_said(error)], **self._about(p, math.nan)) for p in self.protocols]
            return Outcome(rows, {}, complete=False)
        rows, clouds, scored = [], {}, {}
        for protocol, (cells, seconds) in predicted.items():
            same = next((p for p, (other, _) in predicted.items() if p in scored and _equal(other, cells)), None)
            if same is None:
                scored[protocol] = self._row(cells)
            rows.append(scored[same or protocol] | self._about(protocol, seconds))
            clouds |= _cloud(f"{self.method.name}, {protocol}", cells)
        return Outcome(rows, clouds)

    def _about(self, protocol: str, seconds: float) -> dict[str, Any]:
        return {"method": self.method.name, "protocol": protocol, "seed": self.seed, "kind": "model", "seconds": seconds}

    def _predicted(self) -> dict[Protocols, tuple[Population, float]]:
        """Populations by protocol with the seconds that they took, in the order of the protocols."""
        method, rest, time = self.method, self.problem.rest, self.problem.time
        if isinstance(method, Trained):
            method = Fitted(
                fit(rest, method.recipe, scale=method.scale, random_state=self.seed, threads=method.threads, progress=False)
            )
        if isinstance(method, Fitted):
            return {p: method.predicted(rest, time, p) for p in self.protocols}
        begun = clock.perf_counter()
        found = method(rest, time, random_state=self.seed)
        seconds = clock.perf_counter() - begun
        if not isinstance(found, Mapping) or not found or set(found) - set(PROTOCOLS):
            shown = sorted(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            msg = f"The method {method.name!r} returned {shown}; expected populations by protocol, some of {list(PROTOCOLS)}."
            raise InputError(msg)
        for protocol, cells in found.items():
            if not isinstance(cells, Population) or cells.x.shape[1] != rest.n_dims:
                shown = f"shape {cells.x.shape}" if isinstance(cells, Population) else type(cells).__name__
                msg = f"The method {method.name!r} returned {shown} for {protocol}; expected a Population of {rest.n_dims} dimensions."
                raise InputError(msg)
        return {p: (found[p], seconds) for p in self.protocols if p in found}


def _equal(a: Population, b: Population) -> bool:
    return a.x.shape == b.x.shape and np.array_equal(a.x, b.x) and np.array_equal(a.weight, b.weight)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def inner_times(snapshots: Snapshots, times: object = None) -> list[float]:
    """Return the times to hold out: those asked for, or all but the first and the last.

    Raises
    ------
    InputError
        Fewer than three snapshots, or a time that is none of the inner ones; the message lists these.
    """
    known = snapshots.times.tolist()
    inner = known[1:-1]
    if not inner:
        found = f"{len(known)} snapshot{'s' * (len(known) > 1)} only, at {', '.join(f'{t:g}' for t in known)}"
        msg = (
            f"There {'are' if len(known) > 1 else 'is'} {found}: nothing can be held out. Expected at least three, since one "
            "before and one after the held-out snapshot must remain. Add a snapshot, or split the times more finely."
        )
        raise InputError(msg)
    if times is None:
        return inner
    given = list(times) if isinstance(times, Sequence | np.ndarray) and not isinstance(times, str) else [times]
    chosen = [as_number("times", t, remedy=f", of {inner}") for t in given]
    for t in chosen:
        if t not in inner:
            place = "is an end, which nothing lies beyond" if t in known else "has no snapshot"
            msg = f"times={times!r}: {t:g} {place}. Expected some of the inner times {inner}."
            raise InputError(msg)
    if not chosen:
        msg = f"times is empty; expected some of the inner times {inner}, or None for all."
        raise InputError(msg)
    return sorted(set(chosen))


def as_seeds(seeds: object) -> tuple[int, ...]:
    """Return the argument `seeds`: one seed, or several that differ.

    Raises
    ------
    InputError
        No seed, or something that is none.
    """
    given = list(seeds) if isinstance(seeds, Sequence | np.ndarray | range) and not isinstance(seeds, str) else [seeds]
    if not given:
        msg = "seeds is empty; expected at least one seed, such as (0,)."
        raise InputError(msg)
    return tuple(dict.fromkeys(as_seed(s) for s in given))  # type: ignore[arg-type] # which checks it


def hold_out(
    problems: Snapshots | Sequence[Problem],
    *,
    methods: object = None,
    times: object = None,
    seeds: object = (0,),
    protocols: object = PROTOCOLS,
    baselines: Sequence[str] = BASELINES,
    metrics: object = None,
    n_splits: int = 3,
    scale: Scale = "joint",
    n_jobs: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> HeldOut:
    """Hold snapshots out one by one, let every method predict them, and score it beside baselines and the noise floor.

    Parameters
    ----------
    problems
        All populations, in data coordinates; or what to hold out from what, one `Problem` per time, where the coordinates
        depend on the snapshot that is held out.
    methods
        Names of recipes, `Recipe`s, or objects with a `name` that are called as `(rest, time, *, random_state)` and return
        populations by protocol (see `cellflow.benchmark.Method`). The default method alone, if None.
    times
        Which of the inner times to hold out; all by default.
    seeds
        Of the methods; every seed is a row. Baselines are scored once.
    protocols
        Some of `"P1"` (real cells of the last snapshot before, pushed), `"P2"` (cells of the first snapshot, rolled out) and
        `"two-sided"` (both neighbours, weighted by closeness in time).
    baselines
        Some of `BASELINES`; the skill needs `"OT interpolation"`. The noise floor is always there.
    metrics
        What is measured at full size, some of `cellflow.benchmark.METRICS`; all by default. Distances at the half size are
        always measured.
    n_splits
        Random halvings of the held-out cells that distances at the half size are averaged over.
    scale
        Of the model's frame, for recipes.
    n_jobs
        Tasks at once, as joblib counts; None takes number and backend from a surrounding `joblib.parallel_config`, else 1. A
        task is one (time, seed, method), on one torch thread.
    cache
        A folder in which results of finished tasks are kept, so that an interrupted run can be resumed; keyed by data, method,
        time, seed and version. A foreign method is known there by its type, name and, if it is a dataclass, its fields.
    progress
        A progress bar; None shows it only to somebody who is watching.

    Returns
    -------
    The rows, `HeldOut.table()` and `HeldOut.verdict`. A task that fails, or a metric that refuses the clouds, is NaN with its
    reason in the column `note`.

    Raises
    ------
    InputError
        Nothing to hold out, a time that cannot be, or an argument that is not usable; before any work.
    OutputError
        A cache that cannot be written.
    """
    chosen = as_methods(ot_cfm() if methods is None else methods, scale=scale)
    ways, measured = as_protocols(protocols), as_metrics(metrics)
    starts, n_splits, jobs = as_seeds(seeds), as_count("n_splits", n_splits), as_jobs(n_jobs)
    for name in baselines:
        if name not in _BASELINES:
            msg = f"baselines={list(baselines)!r}: {name!r} is none of {list(BASELINES)}{closest(name, BASELINES)}."
            raise InputError(msg)
    if isinstance(problems, Snapshots):
        problems = [Problem(problems, t) for t in inner_times(problems, times)]
    tasks: list[Task] = []
    for problem in problems:
        judged = (problem, measured, n_splits)
        tasks += [_Baseline(*judged, name) for name in BASELINES if name in baselines]
        tasks += [_Model(*judged, method, seed, ways) for method in chosen for seed in starts]
        tasks += [_Baseline(*judged, FLOOR)]
    folder = None if cache is None else Cache(Path(cache))
    outcomes = run(tasks, n_jobs=jobs, cache=folder, progress=progress, name="holdout")
    rows: list[Row] = []
    clouds: dict[str, dict[str, dict[str, FloatArray]]] = {}
    for task, outcome in zip(tasks, outcomes, strict=True):
        problem = task.problem  # type: ignore[attr-defined] # both kinds have one
        rows += [_read(problem, row) for row in outcome.values]
        if not isinstance(task, _Model) or task.seed == starts[0]:
            _sort(clouds.setdefault(f"time_{problem.time}", {}), outcome.arrays)
    return HeldOut(tuple(rows), clouds)


def _read(problem: Problem, row: Mapping[str, Any]) -> Row:
    """A row from plain values; the label of the coordinates is the caller's."""
    scores = Scores(row["values"], tuple(row["w1_splits"]), tuple(row["notes"]))
    share = problem.n_half / max(1, int(np.count_nonzero(problem.held_out.weight)))
    named = {key: row[key] for key in ("method", "protocol", "seed", "kind")}
    return Row(
        problem.time, scores=scores, seconds=row["seconds"], representation=problem.representation, half_share=share, **named
    )


def _sort(into: dict[str, dict[str, FloatArray]], arrays: Mapping[str, FloatArray]) -> None:
    for name, values in arrays.items():
        cloud, _, part = name.rpartition("|")
        into.setdefault(cloud.replace("/", "_"), {})[part] = values


# One snapshot and one recipe -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """How one method did on one held-out snapshot, in short.

    Parameters
    ----------
    time
        The held-out time.
    method
        `"previous snapshot"`, `"OT interpolation"`, `"noise floor"`, or the recipe's name, alone for the push of the earlier
        cells and with `", two-sided"` for both neighbours.
    w1
        Exact Wasserstein distance to all held-out cells, in data coordinates; for the noise floor between its two halves.
    n_predicted, n_observed
        Sizes of the two clouds; small clouds are far from anything, so compare like with like.
    seconds
        To predict, training and plans included; not to score.
    """

    time: float
    method: str
    w1: float
    n_predicted: int
    n_observed: int
    seconds: float


def leave_one_out(
    snapshots: Snapshots,
    time: float,
    *,
    recipe: Recipe | None = None,
    scale: Scale = "joint",
    random_state: RandomState = 0,
    threads: int = 1,
    progress: bool | None = None,
) -> list[Score]:
    """Fit without one snapshot, predict it, and compare with all of its cells.

    Protocol P1 of the literature's tables (Tong et al. 2020): the real cells of the last snapshot before the held-out one are
    pushed to its time. The model sees nothing of the held-out snapshot, its frame included; a representation that was
    computed on all cells has. `hold_out` does the same for many times, seeds and methods, with more metrics.

    Parameters
    ----------
    snapshots
        All populations, in data coordinates.
    time
        Of the snapshot to leave out; one before and one after it must remain.
    recipe
        The method; `ot_cfm()` by default.
    scale
        Of the model's frame; distances are in data coordinates whatever it is.
    random_state, threads
        Of the fit.
    progress
        A progress bar of the training; None shows it only to somebody who is watching.

    Returns
    -------
    One `Score` each for: the previous snapshot, transport without a model, the model's push (P1), the model's push and pull
    together, and the noise floor.

    Raises
    ------
    InputError
        No snapshot at this time, or none on one of its sides.
    """
    problem = Problem(snapshots, time)  # before any work
    recipe = ot_cfm() if recipe is None else recipe
    flow = fit(problem.rest, recipe, scale=scale, random_state=random_state, threads=threads, progress=progress)
    return score_held_out(flow, snapshots, time)


def score_held_out(flow: Flow, snapshots: Snapshots, time: float) -> list[Score]:
    """Compare what a fit says about a snapshot that it has not seen with all of its cells; see `leave_one_out`.

    Parameters
    ----------
    flow
        A fit to the other snapshots.
    snapshots
        All populations, in data coordinates.
    time
        Of the snapshot that was left out.

    Returns
    -------
    As `leave_one_out`.

    Raises
    ------
    InputError
        No snapshot at this time, none on one of its sides, or a fit that has seen it.
    """
    problem = Problem(snapshots, time)  # before any work
    if time in flow.times:
        msg = f"The flow was fitted to times {flow.times.tolist()}, so it has seen time {time:g}; fit without that snapshot."
        raise InputError(msg)
    rows = hold_out(
        [problem],
        methods=[Fitted(flow)],
        protocols=tuple(_SUFFIX),
        baselines=("previous snapshot", STRAIGHT),
        metrics=("w1",),
        progress=False,
    ).rows
    return [_short(row) for row in rows]


def _short(row: Row) -> Score:
    values = row.scores.values
    return Score(
        row.time,
        row.method + _SUFFIX.get(row.protocol, ""),
        values["w1"],
        values["n_predicted"],
        values["n_observed"],
        row.seconds,
    )
