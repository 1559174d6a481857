"""Trials of methods on inner hold-outs."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellflow.core.population import Population, Snapshots
from cellflow.evaluation.candidates import Candidate
from cellflow.evaluation.folds import Fold
from cellflow.evaluation.holdout import hold_out
from cellflow.evaluation.judging import Plans
from cellflow.evaluation.methods import Trained
from cellflow.evaluation.names import PUBLISHED_PROTOCOL, STRAIGHT
from cellflow.evaluation.tasks import digest, run
from cellflow.model.fitting import Coupled
from cellflow.model.recipes import describe

__all__ = ["Judge", "Trial", "leading"]


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


def leading(snapshots: Snapshots, n_dims: int | None) -> Snapshots:
    """The leading dimensions of snapshots; all, if None."""
    if n_dims is None:
        return snapshots
    return snapshots.moved([p.x[:, :n_dims] for p in snapshots.populations])


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
        own = leading(self.full.without(time), self.candidate.n_dims)
        trained = Trained(self.candidate.recipe)
        fitted = trained.fitted(own, random_state=random_state, plans=self.plans[time])
        cells, _ = fitted.predicted(own, time, PUBLISHED_PROTOCOL)
        return {PUBLISHED_PROTOCOL: replace(cells, x=cells.x[:, : rest.n_dims])}


@dataclass(frozen=True, eq=False)
class Judge:
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
        own = leading(self.snapshots, candidate.n_dims)
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
