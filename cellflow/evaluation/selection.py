"""The best method for some snapshots, chosen without any that will be judged: by holding out inner ones."""

from __future__ import annotations

import logging
import math
import re
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._numbers import as_count, as_number
from cellflow.core._progress import is_shown
from cellflow.core._random import as_seed
from cellflow.core._typing import RandomState
from cellflow.core.frame import Scale
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, InputTypeError
from cellflow.evaluation.holdout import hold_out
from cellflow.evaluation.judging import STRAIGHT, Plans
from cellflow.evaluation.methods import Protocols, Trained
from cellflow.evaluation.problem import Problem, inner_times
from cellflow.evaluation.tasks import as_jobs, digest, run
from cellflow.model import recipes
from cellflow.model.fitting import Coupled
from cellflow.model.recipes import DEFAULT, Recipe, by_name, describe

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BUDGET",
    "METHODS",
    "Candidate",
    "Selection",
    "Trial",
    "as_seconds",
    "candidates",
    "curve",
    "select",
]

logger = logging.getLogger("cellflow")

#: What is tried where nobody says otherwise, the default first.
METHODS = tuple(dict.fromkeys((DEFAULT, "curved-cfm", "ot-cfm", "sb-cfm")))
#: Seconds that `method="auto"` may take.
BUDGET = 120.0
#: Share of the training steps in each round; after a round, the better half goes on.
_ROUNDS = (0.25, 1.0)
#: Recipes whose paths have a constant width, and those whose paths are bridges.
_SMOOTHED = {"curved-cfm", "ot-cfm", "i-cfm", "vp-cfm"}
_BRIDGES = {"sb-cfm", "sf2m"}
_UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_PROTOCOL: Protocols = "P1"


@dataclass(frozen=True)
class Candidate:
    """A method that may be chosen.

    Parameters
    ----------
    recipe
        What is fitted.
    n_dims
        How many leading dimensions of the representation it lives in; None for all.
    settings
        What tells it from others of its name, for people.
    """

    recipe: Recipe
    n_dims: int | None = None
    settings: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the recipe with its settings and dimensions."""
        parts = [f"{key}={value:g}" for key, value in self.settings.items()]
        parts += [] if self.n_dims is None else [f"{self.n_dims} dims"]
        return self.recipe.name + (f" ({', '.join(parts)})" if parts else "")


@dataclass(frozen=True)
class Trial:
    """How a candidate did in one round.

    Parameters
    ----------
    candidate
        Who.
    steps
        Of training.
    w1_ratio, energy_ratio
        Geometric means over inner times of the ratio to the straight path, both at one size; below
        1 is better than no model.
    seconds
        That it took.
    note
        Why there is no ratio.
    """

    candidate: Candidate
    steps: int
    w1_ratio: float
    energy_ratio: float
    seconds: float
    note: str = ""

    @property
    def score(self) -> float:
        """Geometric mean of both ratios; infinite where there is none."""
        value = math.sqrt(self.w1_ratio * self.energy_ratio)
        return value if math.isfinite(value) else math.inf


@dataclass(frozen=True)
class Selection:
    """The choice, and what it is based on.

    Parameters
    ----------
    best
        The candidate that was chosen.
    trials
        All that was tried, in order.
    untried
        Candidates that the budget had no time for.
    times
        Inner times that were held out.
    n_dims
        Leading dimensions in which all were compared.
    """

    best: Candidate
    trials: tuple[Trial, ...]
    untried: tuple[Candidate, ...]
    times: tuple[float, ...]
    n_dims: int


@dataclass(frozen=True, eq=False)
class _Truncated:
    """A candidate as a method that is judged in fewer dimensions than it lives in.

    Parameters
    ----------
    candidate
        Who.
    full
        The snapshots in all dimensions; the held-out one is not looked at.
    scale
        Of its frame.
    plans
        Around each held-out time; None where they could not be had, which the fit meets again and
        reports.
    """

    candidate: Candidate
    full: Snapshots
    scale: Scale
    plans: Mapping[float, Coupled | None]

    @property
    def name(self) -> str:
        """The candidate's."""
        return self.candidate.name

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Fit in the candidate's dimensions, predict, and keep those of `rest`."""
        own = _leading(self.full.without(time), self.candidate.n_dims)
        trained = Trained(self.candidate.recipe, self.scale).fitted(
            own, random_state=random_state, plans=self.plans[time]
        )
        cells, _ = trained.predicted(own, time, _PROTOCOL)
        return {_PROTOCOL: replace(cells, x=cells.x[:, : rest.n_dims])}


