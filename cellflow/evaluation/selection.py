"""Choice of a method by inner hold-outs: no snapshot that the choice is judged on is used."""

from __future__ import annotations

import logging
import math
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._progress import is_shown
from cellflow.core._random import as_seed
from cellflow.core._typing import RandomState
from cellflow.core.frame import Scale
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, InputTypeError
from cellflow.evaluation.candidates import BUDGET, Candidate, as_seconds, candidates
from cellflow.evaluation.folds import Fold, inner_times
from cellflow.evaluation.holdout import hold_out
from cellflow.evaluation.judging import Plans
from cellflow.evaluation.methods import Trained
from cellflow.evaluation.names import PUBLISHED_PROTOCOL, STRAIGHT
from cellflow.evaluation.tasks import as_jobs, digest, run
from cellflow.model.fitting import Coupled
from cellflow.model.recipes import by_name, describe

if TYPE_CHECKING:
    import pandas as pd
    from tqdm import tqdm

__all__ = ["Selection", "Trial", "curve", "select"]

logger = logging.getLogger("cellflow")

#: Share of the training steps in each round; after a round, the better half goes on.
_ROUNDS = (0.25, 1.0)


@dataclass(frozen=True)
class Trial:
    """Result of a candidate in one round.

    Parameters
    ----------
    candidate
        What was tried.
    steps
        Steps of training.
    w1_ratio, energy_ratio
        Geometric means over inner times of the ratio to OT interpolation, both at one size; below 1
        is better than no model.
    seconds
        Time of the trial.
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
    """A choice, and its basis.

    Parameters
    ----------
    best
        The candidate that was chosen.
    trials
        All trials, in order.
    untried
        Candidates for which the budget had no time.
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


