"""Calibration of clones by others: cross-validation, and the choice of offsets by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.analysis.calibration.judged import Judged
from cellflow.analysis.calibration.scaling import fitted
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Crossed", "crossed", "is_better"]

#: Folds within a fold, for the choice of offsets.
_INNER = 5


@dataclass(frozen=True, eq=False)
class Crossed:
    """Probabilities of cells whose clones took no part in the calibration.

    Parameters
    ----------
    probability
        Shape `(n, k)`.
    before, after
        Mean log score of each clone's cells, in nats, shape `(n_units,)`: of the smoothed
        probabilities that were predicted, and of the calibrated ones.
    weight
        Weight of each clone, of sum one, shape `(n_units,)`.
    """

    probability: FloatArray
    before: FloatArray
    after: FloatArray
    weight: FloatArray

    @property
    def gain(self) -> tuple[float, float]:
        """Mean of the difference of the log scores, and its standard error over clones."""
        return _mean_with_error(self.after - self.before, self.weight)


def crossed(judged: Judged, n_folds: int, seed: int, *, offsets: bool | None) -> Crossed:
    """Calibrate every clone by the clones of the other folds.

    Parameters
    ----------
    judged
        Cells of at least two clones.
    n_folds
        Parts of the clones; at most as many as there are clones.
    seed
        Of the split, which depends on the clones' numbers only.
    offsets
        Whether there are offsets; None: chosen in each fold, by the clones of the others.
    """
    rng = np.random.default_rng(seed)
    fold = _folds(judged.n_units, n_folds, rng)
    probability = np.empty_like(judged.predicted)
    log_p = judged.log_predicted
    for number in range(fold.max() + 1):
        others = judged.part(fold != number)
        chosen = is_better(others, seed) if offsets is None else offsets
        here = fold[judged.unit] == number
        probability[here] = fitted(others, offsets=chosen).scaling(log_p[here])
    weight = judged.by_unit(judged.weight)

    def score(logs: FloatArray) -> FloatArray:
        each = judged.weight * (judged.outcome * logs).sum(axis=1)
        return judged.by_unit(each) / weight

    # An offset may make a probability so small that its logarithm is not finite.
    after = score(np.log(np.maximum(probability, np.finfo(np.float64).tiny)))
    return Crossed(probability, score(log_p), after, weight / weight.sum())


def is_better(judged: Judged, seed: int) -> bool:
    """Whether offsets beside the temperature predict clones better, by more than a standard error.

    Both are compared on clones that were kept out, five folds of them.
    """
    if judged.n_units < 2:
        return False
    without = crossed(judged, _INNER, seed, offsets=False)
    with_offsets = crossed(judged, _INNER, seed, offsets=True)
    gain, error = _mean_with_error(with_offsets.after - without.after, without.weight)
    return gain > error


def _folds(n: int, n_folds: int, rng: np.random.Generator) -> IntArray:
    """Fold of each of `n` clones, of equal sizes but for one."""
    return np.asarray(rng.permutation(np.arange(n) % min(n_folds, n)), dtype=np.int64)


def _mean_with_error(values: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Weighted mean over clones, and its standard error."""
    n = len(values)
    mean = float(weight @ values)
    return mean, float(np.sqrt((weight**2 * (values - mean) ** 2).sum() * n / max(n - 1, 1)))
