"""Choice of a method by inner hold-outs: no snapshot that the choice is judged on is used."""

from __future__ import annotations

import logging
import math
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._progress import is_shown
from cellflow.core._random import as_seed
from cellflow.core._typing import RandomState
from cellflow.core.frame import Scale
from cellflow.core.population import Snapshots
from cellflow.errors import InputError, InputTypeError
from cellflow.evaluation.candidates import BUDGET, Candidate, as_seconds, candidates
from cellflow.evaluation.folds import Fold, inner_times
from cellflow.evaluation.tasks import as_jobs
from cellflow.evaluation.trials import Judge, Trial, leading
from cellflow.model.recipes import by_name

if TYPE_CHECKING:
    import pandas as pd
    from tqdm import tqdm

__all__ = ["Selection", "curve", "select"]

logger = logging.getLogger("cellflow")

#: Share of the training steps in each round; after a round, the better half goes on.
_ROUNDS = (0.25, 1.0)


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
    folds = [Fold(leading(snapshots, n_dims), t) for t in times]
    judge = Judge(snapshots, folds, seed, as_jobs(n_jobs))
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
    judge: Judge, chosen: Sequence[Candidate], limit: _Budget, bar: tqdm[Any]
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