def select(
    snapshots: Snapshots,
    choices: Sequence[Candidate] | None = None,
    *,
    budget: float = BUDGET,
    scale: Scale | None = None,
    random_state: RandomState = 0,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Selection:
    r"""Choose a method by its predictions of inner snapshots that were held out, within a time.

    Every candidate is fitted without each inner snapshot and pushes the cells before it (P1). Its
    score is the geometric mean, over inner times and over W1 and energy distance, of the ratio to
    interpolation along optimal transport without a model; all clouds have one size. W1 alone would
    reward lost variance. In a first round, candidates are trained for a quarter of their steps; the
    better half goes on to all steps. The choice is the best of the last round that was finished.

    Candidates in different numbers of dimensions are compared in the leading ones that all have
    (the smallest number), beside one OT interpolation; predictions are cut off there. More
    dimensions are chosen only if they help to predict the leading ones.

    Parameters
    ----------
    snapshots
        At least three populations, in data coordinates.
    choices
        See `candidates`; its defaults, if None.
    budget
        Seconds. A trial that has begun is finished, and the first candidate is always tried;
        another one is begun only if as much time is left as the slowest took before.
    scale
        Replaces that of every recipe.
    random_state
        Of the fits.
    n_jobs
        Inner times at once; see `hold_out`.
    progress
        Whether to show a progress bar; None shows it on a terminal or in a notebook only.

    Raises
    ------
    InputError
        Fewer than three snapshots, or more dimensions than there are.
    """
    if not isinstance(snapshots, Snapshots):
        msg = (
            f"snapshots is of type {type(snapshots).__name__}; expected Snapshots. For an AnnData,"
            " call cf.bench.tune."
        )
        raise InputTypeError(msg)
    from tqdm import tqdm

    limit = _Budget(as_seconds(budget), clock.perf_counter())
    seed = as_seed(random_state)
    times = inner_times(snapshots)
    given = candidates() if choices is None else choices
    chosen = [replace(c, recipe=by_name(c.recipe, scale=scale)) for c in given]
    n_dims = _common_dims(snapshots, chosen)
    folds = [Fold(_leading(snapshots, n_dims), t) for t in times]
    judge = _Judge(snapshots, folds, seed, as_jobs(n_jobs))
    total = len(chosen) + max(1, len(chosen) // 2)
    with tqdm(total=total, desc="choose", unit="method", disable=not is_shown(progress)) as bar:
        trials = _rounds(judge, chosen, limit, bar)
    best = _best(trials, chosen[0])
    tried = {trial.candidate.name for trial in trials}
    untried = tuple(c for c in chosen if c.name not in tried)
    logger.info("chosen: %s, of %d that were tried on inner times %s", best.name, len(tried), times)
    return Selection(best, tuple(trials), untried, tuple(times), n_dims)


def _common_dims(snapshots: Snapshots, chosen: Sequence[Candidate]) -> int:
    """The smallest number of dimensions among candidates."""
    sizes = [c.n_dims or snapshots.n_dims for c in chosen]
    if max(sizes) > snapshots.n_dims:
        msg = (
            f"n_dims={max(sizes)}; the representation has {snapshots.n_dims} dimensions. Expected"
            " no more than that."
        )
        raise InputError(msg)
    return min(sizes)


def _leading(snapshots: Snapshots, n_dims: int | None) -> Snapshots:
    if n_dims is None:
        return snapshots
    return snapshots.moved([p.x[:, :n_dims] for p in snapshots.populations])


@dataclass(eq=False)
class _Budget:
    """Time that is left.

    Parameters
    ----------
    seconds
        Of the whole choice.
    started
        Time of the clock at its start.
    solving, training
        The longest times so far for plans, and for trials with all steps.
    """

    seconds: float
    started: float
    solving: float = 0.0
    training: float = 0.0

    def allows(self, share: float) -> bool:
        """Whether there is time for one more trial with a share of the steps."""
        spent = clock.perf_counter() - self.started
        return spent + self.solving + self.training * share <= self.seconds


def _rounds(
    judge: _Judge, chosen: Sequence[Candidate], limit: _Budget, bar: tqdm[Any]
) -> list[Trial]:
    """Trials of all rounds, in order."""
    trials: list[Trial] = []
    left = list(chosen)
    for share in _ROUNDS:
        done: list[Trial] = []
        for candidate in left:
            if trials and not limit.allows(share):
                break
            begun = clock.perf_counter()
            plans = judge.plans(candidate)
            limit.solving = max(limit.solving, clock.perf_counter() - begun)
            trial = judge.tried(candidate, share, plans)
            limit.training = max(limit.training, trial.seconds / share)
            done.append(replace(trial, seconds=clock.perf_counter() - begun))
            trials.append(done[-1])
            bar.update()
        done.sort(key=lambda trial: trial.score)
        better = done[: max(1, len(done) // 2)]
        left = [trial.candidate for trial in better if math.isfinite(trial.score)]
    return trials


def _best(trials: Sequence[Trial], default: Candidate) -> Candidate:
    """The best trial with all steps, else the best trial, else the default."""
    judged = [trial for trial in trials if math.isfinite(trial.score)]
    if not judged:
        reason = next((trial.note for trial in trials if trial.note), "no trial has a ratio")
        logger.warning(
            "No method could be judged (%s); the first one, %s, is taken.", reason, default.name
        )
        return default
    whole = [trial for trial in judged if trial.steps >= trial.candidate.recipe.training.steps]
    return min(whole or judged, key=lambda trial: trial.score).candidate


@dataclass(frozen=True, eq=False)
class _Truncated:
    """A candidate as a predictor that is judged in fewer dimensions than it is fitted in.

    Parameters
    ----------
    candidate
        What is fitted.
    full
        The snapshots in all dimensions; the held-out one is not used.
    plans
        Around each held-out time; None where they failed, which the fit repeats and reports.
    """

    candidate: Candidate
    full: Snapshots
    plans: Mapping[float, Coupled | None]

    @property
    def name(self) -> str:
        """Name of the candidate."""
        return self.candidate.name

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Fit in the candidate's dimensions, predict, and keep the dimensions of `rest`."""
        own = _leading(self.full.without(time), self.candidate.n_dims)
        trained = Trained(self.candidate.recipe)
        fitted = trained.fitted(own, random_state=random_state, plans=self.plans[time])
        cells, _ = fitted.predicted(own, time, PUBLISHED_PROTOCOL)
        return {PUBLISHED_PROTOCOL: replace(cells, x=cells.x[:, : rest.n_dims])}


@dataclass(frozen=True, eq=False)
class _Judge:
    """Trials of candidates on inner hold-outs; shared plans and baselines are computed once.

    Parameters
    ----------
    snapshots
        In all dimensions.
    folds
        The inner hold-outs, in the dimensions that all candidates have.
    seed, n_jobs
        See `select`.
    solved
        Plans with paths, by coupling and dimensions, then by time.
    straight
        Scores of OT interpolation, by time.
    """

    snapshots: Snapshots
    folds: Sequence[Fold]
    seed: int
    n_jobs: int | None
    solved: dict[str, dict[float, Coupled | None]] = field(default_factory=dict)
    straight: dict[float, Mapping[str, float]] = field(default_factory=dict)

    def plans(self, candidate: Candidate) -> dict[float, Coupled | None]:
        """The plans around each held-out time, with the candidate's path on them."""
        key = digest(describe(candidate.recipe.coupling), candidate.recipe.scale, candidate.n_dims)
        known = self.solved.get(key, {})
        method = Trained(candidate.recipe)
        own = _leading(self.snapshots, candidate.n_dims)
        times = [fold.time for fold in self.folds]
        tasks = [Plans(Fold(own, t), (method,), known.get(t)) for t in times]
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
        shorter = replace(recipe, training=replace(recipe.training, steps=steps))
        method = _Truncated(replace(candidate, recipe=shorter), self.snapshots, plans)
        rows = hold_out(
            self.folds,
            methods=[method],
            seeds=(self.seed,),
            protocols=PUBLISHED_PROTOCOL,
            baselines=() if self.straight else (STRAIGHT,),
            metrics=(),
            n_jobs=self.n_jobs,
            progress=False,
        ).rows
        self.straight.update(
            {row.time: row.scores.values for row in rows if row.kind == "baseline"}
        )
        model = [row for row in rows if row.kind == "model"]
        pairs = [(row.scores.values, self.straight[row.time]) for row in model]
        note = "; ".join(dict.fromkeys(note for row in model for note in row.scores.notes))
        ratios = (_ratio(pairs, "w1_half"), _ratio(pairs, "energy_half"))
        trial = Trial(candidate, steps, *ratios, clock.perf_counter() - begun, note)
        if math.isfinite(trial.score) or note:
            return trial
        reason = f"no ratio: the distances of {STRAIGHT} are zero or missing"
        return replace(trial, note=reason)


def _ratio(pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], name: str) -> float:
    """Geometric mean over times; infinite or NaN where a reference is zero or missing."""
    own = np.array([values[name] for values, _ in pairs])
    reference = np.array([values[name] for _, values in pairs])
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.mean(np.log(own / reference))))


def curve(found: Selection) -> pd.DataFrame:
    """One row per trial, in order; the last trial of the chosen candidate is marked `best`."""
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
