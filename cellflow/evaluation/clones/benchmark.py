"""Methods judged by held-out clones: predictions of all folds, scores, differences, a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._numbers import as_count
from cellflow.core._progress import is_shown
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, closest
from cellflow.evaluation.clones.cells import ClonalCells, folds_of
from cellflow.evaluation.clones.halves import with_halves
from cellflow.evaluation.clones.measures import Truth
from cellflow.evaluation.clones.run import (
    CHANCE,
    CLONES,
    LABELS,
    MAJORITY,
    Folds,
    Found,
    Setting,
    baselines,
    predicted,
    prepared,
)
from cellflow.evaluation.clones.scores import (
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
        The fold in which each clone was hidden in each split, `(n_repeats, n_clones)`.
    strengths
        By method, the strength that was chosen in each fold of each split.
    pair
        The two labels whose ratio is the bias.
    """

    scores: list[Score]
    differences: list[Difference]
    fold: IntArray
    strengths: dict[str, list[list[float]]]
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
    n_repeats: int = 1,
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
    n_repeats
        Splits into folds; measures are means over them.
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
    as_count("n_repeats", n_repeats)
    as_count("n_bootstrap", n_bootstrap, least=100, each=8 * len(cells.observations))
    rng = stream(seed, 0)
    splits = [Folds(cells, folds_of(cells, n_splits, rng)) for _ in range(n_repeats)]
    found = _predicted(splits, settings, seed, progress=progress)
    places = (cells.names.index(pair[0]), cells.names.index(pair[1]))
    fates = _fates(splits, found, places, n_bootstrap, seed)
    plans = [
        _inside(splits, found, interval, n_bootstrap, stream(seed, 3, interval))
        for interval in range(splits[0].n_intervals)
    ]
    strengths = {
        name: [list(split[1 + n].strengths) for split in found] for n, name in enumerate(settings)
    }
    return ClonalBenchmark(
        [row for part in (fates, *plans) for row in part[0]],
        [row for part in (fates, *plans) for row in part[1]],
        np.array([folds.fold for folds in splits]),
        strengths,
        pair,
    )


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


def _predicted(
    splits: Sequence[Folds], settings: dict[str, Setting], seed: int, *, progress: bool | None
) -> list[list[Found]]:
    """For each split, predictions of the baselines and of each method."""
    from tqdm import tqdm

    neighbors = next((setting.n_neighbors for setting in settings.values()), None)
    found = [[baselines(folds, neighbors)] for folds in splits]
    total = len(settings) * len(splits) * splits[0].n
    with tqdm(total=total, desc="clones", unit="fold", disable=not is_shown(progress)) as bar:

        def tick(text: str) -> None:
            bar.set_postfix_str(text)
            bar.update()

        for n, (name, setting) in enumerate(settings.items()):
            method = prepared(splits[0].cells, setting)
            for k, (folds, own) in enumerate(zip(splits, found, strict=True)):
                own.append(predicted(folds, method, name, stream(seed, 4, n, k), tick))
    return found


def _fates(
    splits: Sequence[Folds],
    found: Sequence[Sequence[Found]],
    pair: tuple[int, int],
    n_bootstrap: int,
    seed: int,
) -> tuple[list[Score], list[Difference]]:
    """Measures of predicted fates, of all times and of each."""
    cells = splits[0].cells
    shares: dict[Method, list[FloatArray]] = {}
    for split in found:
        for method, predicted_shares in (item for one in split for item in one.shares.items()):
            shares.setdefault(method, []).append(predicted_shares)
    scores: list[Score] = []
    differences: list[Difference] = []
    for scorer, rows in _scorers(splits[0], pair, n_bootstrap, stream(seed, 1)):
        clone = cells.observations.clone[rows]
        own = [folds.fold[clone] for folds in splits]
        drawn = {
            method: scorer.drawn_over([values[rows] for values in each], own)
            for method, each in shares.items()
        }
        for method, values in drawn.items():
            scores += scorer.scores(method, values)
        scores += with_halves(scorer, cells.counts, clone, _N_HALVES, stream(seed, 2))
        differences += differences_of(scorer, drawn, (MAJORITY, LABELS, CLONES))
    return scores, differences


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
    splits: Sequence[Folds],
    found: Sequence[Sequence[Found]],
    interval: int,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[list[Score], list[Difference]]:
    """Share of the mass that stays in its clone in one interval."""
    cells = splits[0].cells
    shared = splits[0].shared(interval)
    if len(shared.cell) == 0:
        return [], []
    each: dict[Method, list[FloatArray]] = {}
    for split in found:
        for method, values in (item for one in split for item in one.inside.items()):
            each.setdefault(method, []).append(values[interval])
    scorer = Scorer.of(f"{shared.time:g}", cells.unit[shared.clone], None, n_bootstrap, rng)
    own = [folds.fold[shared.clone] for folds in splits]
    drawn = {method: scorer.drawn_over(values, own) for method, values in each.items()}
    scores = [row for method, values in drawn.items() for row in scorer.scores(method, values)]
    return scores, differences_of(scorer, drawn, (CHANCE,))
