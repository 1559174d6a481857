"""Leave snapshots out, and compare what methods predict with the cells that they have not seen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cellflow.core._deprecated import Renamed, accepts
from cellflow.core._display import Compact
from cellflow.core._numbers import ROUNDS, as_count
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core.frame import Scale
from cellflow.core.population import Snapshots
from cellflow.errors import InputError
from cellflow.evaluation.arguments import as_names, as_protocols, as_seeds
from cellflow.evaluation.comparison import Comparison, compare
from cellflow.evaluation.folds import Fold, inner_times
from cellflow.evaluation.judging import Baseline, Model, OwnPath, Plans
from cellflow.evaluation.methods import Predictor, Trained, as_methods
from cellflow.evaluation.metric import as_metrics
from cellflow.evaluation.names import BASELINES, FLOOR, OWN_PATH, PROTOCOLS, Protocols, cloud_name
from cellflow.evaluation.rows import Row, read_row
from cellflow.evaluation.table import table
from cellflow.evaluation.tasks import Cache, Outcome, as_jobs, run
from cellflow.evaluation.verdict import Verdict, judge
from cellflow.evaluation.words import sentence
from cellflow.model.fitting import Coupled
from cellflow.model.recipes import DEFAULT

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HeldOut", "hold_out"]

_Task: TypeAlias = Baseline | Model | OwnPath


@dataclass(frozen=True, eq=False, repr=False)
class HeldOut(Compact):
    """All rows of a hold-out, and the clouds for pictures.

    Parameters
    ----------
    rows
        By time: baselines, models by seed and protocol, the floor.
    clouds
        By `"time_1.0"`, then by `"observed"`, the name of a baseline, or `"method, protocol"` (of
        the first seed): positions `x` of at most 2,000 cells in single precision, their `weight`,
        and of measured cells (`"observed"` and both neighbouring snapshots) their `rows` of origin.

    Examples
    --------
    >>> from cellflow.training import Training
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> quick = cf.recipes.ot_cfm(training=Training(steps=20))
    >>> found = cf.evaluation.hold_out(snapshots, methods=quick, protocols="P1", metrics="w1")
    >>> isinstance(found, cf.evaluation.HeldOut)
    True
    """

    rows: tuple[Row, ...]
    clouds: Mapping[str, Mapping[str, Mapping[str, FloatArray]]]

    def table(self) -> pd.DataFrame:
        """One row per time, seed, method and protocol; columns: `cellflow.bench.holdout`."""
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


@guarded
@accepts(problems=Renamed("folds"))
def hold_out(
    folds: Snapshots | Sequence[Fold],
    *,
    methods: object = None,
    times: object = None,
    seeds: object = (0,),
    protocols: object = PROTOCOLS,
    baselines: Sequence[str] = BASELINES,
    metrics: object = None,
    n_splits: int = 3,
    scale: Scale | None = None,
    n_jobs: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> HeldOut:
    """Hold out snapshots one by one, predict them by every method, and score the predictions.

    Beside the methods stand baselines without a model and the noise floor.

    Parameters
    ----------
    folds
        All populations, in data coordinates; or one `Fold` per time, where the coordinates depend
        on the snapshot that is held out. Where a held-out population has several samples
        (`Population.sample`), its halves, the noise floor and intervals are by sample.
    methods
        Names of recipes, `Recipe`s, or objects with a `name` that are called as `(rest, time, *,
        random_state)` and return populations by protocol (see `cellflow.evaluation.Predictor`). The
        default method alone, if None.
    times
        Inner times to hold out; all by default. For `Snapshots` only.
    seeds
        Of the methods; every seed is a row. Baselines are scored once.
    protocols
        Some of `"P1"` (real cells of the last snapshot before, pushed), `"P2"` (cells of the first
        snapshot, simulated) and `"two-sided"` (both neighbours, weighted by closeness in time).
    baselines
        Some of `BASELINES`; the skill needs `"OT interpolation"`. `"own path"` is a row for each
        recipe whose paths are not straight: the paths themselves, without a network. The noise
        floor is always there.
    metrics
        Names of the metrics at full size, some of `cellflow.evaluation.METRICS`; all by default.
        Distances at the half size are always measured.
    n_splits
        Random halvings of the held-out cells that distances at the half size are averaged over.
    scale
        Of the model's frame, for recipes.
    n_jobs
        Tasks at once, as joblib counts; None takes number and backend from a surrounding
        `joblib.parallel_config`, else 1. A task is one (time, seed, method), on one torch thread.
    cache
        A folder for results of finished tasks, from which an interrupted run is resumed; keyed by
        data, method, time, seed and version. A foreign method is known there by its type, name and,
        if it is a dataclass, its fields.
    progress
        Whether to show a progress bar; None shows it on a terminal or in a notebook only.

    Returns
    -------
    The rows, `HeldOut.table()` and `HeldOut.verdict`. Where a task or a metric fails, values are
    NaN, and the column `note` has the reason.

    Raises
    ------
    InputError
        Nothing to hold out, or an argument that is not usable; before any work.
    OutputError
        A cache that cannot be written.

    Examples
    --------
    >>> from cellflow.training import Training
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> quick = cf.recipes.ot_cfm(training=Training(steps=20))
    >>> found = cf.evaluation.hold_out(snapshots, methods=quick, protocols="P1", metrics="w1")
    >>> {row.time for row in found.rows}
    {1.0}
    """
    chosen = as_methods(DEFAULT if methods is None else methods, scale=scale)
    ways = as_protocols(protocols)
    measured = as_metrics(metrics)
    starts = as_seeds(seeds)
    n_splits = as_count("n_splits", n_splits, most=ROUNDS)
    jobs = as_jobs(n_jobs)
    wanted = as_names("baselines", baselines, BASELINES)
    _refuse_row_names(chosen)
    given = _as_folds(folds, times)
    store = None if cache is None else Cache(Path(cache))
    tasks: list[_Task] = []
    for fold in given:
        judged = (fold, measured, n_splits)
        tasks += [Baseline(*judged, name) for name in wanted if name != OWN_PATH]
        tasks += _tasks(judged, chosen, starts, ways, own_paths=OWN_PATH in wanted)
        tasks += [Baseline(*judged, FLOOR)]
    return _collected(tasks, _run(tasks, n_jobs=jobs, cache=store, progress=progress), starts[0])


def _refuse_row_names(methods: Sequence[Predictor]) -> None:
    taken = {*BASELINES, FLOOR}
    for method in methods:
        if method.name in taken:
            msg = (
                f"The method {method.name!r} has the name of a row that is always there; expected"
                f" none of {sorted(taken)}."
            )
            raise InputError(msg)


def _as_folds(folds: Snapshots | Sequence[Fold], times: object) -> Sequence[Fold]:
    if isinstance(folds, Snapshots):
        return [Fold(folds, t) for t in inner_times(folds, times)]
    if times is not None:
        msg = (
            f"times={times!r} with folds, each of which has its time; expected None. Pass those"
            " folds alone."
        )
        raise InputError(msg)
    return folds


def _tasks(
    judged: tuple[Fold, tuple[str, ...], int],
    methods: Sequence[Predictor],
    seeds: Sequence[int],
    protocols: tuple[Protocols, ...],
    *,
    own_paths: bool,
) -> list[OwnPath | Model]:
    """Tasks of the methods, in the order of the table."""
    curved = [m for m in methods if isinstance(m, Trained) and m.recipe.path.tabled]
    paths = [OwnPath(*judged, method) for method in curved] if own_paths else []
    return [*paths, *(Model(*judged, m, seed, protocols) for m in methods for seed in seeds)]


def _run(
    tasks: Sequence[_Task], *, n_jobs: int | None, cache: Cache | None, progress: bool | None
) -> list[Outcome]:
    """Run shared plans and what needs no plans first, then the rest; results in order of tasks."""
    first = [task for task in tasks if isinstance(task, Baseline)]
    others = [task for task in tasks if not isinstance(task, Baseline)]
    shared = _shared_plans([t for t in others if cache is None or cache.get(t.key) is None])
    begun = run(
        [*shared.values(), *first],
        n_jobs=n_jobs,
        cache=cache,
        progress=progress,
        name="holdout: baselines",
    )
    solved = {key: outcome.values for key, outcome in zip(shared, begun, strict=False)}
    done = dict(zip(map(id, first), begun[len(shared) :], strict=True))
    # The longest first, so that no worker is left with a long task at the end.
    others.sort(key=lambda task: not isinstance(task, Model))
    ready = [_with_plans(task, solved) for task in others]
    ended = run(ready, n_jobs=n_jobs, cache=cache, progress=progress, name="holdout: methods")
    done |= dict(zip(map(id, others), ended, strict=True))
    return [done[id(task)] for task in tasks]


def _shared_plans(tasks: Sequence[Model | OwnPath]) -> dict[str, Plans]:
    """Plans that several tasks need, by their key."""
    needed: dict[str, list[Plans]] = {}
    for task in tasks:
        if isinstance(task.method, Trained):
            plans = Plans(task.fold, (task.method,))
            needed.setdefault(plans.key, []).append(plans)
    return {
        key: replace(plans[0], methods=tuple(method for p in plans for method in p.methods))
        for key, plans in needed.items()
        if len(plans) > 1
    }


def _with_plans(task: Model | OwnPath, solved: Mapping[str, Coupled | None]) -> Model | OwnPath:
    if not isinstance(task.method, Trained):
        return task
    return replace(task, plans=solved.get(Plans(task.fold, (task.method,)).key))


def _collected(tasks: Sequence[_Task], outcomes: Sequence[Outcome], first_seed: int) -> HeldOut:
    """Rows and clouds of all tasks; of models, the clouds of the first seed."""
    rows: list[Row] = []
    clouds: dict[str, dict[str, dict[str, FloatArray]]] = {}
    for task, outcome in zip(tasks, outcomes, strict=True):
        rows += [read_row(task.fold, row) for row in outcome.values]
        if isinstance(task, Model) and task.seed != first_seed:
            continue
        here = clouds.setdefault(f"time_{task.fold.time}", {})
        for name, values in outcome.arrays.items():
            cloud, _, part = name.rpartition("|")
            here.setdefault(cloud_name(cloud), {})[part] = values
    return HeldOut(tuple(rows), clouds)
