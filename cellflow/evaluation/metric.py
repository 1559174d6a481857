"""Metrics of a hold-out: one record each, read by table, verdict, report and command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from cellflow import metrics
from cellflow.core._typing import FloatArray
from cellflow.core.population import Population
from cellflow.evaluation.arguments import as_names

__all__ = ["AT_HALF", "METRICS", "Metric", "as_metrics", "columns"]

#: Called as `(predicted, observed, seed)`; returns a value, or values by column.
Plain: TypeAlias = Callable[[Population, Population, int], float]
Function: TypeAlias = Plain | Callable[[Population, Population, int], Mapping[str, float]]

#: Cells of a cloud, drawn by weight, for metrics that repeat what W1 and the energy distance say.
_FEW = 2000
#: The smallest variance ratio that a logarithm is taken of; a cloud of one point has 0.
_SMALLEST_RATIO = 1e-6


@dataclass(frozen=True, eq=False)
class Metric:
    """A comparison of a predicted with an observed population.

    Parameters
    ----------
    name
        Name of the metric and of its column in the table.
    function
        `(predicted, observed, seed) -> float`, or a mapping from columns to floats.
    direction
        `"smaller"`: less is better. `"ratio"`: 1 is right. `"larger"`: more is better.
    label
        Heading of the column in short tables.
    meaning
        What the column says, for readers of a report.
    columns
        Columns that `function` fills; `name` alone, if empty.
    most
        Cells of either population that are compared at most, drawn by weight; all, if None.
    at_half
        The same as a plain value, measured at the half size, too, whatever was chosen. The verdict
        compares these values. None for metrics that the verdict does not use.
    listed
        Whether short tables (report, command line) have the column.

    Examples
    --------
    >>> cf.evaluation.METRICS["w1"].direction
    'smaller'
    """

    name: str
    function: Function
    direction: Literal["smaller", "ratio", "larger"]
    label: str
    meaning: str
    columns: tuple[str, ...] = ()
    most: int | None = None
    at_half: Plain | None = None
    listed: bool = True

    def error(self, values: FloatArray) -> FloatArray:
        """How far values are from the best one; smaller is better for every metric."""
        if self.direction == "ratio":
            return np.abs(np.log(np.maximum(values, _SMALLEST_RATIO)))
        return -values if self.direction == "larger" else values


def _weighted(function: Callable[..., float]) -> Plain:
    def measure(x: Population, y: Population, seed: int) -> float:  # noqa: ARG001 (one signature)
        return float(function(x.x, y.x, x_weight=x.weight, y_weight=y.weight))

    return measure


def _seeded(function: Callable[..., float]) -> Plain:
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


_ALL = (
    Metric(
        "w1",
        _with_interval,
        "smaller",
        "W1",
        "How far cells would have to be moved, on average, to turn the prediction into the hidden"
        " cells (exact Wasserstein distance, in the units of the representation); in brackets where"
        " it would lie in 95 of 100 repeated samples of as many cells.",
        columns=("w1", "w1_low", "w1_high"),
        at_half=_weighted(metrics.wasserstein),
    ),
    Metric(
        "w2",
        _weighted(partial(metrics.wasserstein, p=2)),
        "smaller",
        "W2",
        "The same with squared distances: the root of the least mean squared distance.",
        listed=False,
    ),
    Metric(
        "energy",
        _weighted(metrics.energy_distance),
        "smaller",
        "energy",
        "Energy distance, which, unlike W1, also notices a variance that was lost; 0 where both are"
        " one.",
        at_half=_weighted(metrics.energy_distance),
    ),
    Metric(
        "mmd",
        _weighted(metrics.mmd),
        "smaller",
        "MMD",
        "Squared maximum mean discrepancy, Gaussian kernels; 0 where both are one.",
        most=_FEW,
        listed=False,
    ),
    Metric(
        "sliced_w1",
        _seeded(metrics.sliced_wasserstein),
        "smaller",
        "sliced W1",
        "Mean of W1 over random projections to a line.",
        most=_FEW,
        listed=False,
    ),
    Metric(
        "variance_ratio",
        _weighted(metrics.variance_ratio),
        "ratio",
        "variance",
        "Total variance of the predicted cells over that of the hidden ones: 1 is right, less means"
        " a prediction that collapses towards its mean.",
        at_half=_weighted(metrics.variance_ratio),
    ),
    Metric(
        "mean_error",
        _weighted(metrics.mean_error),
        "smaller",
        "mean error",
        "Distance between the means of the predicted and the hidden cells.",
    ),
    Metric(
        "c2st",
        _accuracy,
        "smaller",
        "C2ST",
        "How often a classifier tells predicted from hidden cells: 0.5 is no better than a coin, 1"
        " is always.",
    ),
)

#: Metrics by name, in the order of the table. A new one is a record in `_ALL`.
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
#: Names of the metrics that are measured at the half size, whatever was chosen.
AT_HALF = tuple(metric.name for metric in _ALL if metric.at_half is not None)


def columns(names: Iterable[str] = METRICS) -> list[str]:
    """Columns of the table that metrics fill, in order."""
    return [column for name in names for column in METRICS[name].columns or (name,)]


def as_metrics(chosen: object) -> tuple[str, ...]:
    """Return the names of metrics that were asked for, in the order of `METRICS`; all, if None.

    Raises
    ------
    InputError
        An unknown name.
    """
    return tuple(METRICS) if chosen is None else as_names("metrics", chosen, METRICS)
