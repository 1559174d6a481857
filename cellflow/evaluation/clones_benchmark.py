"""Methods judged by held-out clones: predictions of all folds, scores, differences, a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._numbers import as_count
from cellflow.core._progress import is_shown
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, closest
from cellflow.evaluation.clones import ClonalCells, folds_of
from cellflow.evaluation.clones_halves import with_halves
from cellflow.evaluation.clones_measures import Truth
from cellflow.evaluation.clones_run import (
    CHANCE,
    CLONES,
    LABELS,
    MAJORITY,
    Folds,
    Found,
    Setting,
    baselines,
    predicted,
)
from cellflow.evaluation.clones_scores import (
    ALL,
    Difference,
    Method,
    Score,
    Scorer,
    differences_of,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClonalBenchmark", "judge_by_clones", "pair_of"]

#: Halvings of the clones.
_N_HALVES = 20


@dataclass(frozen=True, eq=False)
class ClonalBenchmark:
    """What `judge_by_clones` found.

    Parameters
    ----------
    scores
        Every measure of every method.
    differences
        Every model beside the baselines, and with clones beside the same without.
    fold
        The fold in which each clone was hidden, `(n_clones,)`.
    strengths
        By method, the strength that was chosen in each fold.
    pair
        The two labels whose ratio is the bias.
    """

    scores: list[Score]
    differences: list[Difference]
    fold: IntArray
    strengths: dict[str, list[float]]
    pair: tuple[str, str]

    @property
    def table(self) -> pd.DataFrame:
        """One row per method, time and measure."""
        import pandas as pd

        return pd.DataFrame(
            {
                "start": s.start, "method": s.method.name, "clones": s.method.informed,
                "kind": s.method.kind, "measure": s.measure, "value": s.value, "low": s.low,
                "high": s.high, "n_cells": s.n_cells, "n_clones": s.n_clones,
            }
            for s in self.scores
        )  # fmt: skip

    @property
    def comparisons(self) -> pd.DataFrame:
        """One row per method, baseline, time and measure."""
        import pandas as pd

        outcomes = {1: "better", 0: "undecided", -1: "worse"}
        return pd.DataFrame(
            {
                "start": d.start, "method": d.method.name, "clones": d.method.informed,
                "beside": d.base.called, "measure": d.measure, "gain": d.gain, "low": d.low,
                "high": d.high, "outcome": outcomes[d.sign],
            }
            for d in self.differences
        )  # fmt: skip


def judge_by_clones(
    cells: ClonalCells,
    settings: dict[str, Setting],
    *,
    pair: tuple[str, str],
    n_splits: int = 5,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
) -> ClonalBenchmark:
    """Judge methods by clones that they have not seen.

    Clones are split into folds. For each, all methods predict the cells of its clones; those with
    clones have seen the clones of the other folds. Each clone is hidden once, and all its cells
    are scored then.

    Parameters
    ----------
    cells
        The cells, their clones, and the labels of the last time.
    settings
        Methods by name.
    pair
        The two labels whose ratio is the bias.
    n_splits
        Folds, at least two.
    n_bootstrap
        Draws of clones behind the intervals.
    seed
        Of folds, draws and halves.
    progress
        Whether to show a progress bar; None shows it on a terminal or in a notebook only.

    Raises
    ------
    InputError
        No shared clones, or fewer than folds.
    """
    as_count("n_splits", n_splits, least=2)
    folds = Folds(cells, folds_of(cells, n_splits, stream(seed, 0)))
    n = len(cells.observations)
    as_count("n_bootstrap", n_bootstrap, least=100, each=8 * n)
    neighbors = next((setting.n_neighbors for setting in settings.values()), None)
    found = [baselines(folds, neighbors), *_predicted(folds, settings, progress=progress)]
    shares = {method: values for one in found for method, values in one.shares.items()}
    scores: list[Score] = []
    differences: list[Difference] = []
    rng = stream(seed, 1)
    places = tuple(cells.names.index(name) for name in pair)
    for scorer, rows in _scorers(folds, (places[0], places[1]), n_bootstrap, rng):
        drawn = {method: scorer.drawn(values[rows]) for method, values in shares.items()}
        for method, values in drawn.items():
            scores += scorer.scores(method, values)
        clone = cells.observations.clone[rows]
        scores += with_halves(scorer, cells.counts, clone, _N_HALVES, stream(seed, 2))
        differences += differences_of(scorer, drawn, (MAJORITY, LABELS, CLONES))
    inside = {method: values for one in found for method, values in one.inside.items()}
    for interval in range(folds.n_intervals):
        one = _inside(folds, inside, interval, n_bootstrap, rng)
        scores += one[0]
        differences += one[1]
    strengths = {
        name: one.strengths for name, one in zip(settings, found[1:], strict=True)
    }  # fmt: skip
    return ClonalBenchmark(scores, differences, folds.fold, strengths, pair)


def pair_of(cells: ClonalCells, fates: Sequence[str] | None) -> tuple[str, str]:
    """Return the two labels whose ratio is the bias: the most frequent ones by default.

    Raises
    ------
    InputError
        Not two, or one that no cell of the last time has.
    """
    order = np.argsort(-cells.shares, kind="stable")
    if fates is None:
        return cells.names[order[0]], cells.names[order[1]]
    known = [cells.names[k] for k in order if cells.shares[k] > 0]
    last = cells.snapshots[-1].time
    for name in fates:
        if name not in known:
            msg = (
                f"fates={list(fates)}: no cell of the last time, {last:g}, has the label {name!r}."
                f" Expected two of {known}{closest(name, known)}."
            )
            raise InputError(msg)
    if len(fates) != 2 or fates[0] == fates[1]:
        msg = f"fates={list(fates)}; expected two labels that differ, of {known}."
        raise InputError(msg)
    return fates[0], fates[1]


def _predicted(folds: Folds, settings: dict[str, Setting], *, progress: bool | None) -> list[Found]:
    from tqdm import tqdm

    total = len(settings) * (folds.n + 1)
    made = []
    with tqdm(total=total, desc="clones", unit="fold", disable=not is_shown(progress)) as bar:

        def tick(text: str) -> None:
            bar.set_postfix_str(text)
            bar.update()

        for name, setting in settings.items():
            made.append(predicted(folds, setting, name, tick))
    return made


def _scorers(
    folds: Folds, pair: tuple[int, int], n_bootstrap: int, rng: np.random.Generator
) -> list[tuple[Scorer, IntArray]]:
    """Of all observations, and of each time where there are several; with their rows."""
    there = folds.observations
    cells = folds.cells
    truth = Truth(cells.counts[there.clone], pair, cells.shares, folds.fold[there.clone])
    every = Scorer.of(ALL, there.unit, truth, n_bootstrap, rng)
    made: list[tuple[Scorer, IntArray]] = [(every, np.arange(len(there)))]
    times = np.unique(there.time)
    for time in times if len(times) > 1 else ():
        rows = np.flatnonzero(there.time == time)
        made.append((every.part(rows, f"{time:g}"), rows))
    return made


def _inside(
    folds: Folds,
    inside: dict[Method, list[FloatArray]],
    interval: int,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[list[Score], list[Difference]]:
    """Share of the mass that stays in its clone in one interval."""
    shared = folds.shared(interval)
    if len(shared.cell) == 0:
        return [], []
    unit = folds.cells.unit[shared.clone]
    scorer = Scorer.of(f"{shared.time:g}", unit, None, n_bootstrap, rng)
    drawn: dict[Method, dict[str, Any]] = {
        method: scorer.drawn(values[interval]) for method, values in inside.items()
    }
    scores = [row for method, values in drawn.items() for row in scorer.scores(method, values)]
    return scores, differences_of(scorer, drawn, (CHANCE,))
