"""How far a predicted population is from the cells that were held out: at full size, and at one size for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from cellflow import metrics
from cellflow.core._random import shuffled, stream
from cellflow.core.population import Population
from cellflow.errors import CellFlowError, InputError, closest

__all__ = [
    "AT_HALF",
    "METRICS",
    "Halves",
    "Scores",
    "as_metrics",
    "columns",
    "halves",
    "score",
    "score_floor",
    "thinned",
]

#: What may go wrong with one metric without costing the others.
_FAILURES = (CellFlowError, ValueError, ArithmeticError, MemoryError)
#: Columns of the table that are measured on whole clouds, in its order.
METRICS = ("w1", "w2", "energy", "mmd", "sliced_w1", "variance_ratio", "mean_error", "c2st")
#: Those that say in other words what W1 and the energy distance say, and the cells of a cloud that
#: are drawn for them at most; the classifier draws as many itself.
_SECONDARY = ("mmd", "sliced_w1")
_MOST = 2000
#: What is measured at the half size, whatever was chosen.
AT_HALF = ("w1", "energy", "variance_ratio")
#: First keys of the random streams.
_SPLIT = 0
_DRAW = 1
_METRIC = 2

Number: TypeAlias = Callable[[Population, Population, int], float]


@dataclass(frozen=True, eq=False)
class Halves:
    """One split of the held-out cells into two halves that share no cell.

    Parameters
    ----------
    seen
        What predictions are compared with.
    other
        The other half: as good as a prediction can be.
    key
        Of the random draws that go with this split.
    """

    seen: Population
    other: Population
    key: int

    def __len__(self) -> int:
        return len(self.seen)


@dataclass(frozen=True)
class Scores:
    """What was measured of one prediction.

    Parameters
    ----------
    values
        By column of the table; NaN where a metric could not be had.
    splits
        By name (`AT_HALF`): values at the half size, one for each split, for paired differences.
    notes
        Why something is NaN, or odd.
    """

    values: Mapping[str, float]
    splits: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())


def _weighted(function: Callable[..., float]) -> Number:
    def measure(x: Population, y: Population, seed: int) -> float:  # noqa: ARG001 (as every measure)
        return float(function(x.x, y.x, x_weight=x.weight, y_weight=y.weight))

    return measure


def _seeded(function: Callable[..., float]) -> Number:
    def measure(x: Population, y: Population, seed: int) -> float:
        return float(function(x.x, y.x, x_weight=x.weight, y_weight=y.weight, random_state=seed))

    return measure


def _with_interval(x: Population, y: Population, seed: int) -> Mapping[str, float]:
    found = metrics.estimate(
        "w1", x.x, y.x, x_weight=x.weight, y_weight=y.weight, random_state=seed
    )
    return {"w1": found.value, "w1_low": found.low, "w1_high": found.high}


def _accuracy(x: Population, y: Population, seed: int) -> float:
    return metrics.c2st(x.x, y.x, x_weight=x.weight, y_weight=y.weight, random_state=seed).accuracy


def _measures() -> dict[str, Callable[[Population, Population, int], float | Mapping[str, float]]]:
    return {
        "w1": _with_interval,
        "w2": _weighted(partial(metrics.wasserstein, p=2)),
        "energy": _weighted(metrics.energy_distance),
        "mmd": _weighted(metrics.mmd),
        "sliced_w1": _seeded(metrics.sliced_wasserstein),
        "variance_ratio": _weighted(metrics.variance_ratio),
        "mean_error": _weighted(metrics.mean_error),
        "c2st": _accuracy,
    }


def as_metrics(chosen: object) -> tuple[str, ...]:
    """Return the full-size metrics that were asked for, in the order of `METRICS`; None stands for all.

    Raises
    ------
    InputError
        One that there is not.
    """
    if chosen is None:
        return METRICS
    given = (
        [chosen]
        if isinstance(chosen, str)
        else list(chosen)
        if isinstance(chosen, Sequence)
        else [chosen]
    )
    for name in given:
        if name not in METRICS:
            msg = (
                f"metrics={chosen!r}: {name!r} is none of {list(METRICS)}{closest(name, METRICS)}."
            )
            raise InputError(msg)
    return tuple(name for name in METRICS if name in given)


def halves(held_out: Population, n: int, *, n_splits: int, seed: int = 0) -> list[Halves]:
    """Split the held-out cells in halves, several times; of either half `n` cells are kept.

    Parameters
    ----------
    held_out
        The cells.
    n
        Cells of each half, at most half of all; with 0 there is no split.
    n_splits
        How many splits.
    seed
        Of the splits.
    """
    if n == 0:
        return []
    made = []
    for k in range(n_splits):
        order = stream(seed, _SPLIT, k).permutation(np.flatnonzero(held_out.weight > 0))
        made.append(
            Halves(held_out.part(np.sort(order[:n])), held_out.part(np.sort(order[n : 2 * n])), k)
        )
    return made


def score(
    predicted: Population,
    held_out: Population,
    splits: Sequence[Halves],
    *,
    chosen: Sequence[str] = METRICS,
    seed: int = 0,
) -> Scores:
    """Measure one prediction: against all held-out cells, and at the size of the halves.

    Parameters
    ----------
    predicted
        As many weighted cells as the method gives.
    held_out
        All cells of the snapshot.
    splits
        Halves of them, see `halves`; from the prediction as many cells are drawn by weight (without
        repeats as far as there are cells).
    chosen
        Which of `METRICS` are measured; the others are NaN. All cells are compared, but for `mmd`,
        `sliced_w1` and `c2st`, which see at most 2,000 cells of either cloud, drawn by weight.
    seed
        Of metrics that draw, and of the draws.

    Returns
    -------
    Every column of the table that is a metric. A metric that refuses these clouds is NaN, with its reason among the notes.
    """
    values, notes = _full(predicted, held_out, chosen, seed)
    values |= {
        "n_predicted": len(predicted),
        "n_observed": len(held_out),
        "n_half": len(splits[0]) if splits else 0,
    }
    pairs = [(_drawn(predicted, len(s), seed, s.key), s.seen) for s in splits]
    if splits and np.count_nonzero(predicted.weight) < len(splits[0]):
        notes.append(
            f"{len(predicted)} predicted cells for {len(splits[0])} draws: some are drawn again"
        )
    splits_of, more = _half(pairs)
    return Scores(values | _means(splits_of), splits_of, (*notes, *more))


def score_floor(
    held_out: Population,
    splits: Sequence[Halves],
    *,
    chosen: Sequence[str] = METRICS,
    seed: int = 0,
) -> Scores:
    """Measure what two samples of one truth differ by: one half of the held-out cells against the other, mean over splits.

    Smaller clouds differ more, so this is a floor for predictions at the half size.
    """
    if not splits:
        reason = f"{len(held_out)} held-out cells have no halves"
        counts = {"n_predicted": 0, "n_observed": len(held_out), "n_half": 0}
        return Scores(
            dict.fromkeys([*columns(METRICS), "w1_half", "energy_half"], math.nan) | counts,
            {},
            (reason,),
        )
    measured = [_full(s.other, s.seen, chosen, seed) for s in splits]
    names = measured[0][0]
    values = {name: float(np.mean([found[name] for found, _ in measured])) for name in names}
    n = len(splits[0])
    splits_of, more = _half([(s.other, s.seen) for s in splits], [found for found, _ in measured])
    notes = tuple(dict.fromkeys([note for _, found in measured for note in found] + list(more)))
    sizes = {"n_predicted": n, "n_observed": n, "n_half": n}
    return Scores(values | sizes | _means(splits_of), splits_of, notes)


def columns(chosen: Sequence[str]) -> list[str]:
    """Columns of the table that metrics fill."""
    return [
        column
        for name in chosen
        for column in (("w1", "w1_low", "w1_high") if name == "w1" else (name,))
    ]


def _full(
    x: Population, y: Population, chosen: Sequence[str], seed: int
) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = dict.fromkeys(columns(METRICS), math.nan)
    notes = []
    measures = _measures()
    few = tuple(thinned(cloud, _MOST, seed=seed) for cloud in (x, y))
    for name in chosen:
        try:
            a, b = few if name in _SECONDARY else (x, y)
            found = measures[name](a, b, seed)
        except _FAILURES as error:
            notes.append(f"no {name}: {error}")
            continue
        values |= found if isinstance(found, Mapping) else {name: found}
    return values, notes


def _half(
    pairs: Sequence[tuple[Population, Population]], known: Sequence[Mapping[str, float]] = ()
) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """Measures of clouds of one size, one for each pair, and what went wrong; `known` are not measured again."""
    notes: list[str] = []
    found: dict[str, tuple[float, ...]] = {}
    functions = (metrics.wasserstein, metrics.energy_distance, metrics.variance_ratio)
    for name, function in zip(AT_HALF, functions, strict=True):
        measure = _weighted(function)
        there = [values[name] for values in known if math.isfinite(values[name])]
        try:
            found[name] = tuple(
                there if len(there) == len(pairs) else [measure(x, y, 0) for x, y in pairs]
            )
        except _FAILURES as error:
            notes.append(f"no {name} at the half size: {error}")
            found[name] = ()
    return found, notes


def _means(splits: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Columns at the half size."""
    return {
        f"{name}_half": float(np.mean(splits[name])) if splits[name] else math.nan
        for name in ("w1", "energy")
    }


def _drawn(cloud: Population, n: int, seed: int, key: int) -> Population:
    rows = shuffled(cloud.weight, n, stream(seed, _DRAW, key))
    return Population(cloud.x[rows], cloud.time)


def thinned(cloud: Population, n: int, *, seed: int = 0) -> Population:
    """At most `n` cells of a cloud for a picture, drawn by weight."""
    if len(cloud) <= n:
        return cloud
    rows = shuffled(cloud.weight, n, stream(seed, _METRIC))
    return Population(cloud.x[rows], cloud.time, index=cloud.index[rows])
