"""Leave snapshots out, and compare what methods predict with the cells that they have not seen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._numbers import ROUNDS, as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core.frame import Scale
from cellflow.core.population import Snapshots
from cellflow.errors import InputError, closest
from cellflow.evaluation.judging import (
    BASELINES,
    FLOOR,
    OWN_PATH,
    Baseline,
    Model,
    OwnPath,
    Plans,
    Row,
    read_row,
)
from cellflow.evaluation.methods import PROTOCOLS, Trained, as_methods, as_protocols
from cellflow.evaluation.problem import Problem, inner_times
from cellflow.evaluation.scores import as_metrics
from cellflow.evaluation.tasks import Cache, Outcome, as_jobs, run
from cellflow.evaluation.verdict import Comparison, Verdict, compare, judge, table
from cellflow.evaluation.words import sentence
from cellflow.model.fitting import Coupled
from cellflow.model.recipes import DEFAULT
from cellflow.paths.base import as_path

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HeldOut", "as_seeds", "hold_out"]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """All rows, and the clouds that pictures are drawn from.

    Parameters
    ----------
    rows
        By time: baselines, models by seed and protocol, the floor.
    clouds
        By `"time_1.0"`, then by `"observed"`, the name of a baseline, or `"method, protocol"` (of
        the first seed): positions `x` of at most 2,000 cells in single precision, their `weight`,
        and of measured cells (`"observed"` and both neighbouring snapshots) their `rows` of origin.
    """

    rows: tuple[Row, ...]
    clouds: Mapping[str, Mapping[str, Mapping[str, FloatArray]]]

    def table(self) -> pd.DataFrame:
        """One row per time, seed, method and protocol; see `cellflow.bench.holdout` for the columns."""
        return table(self.rows)

    @property
    def comparisons(self) -> list[Comparison]:
        """Every model beside OT interpolation, by time, protocol and measure."""
        return compare(self.rows)

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Why a model has no numbers: its name and the reason."""
        rows = [row for row in self.rows if row.kind == "model" and not row.scores.splits.get("w1")]
        return [(row.method, note) for row in rows for note in row.scores.notes]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Whether each model is better than interpolation without one."""
        return judge(self.comparisons, failures=self.failures)

    @property
    def verdict(self) -> str:
        """The same in plain sentences, one line for each model."""
        return "\n".join(sentence(found) for found in self.verdicts)


def as_seeds(seeds: object) -> tuple[int, ...]:
    """Return the argument `seeds`: one seed, or several that differ.

    Raises
    ------
    InputError
        No seed, or something that is none.
    """
    seeds = seeds.tolist() if isinstance(seeds, np.ndarray) else seeds
    given = list(seeds) if isinstance(seeds, Sequence) and not isinstance(seeds, str) else [seeds]
    if not given:
        msg = "seeds is empty; expected at least one seed, such as (0,)."
        raise InputError(msg)
    return tuple(dict.fromkeys(as_seed(s) for s in given))  # type: ignore[arg-type] # which checks it


@guarded
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
        All populations, in data coordinates; or what to hold out from what, one `Problem` per time,
        where the coordinates depend on the snapshot that is held out.
    methods
        Names of recipes, `Recipe`s, or objects with a `name` that are called as `(rest, time, *,
        random_state)` and return populations by protocol (see `cellflow.evaluation.Method`). The
        default method alone, if None.
    times
        Which of the inner times to hold out; all by default. For `Snapshots` only.
    seeds
        Of the methods; every seed is a row. Baselines are scored once.
    protocols
        Some of `"P1"` (real cells of the last snapshot before, pushed), `"P2"` (cells of the first
        snapshot, rolled out) and `"two-sided"` (both neighbours, weighted by closeness in time).
    baselines
        Some of `BASELINES`; the skill needs `"OT interpolation"`. `"own path"` is a row for each
        recipe whose paths are not straight: the paths themselves, without a network. The noise
        floor is always there.
    metrics
        What is measured at full size, some of `cellflow.evaluation.METRICS`; all by default.
        Distances at the half size are always measured.
    n_splits
        Random halvings of the held-out cells that distances at the half size are averaged over.
    scale
        Of the model's frame, for recipes.
    n_jobs
        Tasks at once, as joblib counts; None takes number and backend from a surrounding
        `joblib.parallel_config`, else 1. A task is one (time, seed, method), on one torch thread.
    cache
        A folder in which results of finished tasks are kept, so that an interrupted run can be
        resumed; keyed by data, method, time, seed and version. A foreign method is known there by
        its type, name and, if it is a dataclass, its fields.
    progress
        A progress bar; None shows it only to somebody who is watching.

    Returns
    -------
    The rows, `HeldOut.table()` and `HeldOut.verdict`. A task that fails, or a metric that refuses the clouds, is NaN with its
    reason in the column `note`.

    Raises
    ------
    InputError
        Nothing to hold out, a time that cannot be, or an argument that is not usable; before any
        work.
    OutputError
        A cache that cannot be written.
    """
    chosen = as_methods(DEFAULT if methods is None else methods, scale=scale)
    ways = as_protocols(protocols)
    measured = as_metrics(metrics)
    starts = as_seeds(seeds)
    n_splits = as_count("n_splits", n_splits, most=ROUNDS)
    jobs = as_jobs(n_jobs)
    for name in baselines:
        if name not in BASELINES:
            msg = (
                f"baselines={list(baselines)!r}: {name!r} is none of"
                f" {list(BASELINES)}{closest(name, BASELINES)}."
            )
            raise InputError(msg)
    taken = {*BASELINES, FLOOR}
    for method in chosen:
        if method.name in taken:
            msg = (
                f"The method {method.name!r} has the name of a row that is always there; expected"
                f" none of {sorted(taken)}."
            )
            raise InputError(msg)
    if times is not None and not isinstance(problems, Snapshots):
        msg = (
            f"times={times!r} with problems, each of which has its time; expected None. Pass those"
            " problems alone."
        )
        raise InputError(msg)
    if isinstance(problems, Snapshots):
        problems = [Problem(problems, t) for t in inner_times(problems, times)]
    folder = None if cache is None else Cache(Path(cache))
    tasks: list[Baseline | Model | OwnPath] = []
    for problem in problems:
        judged = (problem, measured, n_splits)
        tasks += [
            Baseline(*judged, name) for name in BASELINES if name in baselines and name != OWN_PATH
        ]
        if OWN_PATH in baselines:
            tasks += [
                OwnPath(*judged, m)
                for m in chosen
                if isinstance(m, Trained) and as_path(m.recipe.path).tabled
            ]
        tasks += [Model(*judged, method, seed, ways) for method in chosen for seed in starts]
        tasks += [Baseline(*judged, FLOOR)]
    outcomes = _run(tasks, n_jobs=jobs, cache=folder, progress=progress)
    rows: list[Row] = []
    clouds: dict[str, dict[str, dict[str, FloatArray]]] = {}
    for task, outcome in zip(tasks, outcomes, strict=True):
        rows += [read_row(task.problem, row) for row in outcome.values]
        if not isinstance(task, Model) or task.seed == starts[0]:
            _sort(clouds.setdefault(f"time_{task.problem.time}", {}), outcome.arrays)
    return HeldOut(tuple(rows), clouds)


