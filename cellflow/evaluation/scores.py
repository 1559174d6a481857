"""Distances of a prediction to the held-out cells: at full size, and at one size for all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellflow.core.population import Population
from cellflow.errors import CellFlowError
from cellflow.evaluation.halves import SEED, Halves, drawn_cells, thinned
from cellflow.evaluation.metric import AT_HALF, METRICS, columns

__all__ = ["HALF_COLUMNS", "Scores", "no_scores", "score", "score_floor"]

#: Errors of one metric that leave the other metrics intact.
_FAILURES = (CellFlowError, ValueError, ArithmeticError, MemoryError)
#: Columns of the table at the half size, by metric.
HALF_COLUMNS = {"w1": "w1_half", "energy": "energy_half"}


@dataclass(frozen=True)
class Scores:
    """What was measured of one prediction.

    Parameters
    ----------
    values
        By column of the table; NaN where a metric failed or was not asked for.
    splits
        By name (`AT_HALF`): values at the half size, one for each split, for paired differences.
    notes
        Why a value is NaN, and other remarks.
    """

    values: Mapping[str, float]
    splits: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())


def no_scores(n_observed: int, note: str) -> Scores:
    """Scores of a prediction that does not exist, with the reason."""
    values = dict.fromkeys([*columns(), *HALF_COLUMNS.values()], math.nan)
    sizes = {"n_predicted": 0, "n_observed": n_observed, "n_half": 0}
    return Scores(values | sizes, {}, (note,))


def score(
    predicted: Population,
    held_out: Population,
    splits: Sequence[Halves],
    *,
    chosen: Sequence[str] = tuple(METRICS),
    seed: int = SEED,
) -> Scores:
    """Compare one prediction with all held-out cells, and with halves of them at equal numbers.

    Parameters
    ----------
    predicted
        Weighted cells, any number.
    held_out
        All cells of the snapshot.
    splits
        Halves of them, see `halves`. As many cells as a half has are drawn from the prediction by
        weight; none twice, where there are enough.
    chosen
        Names of the `METRICS` that are measured; the others are NaN. All cells are compared, except
        by metrics with a largest number of cells (`Metric.most`).
    seed
        Of metrics that draw, and of the draws.

    Returns
    -------
    Every column of the table that is a metric. A metric that fails is NaN, with its reason among
    the notes.
    """
    values, notes = _full(predicted, held_out, chosen, seed)
    n_half = len(splits[0]) if splits else 0
    sizes = {"n_predicted": len(predicted), "n_observed": len(held_out), "n_half": n_half}
    pairs = [(drawn_cells(predicted, len(s), key=s.key, seed=seed), s.seen) for s in splits]
    if np.count_nonzero(predicted.weight) < n_half:
        notes.append(f"{len(predicted)} predicted cells for {n_half} draws: some are drawn again")
    by_split, more = _half(pairs)
    return Scores(values | sizes | _means(by_split), by_split, (*notes, *more))


def score_floor(
    held_out: Population,
    splits: Sequence[Halves],
    *,
    chosen: Sequence[str] = tuple(METRICS),
    seed: int = SEED,
) -> Scores:
    """Compare one half of the held-out cells with the other half; means over splits.

    Two samples of one population differ by that much. Smaller clouds differ more, so this is a
    lower bound for predictions at the half size only.
    """
    if not splits:
        return no_scores(len(held_out), f"{len(held_out)} held-out cells have no halves")
    measured = [_full(s.other, s.seen, chosen, seed) for s in splits]
    names = measured[0][0]
    values = {name: float(np.mean([found[name] for found, _ in measured])) for name in names}
    n = len(splits[0])
    by_split, more = _half([(s.other, s.seen) for s in splits], [found for found, _ in measured])
    notes = tuple(dict.fromkeys([note for _, found in measured for note in found] + more))
    sizes = {"n_predicted": n, "n_observed": n, "n_half": n}
    return Scores(values | sizes | _means(by_split), by_split, notes)


def _full(
    x: Population, y: Population, chosen: Sequence[str], seed: int
) -> tuple[dict[str, Any], list[str]]:
    """Values by column at full size, and why some are missing."""
    values: dict[str, Any] = dict.fromkeys(columns(), math.nan)
    notes = []
    for name in chosen:
        metric = METRICS[name]
        a, b = (c if metric.most is None else thinned(c, metric.most, seed=seed) for c in (x, y))
        try:
            found = metric.function(a, b, seed)
        except _FAILURES as error:
            notes.append(f"no {name}: {error}")
            continue
        values |= found if isinstance(found, Mapping) else {name: found}
    return values, notes


def _half(
    pairs: Sequence[tuple[Population, Population]], known: Sequence[Mapping[str, float]] = ()
) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """Values of clouds of one size, one for each pair, and what failed; `known` ones are kept."""
    notes: list[str] = []
    found: dict[str, tuple[float, ...]] = {}
    for name in AT_HALF:
        measure = METRICS[name].at_half
        assert measure is not None
        there = [values[name] for values in known if math.isfinite(values[name])]
        try:
            values = there if len(there) == len(pairs) else [measure(x, y, 0) for x, y in pairs]
            found[name] = tuple(values)
        except _FAILURES as error:
            notes.append(f"no {name} at the half size: {error}")
            found[name] = ()
    return found, notes


def _means(splits: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Columns at the half size."""
    return {
        column: float(np.mean(splits[name])) if splits[name] else math.nan
        for name, column in HALF_COLUMNS.items()
    }
