r"""Measures of predicted fates against those of clones, for many weights at once.

Every measure takes weights `(b, m)` of `m` cells and returns a value for each of the `b` rows:
ones give the value itself, and the counts of drawn clones those of a bootstrap. A value is NaN
where nothing with a weight can be measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cellflow.core._typing import BoolArray, FloatArray, IntArray

__all__ = [
    "MEASURES",
    "Measure",
    "Truth",
    "accuracy",
    "auroc",
    "bias_of",
    "brier",
    "calibrated_brier",
    "correlation",
    "draws",
    "shrunk",
]

#: A variance below this share of the largest square is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Truth:
    """What became of the clone of each scored cell.

    Parameters
    ----------
    counts
        Labelled cells of the clone at the end, `(m, n_labels)`, some in every row.
    pair
        Numbers of the two labels whose ratio is the bias.
    common
        Share of each label among all cells of the last time, `(n_labels,)`.
    fold
        Fold in which the clone of each cell is hidden, `(m,)`.
    """

    counts: FloatArray
    pair: tuple[int, int]
    common: FloatArray
    fold: IntArray

    @property
    def missing(self) -> float:
        """Bias that is predicted for a cell without either label of the pair."""
        return float(bias_of(self.common[None], self.pair, 0.5)[0])

    @property
    def shares(self) -> FloatArray:
        """Share of each label in the clone, `(m, n_labels)`."""
        return np.asarray(self.counts / self.counts.sum(axis=1, keepdims=True))

    @property
    def bias(self) -> FloatArray:
        """Share of the first label of the pair among both, `(m,)`; NaN for clones of neither."""
        return bias_of(self.counts, self.pair, np.nan)

    def part(self, rows: IntArray | BoolArray) -> Truth:
        """That of some cells."""
        return Truth(self.counts[rows], self.pair, self.common, self.fold[rows])


def bias_of(shares: FloatArray, pair: tuple[int, int], missing: float) -> FloatArray:
    """Share of the first label of a pair among both, `(m,)`, of shares `(m, n_labels)`."""
    both = shares[:, list(pair)]
    total = both.sum(axis=1)
    found = np.full(len(shares), missing)
    return np.asarray(np.divide(both[:, 0], total, out=found, where=total > 0))


def accuracy(found: FloatArray, truth: Truth, weight: FloatArray) -> FloatArray:
    """Share of the cells whose most probable label is the most frequent one of the clone, `(b,)`.

    Any of several labels that are equally frequent in the clone is right.
    """
    top = truth.counts == truth.counts.max(axis=1, keepdims=True)
    right = top[np.arange(len(found)), found.argmax(axis=1)]
    return _mean(right.astype(np.float64), weight)


def brier(found: FloatArray, truth: Truth, weight: FloatArray) -> FloatArray:
    r"""Mean over cells of :math:`\sum_l (p_l - q_l)^2`, `(b,)`, of predicted and true shares.

    References
    ----------
    Brier, Verification of forecasts expressed in terms of probability, 1950.
    """
    return _mean(((found - truth.shares) ** 2).sum(axis=1), weight)


def calibrated_brier(found: FloatArray, truth: Truth, weight: FloatArray) -> FloatArray:
    """Brier score of shares that are shrunk as suits the clones of other folds, `(b,)`.

    How decided predictions are depends on how many cells vote for them, which says nothing about
    what they know. So all are made as undecided as suits them before they are compared.
    """
    return brier(shrunk(found, truth), truth, weight)


def shrunk(found: FloatArray, truth: Truth) -> FloatArray:
    r"""Mix the shares of each fold with the common ones as suits the other folds, `(m, n_labels)`.

    .. math:: (1 - \lambda) p + \lambda c, \qquad
        \lambda = \frac{\sum (p - q) \cdot (p - c)}{\sum |p - c|^2}

    has the smallest Brier score on the cells of the other folds, with predicted shares :math:`p`,
    true ones :math:`q`, and common ones :math:`c`; it is kept between 0 and 1.
    """
    step = found - truth.common
    along = ((found - truth.shares) * step).sum(axis=1)
    square = (step**2).sum(axis=1)
    made = found.copy()
    for k in np.unique(truth.fold):
        here = truth.fold == k
        total = square[~here].sum()
        share = np.clip(along[~here].sum() / total, 0.0, 1.0) if total > 0 else 0.0
        made[here] -= share * step[here]
    return made


def correlation(found: FloatArray, truth: Truth, weight: FloatArray) -> FloatArray:
    """Pearson's correlation of the predicted bias with that of the clone, `(b,)`.

    NaN where one of them does not vary.
    """
    known = np.flatnonzero(~np.isnan(truth.bias))
    x = bias_of(found[known], truth.pair, truth.missing)
    y = truth.bias[known]
    w = weight[:, known]
    total = w.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        w = w / total[:, None]
        # Around the plain means, so that the differences below do not cancel.
        x = x - (x.mean() if len(x) else 0.0)
        y = y - (y.mean() if len(y) else 0.0)
        mean_x = w @ x
        mean_y = w @ y
        var_x = w @ x**2 - mean_x**2
        var_y = w @ y**2 - mean_y**2
        found_r = (w @ (x * y) - mean_x * mean_y) / np.sqrt(var_x * var_y)
    least = _ROUNDING
    return np.where((var_x > least) & (var_y > least), found_r, np.nan)


def auroc(found: FloatArray, truth: Truth, weight: FloatArray) -> FloatArray:
    """Area under the ROC curve of the predicted bias, `(b,)`.

    It is the chance that a cell whose clone has more of the first label has the larger predicted
    bias than one whose clone has more of the second; ties count half. Clones with as many of one
    as of the other are left out.
    """
    clear = np.flatnonzero(~np.isnan(truth.bias) & (truth.bias != 0.5))
    if len(clear) == 0:
        return np.full(len(weight), np.nan)
    x = bias_of(found[clear], truth.pair, truth.missing)
    order = np.argsort(x, kind="stable")
    above = (truth.bias[clear] > 0.5)[order]
    w = weight[:, clear[order]]
    starts = np.flatnonzero(np.r_[True, np.diff(x[order]) > 0])
    positive = np.add.reduceat(w * above, starts, axis=1)
    negative = np.add.reduceat(w * ~above, starts, axis=1)
    below = np.cumsum(negative, axis=1) - 0.5 * negative
    total = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (positive * below).sum(axis=1) / total, np.nan)


class Measure(NamedTuple):
    """A measure of predicted shares: `(found, truth, weight) -> (b,)`."""

    value: Callable[[FloatArray, Truth, FloatArray], FloatArray]
    sign: float  # 1 where larger is better, else -1
    judged: bool  # whether a verdict counts it


#: Measures by name.
MEASURES = {
    "accuracy": Measure(accuracy, 1.0, judged=True),
    "brier": Measure(brier, -1.0, judged=False),
    "brier_calibrated": Measure(calibrated_brier, -1.0, judged=True),
    "r": Measure(correlation, 1.0, judged=True),
    "auroc": Measure(auroc, 1.0, judged=True),
}


def draws(unit: IntArray, n: int, rng: np.random.Generator) -> FloatArray:
    """Weights of cells, `(1 + n, m)`: ones, and `n` bootstraps of whole units.

    Parameters
    ----------
    unit
        Number of the unit of each cell, `(m,)`.
    n
        How many.
    rng
        Draws as many units as there are, with replacement; a cell counts as often as its unit.
    """
    known, member = np.unique(unit, return_inverse=True)
    k = len(known)
    drawn = rng.multinomial(k, np.full(k, 1.0 / k), size=n)
    counts = np.concatenate([np.ones((1, k), dtype=drawn.dtype), drawn])
    return counts[:, member.reshape(-1)].astype(np.float64)


def _mean(values: FloatArray, weight: FloatArray) -> FloatArray:
    total = weight.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, weight @ values / total, np.nan)