def _run(
    tasks: Sequence[Baseline | Model | OwnPath],
    *,
    n_jobs: int | None,
    cache: Cache | None,
    progress: bool | None,
) -> list[Outcome]:
    """Plans that several tasks share and what needs no plans first, then the others; results in the order of the tasks."""
    wanted: dict[str, list[Plans]] = {}
    for task in tasks:
        if (
            not isinstance(task, Baseline)
            and isinstance(task.method, Trained)
            and (cache is None or cache.get(task.key) is None)
        ):
            plans = Plans(task.problem, (task.method,))
            wanted.setdefault(plans.key, []).append(plans)
    shared = {
        key: replace(plans[0], methods=tuple(method for p in plans for method in p.methods))
        for key, plans in wanted.items()
        if len(plans) > 1
    }
    first = [task for task in tasks if isinstance(task, Baseline)]
    begun = run(
        [*shared.values(), *first],
        n_jobs=n_jobs,
        cache=cache,
        progress=progress,
        name="holdout: baselines",
    )
    solved = {key: outcome.values for key, outcome in zip(shared, begun, strict=False)}
    done = dict(zip(map(id, first), begun[len(shared) :], strict=True))
    # The longest come first, so that no worker is left alone with one at the end.
    others = sorted(
        (task for task in tasks if not isinstance(task, Baseline)),
        key=lambda task: not isinstance(task, Model),
    )
    ready = [_with_plans(task, solved) for task in others]
    ended = run(ready, n_jobs=n_jobs, cache=cache, progress=progress, name="holdout: methods")
    done |= dict(zip(map(id, others), ended, strict=True))
    return [done[id(task)] for task in tasks]


def _with_plans(task: Model | OwnPath, solved: Mapping[str, Coupled | None]) -> Model | OwnPath:
    if not isinstance(task.method, Trained):
        return task
    return replace(task, plans=solved.get(Plans(task.problem, (task.method,)).key))


def _sort(into: dict[str, dict[str, FloatArray]], arrays: Mapping[str, FloatArray]) -> None:
    for name, values in arrays.items():
        cloud, _, part = name.rpartition("|")
        into.setdefault(cloud.replace("/", "_"), {})[part] = values