def _leading(snapshots: Snapshots, n_dims: int | None) -> Snapshots:
    return (
        snapshots
        if n_dims is None
        else snapshots.moved([p.x[:, :n_dims] for p in snapshots.populations])
    )


def candidates(
    methods: Sequence[str | Recipe] | str | Recipe | None = None,
    *,
    n_dims: int | Sequence[int] | None = None,
    smoothing: float | Sequence[float] | None = None,
    sigma: float | Sequence[float] | None = None,
) -> list[Candidate]:
    """Return all combinations of methods, numbers of dimensions and widths of paths.

    Parameters
    ----------
    methods
        Names of recipes, which smoothing or sigma are set of, or `Recipe`s, which are taken as they
        are.
    n_dims
        Numbers of leading dimensions; None for all there are.
    smoothing
        Constant widths of paths, in model coordinates; the recipe's own by default.
    sigma
        Diffusions of bridges per square root of time, in model coordinates; the recipe's own by
        default.

    Raises
    ------
    InputError
        A method, dimension or width that cannot be, or a combination twice.
    """
    given = METHODS if methods is None else methods
    named = [given] if isinstance(given, str | Recipe) else list(given)
    widths = {"smoothing": _numbers("smoothing", smoothing), "sigma": _numbers("sigma", sigma)}
    sizes = (
        [None]
        if n_dims is None
        else [as_count("n_dims", n) for n in np.atleast_1d(np.asarray(n_dims)).tolist()]
    )
    made: list[tuple[Recipe, dict[str, float]]] = []
    for method in named:
        recipe = by_name(method)
        if recipe.generates:
            msg = (
                f"The method {recipe.name!r} makes cells from noise and moves none, so it cannot be"
                " chosen; omit it."
            )
            raise InputError(msg)
        key = (
            "smoothing" if recipe.name in _SMOOTHED else "sigma" if recipe.name in _BRIDGES else ""
        )
        varied: list[tuple[Recipe, dict[str, float]]] = [(recipe, {})]
        if isinstance(method, str) and widths.get(key):
            maker = getattr(recipes, recipe.name.replace("-", "_"))
            varied = [(maker(**{key: width}), {key: width}) for width in widths[key]]
        made += varied
    for width in (name for name, values in widths.items() if values):
        if not any(width in settings for _, settings in made):
            takers = sorted(_SMOOTHED if width == "smoothing" else _BRIDGES)
            msg = (
                f"{width}={widths[width]!r}, which none of the methods takes; expected one of"
                f" {takers} by its name. Omit it."
            )
            raise InputError(msg)
    combined = [Candidate(recipe, size, settings) for size in sizes for recipe, settings in made]
    names = [candidate.name for candidate in combined]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not combined or twice:
        found = f"{twice[0]!r} is there more than once" if twice else "there is none"
        msg = (
            f"Of the methods to choose from, {found}; expected at least one, each of a name of its"
            " own."
        )
        raise InputError(msg)
    return combined


def _numbers(name: str, values: float | Sequence[float] | None) -> list[float]:
    if values is None:
        return []
    given = (
        list(values)
        if isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
        else [values]
    )
    widths = [as_number(name, value) for value in given]
    if min(widths, default=0.0) < 0.0:
        msg = f"{name}={values!r}; expected widths of at least 0, in model coordinates."
        raise InputError(msg)
    return widths


def as_seconds(budget: object) -> float:
    """Return a span of time in seconds: a number of them, or `"90s"`, `"10min"`, `"1h"`.

    Raises
    ------
    InputError
        Anything else, and spans that are not positive.

    Examples
    --------
    >>> as_seconds("10min"), as_seconds("1.5h"), as_seconds(90)
    (600.0, 5400.0, 90.0)
    """
    match = (
        re.fullmatch(r"\s*([0-9.]+)\s*([a-z]*)\s*", budget.casefold())
        if isinstance(budget, str)
        else None
    )
    value: object = budget
    if isinstance(budget, str):
        unit = _UNITS.get(match[2]) if match else None
        number = match[1] if match and match[1].count(".") < 2 and match[1] != "." else ""
        value = float(number) * unit if number and unit else budget
    return as_number(
        "budget", value, above=0.0, remedy=" of seconds, or a text such as '90s', '10min' or '1h'"
    )


