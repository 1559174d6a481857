"""Scores of predictions by clones, with intervals, and differences between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.evaluation.clones.measures import MEASURES, Truth, draws

__all__ = [
    "ALL",
    "LEVEL",
    "Difference",
    "Method",
    "Score",
    "Scorer",
    "differences_of",
    "mean_known",
]

#: Level of the intervals.
LEVEL = 0.95
#: Name of all times together.
ALL = "all"


@dataclass(frozen=True)
class Method:
    """What gave a prediction.

    Parameters
    ----------
    name
        Without a word about clones.
    kind
        `"model"`, `"baseline"` or `"ceiling"`.
    informed
        Whether it has seen clones (others than those that it is scored by).
    """

    name: str
    kind: str
    informed: bool = False

    @property
    def called(self) -> str:
        """Name with what it has seen."""
        return f"{self.name}, with clones" if self.informed else self.name


@dataclass(frozen=True)
class Score:
    """One measure of one method.

    Parameters
    ----------
    method
        The method.
    start
        Time of the cells as text, or `"all"`.
    measure
        Its name.
    value, low, high
        The value and its 95 % interval.
    n_cells, n_clones
        Cells that it is of, and clones.
    """

    method: Method
    start: str
    measure: str
    value: float
    low: float
    high: float
    n_cells: int
    n_clones: int


@dataclass(frozen=True)
class Difference:
    """How much better a method is than another one by a measure, on the same clones.

    Parameters
    ----------
    method, base
        Both methods.
    start, measure
        As of `Score`.
    gain, low, high
        How much better the method is, with the 95 % interval.
    sure_low, sure_high
        The interval at a level at which all judged measures together hold in 95 % of cases
        (Bonferroni).
    """

    method: Method
    base: Method
    start: str
    measure: str
    gain: float
    low: float
    high: float
    sure_low: float
    sure_high: float

    @property
    def sign(self) -> int:
        """1 where the method is better beyond chance, -1 where it is worse, else 0."""
        return int(self.sure_low > 0) - int(self.sure_high < 0)


@dataclass(frozen=True, eq=False)
class Scorer:
    """Measures of some cells, always with the same draws of their clones.

    Parameters
    ----------
    start
        Time of the cells as text, or `"all"`.
    unit
        What is drawn together, of each cell, `(m,)`.
    truth
        What became of their clones; None for measures that are means of a value of each cell.
    weight
        Ones and draws, `(1 + b, m)`; see `draws`.
    """

    start: str
    unit: IntArray
    truth: Truth | None
    weight: FloatArray

    @classmethod
    def of(
        cls,
        start: str,
        unit: IntArray,
        truth: Truth | None,
        n_bootstrap: int,
        rng: np.random.Generator,
    ) -> Scorer:
        """With draws of its own."""
        return cls(start, unit, truth, draws(unit, n_bootstrap, rng))

    def part(self, rows: IntArray, start: str) -> Scorer:
        """Of some of the cells, with the same draws."""
        truth = None if self.truth is None else self.truth.part(rows)
        return Scorer(start, self.unit[rows], truth, self.weight[:, rows])

    def drawn(self, found: FloatArray) -> dict[str, FloatArray]:
        """Every measure of shares `(m, n_labels)`, the value and then those of the draws."""
        if self.truth is None:
            known = ~np.isnan(found)
            weight = self.weight * known
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = weight @ np.where(known, found, 0.0) / weight.sum(axis=1)
            return {"precision": mean}
        return {name: m.value(found, self.truth, self.weight) for name, m in MEASURES.items()}

    def drawn_over(
        self, found: Sequence[FloatArray], folds: Sequence[IntArray]
    ) -> dict[str, FloatArray]:
        """Means of `drawn` over several splits, each with its predictions and folds `(m,)`."""
        each = []
        for values, fold in zip(found, folds, strict=True):
            truth = None if self.truth is None else replace(self.truth, fold=fold)
            each.append(replace(self, truth=truth).drawn(values))
        return {name: mean_known(np.array([one[name] for one in each])) for name in each[0]}

    def scores(self, method: Method, drawn: dict[str, FloatArray]) -> list[Score]:
        """Rows of a method."""
        n_clones = len(np.unique(self.unit))
        return [
            Score(
                method,
                self.start,
                name,
                float(values[0]),
                *_interval(values, LEVEL),
                len(self.unit),
                n_clones,
            )
            for name, values in drawn.items()
        ]

    def differences(
        self,
        method: Method,
        base: Method,
        own: dict[str, FloatArray],
        other: dict[str, FloatArray],
    ) -> list[Difference]:
        """A method beside another one, draw by draw."""
        made = []
        n_judged = sum(name not in MEASURES or MEASURES[name].judged for name in own)
        sure = 1.0 - (1.0 - LEVEL) / n_judged
        for name, values in own.items():
            sign = MEASURES[name].sign if name in MEASURES else 1.0
            gain = sign * (values - other[name])
            low, high = _interval(gain, LEVEL)
            sure_low, sure_high = _interval(gain, sure)
            value = float(gain[0])
            made.append(
                Difference(
                    method, base, self.start, name, value, low, high, sure_low, sure_high
                )
            )  # fmt: skip
        return made


def differences_of(
    scorer: Scorer,
    drawn: dict[Method, dict[str, FloatArray]],
    bases: Sequence[Method],
) -> list[Difference]:
    """Every model beside the baselines, and with clones beside the same without.

    Baselines stand beside those that are named before them.
    """
    made = []
    for method, own in drawn.items():
        beside = [*bases[: bases.index(method)]] if method in bases else [*bases]
        plain = Method(method.name, method.kind)
        if method.informed and plain in drawn:
            beside.append(plain)
        for base in beside:
            made += scorer.differences(method, base, own, drawn[base])
    return made


def mean_known(values: FloatArray) -> FloatArray:
    """Means over the first axis of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean: FloatArray = np.divide(total, n, out=np.full(values.shape[1], np.nan), where=n > 0)
    return mean


def _interval(values: FloatArray, level: float) -> tuple[float, float]:
    """Quantiles of the draws, those without a value left out."""
    known = values[1:][~np.isnan(values[1:])]
    if len(known) == 0 or np.isnan(values[0]):
        return np.nan, np.nan
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return float(low), float(high)