def select(
    snapshots: Snapshots,
    choices: Sequence[Candidate] | None = None,
    *,
    budget: float = BUDGET,
    scale: Scale = "joint",
    random_state: RandomState = 0,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Selection:
    r"""Choose a method by how well it predicts inner snapshots that were held out, within a time.

    Every candidate is fitted without each inner snapshot and pushes the cells before it (P1). Its
    score is the geometric mean, over inner times and over W1 and energy distance, of the ratio to
    interpolation along optimal transport without a model; all clouds have one size. W1 alone would
    reward lost variance. In a first round, candidates are trained for a quarter of their steps; the
    better half goes on to all of them. The choice is the best of the last round that anybody
    finished.

    Candidates that live in different numbers of dimensions are compared in the leading ones that
    all have (the smallest number), where one and the same straight path is the reference:
    predictions are cut off there. More dimensions are chosen only if they help to predict the
    leading ones.

    Parameters
    ----------
    snapshots
        What may be seen, at least three populations, in data coordinates.
    choices
        See `candidates`; its defaults, if None.
    budget
        Seconds. What has begun is finished, and the first candidate is always tried; another one is
        begun only if what the slowest took before is left.
    scale
        Of the model's frame.
    random_state
        Of the fits.
    n_jobs
        Inner times at once; see `hold_out`.
    progress
        A progress bar over candidates; None shows it only to somebody who is watching.

    Raises
    ------
    InputError
        Fewer than three snapshots, or more dimensions than there are.
    """
    from tqdm import tqdm

    if not isinstance(snapshots, Snapshots):
        msg = (
            f"snapshots is of type {type(snapshots).__name__}; expected Snapshots. For an AnnData,"
            " call cf.bench.tune."
        )
        raise InputTypeError(msg)
    seconds = as_seconds(budget)
    seed = as_seed(random_state)
    times = inner_times(snapshots)
    started = clock.perf_counter()
    chosen = candidates() if choices is None else list(choices)
    most = max((c.n_dims or snapshots.n_dims) for c in chosen)
    if most > snapshots.n_dims:
        msg = (
            f"n_dims={most}; the representation has {snapshots.n_dims} dimensions. Expected no more"
            " than that."
        )
        raise InputError(msg)
    n_dims = min((c.n_dims or snapshots.n_dims) for c in chosen)
    problems = [Problem(_leading(snapshots, n_dims), t) for t in times]
    judge = _Judge(snapshots, problems, scale, seed, as_jobs(n_jobs))
    trials: list[Trial] = []
    left = chosen
    solving = 0.0
    slowest = 0.0
    total = len(chosen) + max(1, len(chosen) // 2)
    with tqdm(total=total, desc="choose", unit="method", disable=not is_shown(progress)) as bar:
        for share in _ROUNDS:
            done: list[Trial] = []
            for candidate in left:
                spent = clock.perf_counter() - started
                if trials and spent + solving + slowest * share > seconds:
                    break
                begun = clock.perf_counter()
                plans = judge.plans(candidate)
                solving = max(solving, clock.perf_counter() - begun)
                trial = judge.tried(candidate, share, plans)
                slowest = max(slowest, trial.seconds / share)
                trial = replace(trial, seconds=clock.perf_counter() - begun)
                done.append(trial)
                trials.append(trial)
                bar.update()
            done.sort(key=lambda trial: trial.score)
            left = [
                trial.candidate
                for trial in done[: max(1, len(done) // 2)]
                if math.isfinite(trial.score)
            ]
    best = _best(trials, chosen[0])
    tried = {trial.candidate.name for trial in trials}
    selection = Selection(
        best, tuple(trials), tuple(c for c in chosen if c.name not in tried), tuple(times), n_dims
    )
    logger.info("chosen: %s, of %d that were tried on inner times %s", best.name, len(tried), times)
    return selection


def curve(found: Selection) -> pd.DataFrame:
    """One row per trial, in their order; the last one of the candidate that was chosen is marked `best`."""
    import pandas as pd

    last = {trial.candidate.name: k for k, trial in enumerate(found.trials)}
    rows = []
    for k, trial in enumerate(found.trials):
        candidate = trial.candidate
        rows.append(
            {
                "method": candidate.recipe.name,
                "n_dims": found.n_dims if candidate.n_dims is None else candidate.n_dims,
                "smoothing": candidate.settings.get("smoothing", math.nan),
                "sigma": candidate.settings.get("sigma", math.nan),
                "steps": trial.steps,
                "w1_ratio": trial.w1_ratio,
                "energy_ratio": trial.energy_ratio,
                "score": trial.score if np.isfinite(trial.score) else math.nan,
                "seconds": trial.seconds,
                "best": candidate.name == found.best.name and last[candidate.name] == k,
                "note": trial.note,
            }
        )
    return pd.DataFrame(rows)


def _best(trials: Sequence[Trial], default: Candidate) -> Candidate:
    """The best of the longest training that anybody finished; the default where nothing could be judged."""
    judged = [trial for trial in trials if math.isfinite(trial.score)]
    if not judged:
        reason = next((trial.note for trial in trials if trial.note), "no ratio could be had")
        logger.warning(
            "No method could be judged (%s); the first one, %s, is taken.", reason, default.name
        )
        return default
    survivors = [
        trial for trial in judged if trial.steps >= trial.candidate.recipe.training.steps
    ] or judged
    return min(survivors, key=lambda trial: trial.score).candidate


@dataclass(frozen=True, eq=False)
class _Judge:
    """Tries candidates on inner hold-outs; what several of them share is found once.

    Parameters
    ----------
    snapshots
        In all dimensions.
    problems
        The inner hold-outs, in the dimensions that all have.
    scale, seed, n_jobs
        See `select`.
    solved
        The plans that are there, with paths on them, by coupling and dimensions, then by time.
    straight
        How far the straight path is from the held-out cells, by time.
    """

    snapshots: Snapshots
    problems: Sequence[Problem]
    scale: Scale
    seed: int
    n_jobs: int | None
    solved: dict[str, dict[float, Coupled | None]] = field(default_factory=dict)
    straight: dict[float, Mapping[str, float]] = field(default_factory=dict)

    def plans(self, candidate: Candidate) -> dict[float, Coupled | None]:
        """The plans around each held-out time, with the candidate's path on them."""
        key = digest(describe(candidate.recipe.coupling), candidate.n_dims)
        known = self.solved.get(key, {})
        method = Trained(candidate.recipe, self.scale)
        own = _leading(self.snapshots, candidate.n_dims)
        times = [problem.time for problem in self.problems]
        tasks = [Plans(Problem(own, t), (method,), known.get(t)) for t in times]
        outcomes = run(tasks, n_jobs=self.n_jobs, progress=False)
        self.solved[key] = {t: outcome.values for t, outcome in zip(times, outcomes, strict=True)}
        return self.solved[key]

    def tried(
        self, candidate: Candidate, share: float, plans: Mapping[float, Coupled | None]
    ) -> Trial:
        """Try a candidate with a share of its training."""
        begun = clock.perf_counter()
        recipe = candidate.recipe
        steps = max(1, round(share * recipe.training.steps))
        shorter = replace(
            candidate, recipe=replace(recipe, training=replace(recipe.training, steps=steps))
        )
        rows = hold_out(
            self.problems,
            methods=[_Truncated(shorter, self.snapshots, self.scale, plans)],
            seeds=(self.seed,),
            protocols=_PROTOCOL,
            baselines=() if self.straight else (STRAIGHT,),
            metrics=(),
            n_jobs=self.n_jobs,
            progress=False,
        ).rows
        self.straight.update(
            {row.time: row.scores.values for row in rows if row.kind == "baseline"}
        )
        model = [row for row in rows if row.kind == "model"]
        ours = [row.scores.values for row in model]
        theirs = [self.straight[row.time] for row in model]
        notes = "; ".join(dict.fromkeys(note for row in model for note in row.scores.notes))

        def ratio(name: str) -> float:
            """Geometric mean over times; infinite or NaN where the straight path is where the cells are."""
            own, reference = (
                np.array([values[name] for values in side]) for side in (ours, theirs)
            )
            with np.errstate(divide="ignore", invalid="ignore"):
                return float(np.exp(np.mean(np.log(own / reference))))

        trial = Trial(
            candidate,
            steps,
            ratio("w1_half"),
            ratio("energy_half"),
            clock.perf_counter() - begun,
            notes,
        )
        if math.isfinite(trial.score) or notes:
            return trial
        return replace(
            trial,
            note=(
                f"no ratio: {STRAIGHT} has no distance from the held-out cells, or none could"
                " be had"
            ),
        )
