"""Temperature and offsets of probabilities, by the score of what was observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.analysis.calibration.judged import Judged
from cellflow.core._typing import FloatArray

__all__ = ["BOUNDS", "Fit", "Scaling", "fitted"]

#: Smallest and largest temperature.
BOUNDS = (0.05, 20.0)
#: Precision of the prior of offsets: normal with a standard deviation of one nat, as much as one
#: clone tells. Without it, a fate that no clone reaches has no finite offset.
_PRECISION = 1.0
#: Newton steps at most, and the gradient per clone at which they end.
_STEPS = 100
_GRADIENT = 1e-10


@dataclass(frozen=True, eq=False)
class Scaling:
    r"""Probabilities of another confidence: :math:`q_k \propto p_k^{1/T} e^{b_k}`.

    Parameters
    ----------
    temperature
        :math:`T`, positive. Above 1, probabilities were too certain.
    offsets
        :math:`b`, shape `(k,)`. Zero without offsets; then the order of the fates of a cell stays.
    """

    temperature: float
    offsets: FloatArray

    def __call__(self, log_p: FloatArray) -> FloatArray:
        """Probabilities `(n, k)` of the logarithms of others."""
        return _softmax(log_p / self.temperature + self.offsets)


@dataclass(frozen=True, eq=False)
class Fit:
    """A scaling with its uncertainty over clones.

    Parameters
    ----------
    scaling
        The estimate.
    log_sd
        Standard error of the logarithm of the temperature; NaN where that is at a bound.
    offsets_sd
        Standard errors of the offsets, shape `(k,)`; zero without offsets.
    n_units
        Number of clones.
    """

    scaling: Scaling
    log_sd: float
    offsets_sd: FloatArray
    n_units: int

    def interval(self, level: float) -> tuple[float, float]:
        """Interval of the temperature at a level, by Student's distribution."""
        from scipy.stats import t

        wide = float(t.ppf(0.5 + level / 2.0, self.n_units - 1)) * self.log_sd
        centre = self.scaling.temperature
        return centre * float(np.exp(-wide)), centre * float(np.exp(wide))


def fitted(judged: Judged, *, offsets: bool) -> Fit:
    r"""Fit the temperature, and the offsets if asked for, by the multinomial log score.

    Maximised is :math:`\sum_i w_i \sum_k y_{ik} \log q_{ik}`, which is concave in :math:`1/T` and
    :math:`b`, by Newton's method; weights sum to the number of clones. Offsets have a normal prior
    of standard deviation 1. Standard errors are those of an M-estimator with clones as independent
    units.

    Parameters
    ----------
    judged
        At least one cell.
    offsets
        Whether there are offsets.

    References
    ----------
    Guo et al., On calibration of modern neural networks, ICML 2017; White, A
    heteroskedasticity-consistent covariance matrix estimator, Econometrica 1980; Liang and Zeger,
    Longitudinal data analysis using generalized linear models, Biometrika 1986 (clusters).
    """
    problem = _Problem.of(judged, offsets=offsets)
    theta = _maximised(problem)
    free = problem.free(theta)
    scores = judged.by_unit(problem.scores(theta))[:, free]
    n = judged.n_units
    inverse = np.linalg.pinv(problem.curvature(theta)[np.ix_(free, free)], hermitian=True)
    covariance = inverse @ (scores.T @ scores) @ inverse * (n / max(n - 1, 1))
    sd = np.zeros(len(theta))
    # Rounding of a variance of zero.
    sd[free] = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    bounded = not free[0]
    log_sd = float("nan") if bounded or n < 2 else float(sd[0] / theta[0])
    scaling = Scaling(1.0 / float(theta[0]), theta[1:] if offsets else np.zeros(judged.n_fates))
    return Fit(scaling, log_sd, sd[1:] if offsets else np.zeros(judged.n_fates), n)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The log score as a function of `theta`: 1 / T, and the offsets if there are any."""

    log_p: FloatArray
    outcome: FloatArray
    weight: FloatArray
    offsets: bool

    @classmethod
    def of(cls, judged: Judged, *, offsets: bool) -> _Problem:
        weight = judged.weight / judged.weight.sum() * judged.n_units
        log_p = judged.log_predicted
        # Constants of a row do not matter; without them, rounding does not either.
        return cls(log_p - log_p.mean(axis=1, keepdims=True), judged.outcome, weight, offsets)

    @property
    def start(self) -> FloatArray:
        n_offsets = self.log_p.shape[1] if self.offsets else 0
        return np.append(np.ones(1), np.zeros(n_offsets))

    def probability(self, theta: FloatArray) -> FloatArray:
        return _softmax(self._logits(theta))

    def _logits(self, theta: FloatArray) -> FloatArray:
        logits: FloatArray = theta[0] * self.log_p
        return logits + theta[1:] if self.offsets else logits

    def value(self, theta: FloatArray) -> float:
        logits = self._logits(theta)
        top = logits.max(axis=1)
        total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        score = (self.outcome * logits).sum(axis=1) - total
        return float(self.weight @ score - 0.5 * _PRECISION * (theta[1:] ** 2).sum())

    def scores(self, theta: FloatArray) -> FloatArray:
        """Gradient of each cell's part, `(n, p)`, without the prior."""
        gap = self.weight[:, None] * (self.outcome - self.probability(theta))
        slope = (gap * self.log_p).sum(axis=1, keepdims=True)
        return np.concatenate([slope, gap], axis=1) if self.offsets else slope

    def gradient(self, theta: FloatArray) -> FloatArray:
        found: FloatArray = self.scores(theta).sum(axis=0)
        found[1:] -= _PRECISION * theta[1:]
        return found

    def curvature(self, theta: FloatArray) -> FloatArray:
        """Negative second derivatives, `(p, p)`."""
        p = self.probability(theta)
        off = self.log_p - (p * self.log_p).sum(axis=1, keepdims=True)
        weighted = self.weight[:, None] * p
        first = np.array([[(weighted * off**2).sum()]])
        if not self.offsets:
            return first
        cross = (weighted * off).sum(axis=0)[:, None]
        own = np.diag(weighted.sum(axis=0) + _PRECISION) - weighted.T @ p
        return np.block([[first, cross.T], [cross, own]])

    def free(self, theta: FloatArray) -> np.ndarray:
        """Which parameters are not held by a bound that the score pushes against."""
        slope = self.gradient(theta)[0]
        held = (theta[0] >= 1.0 / BOUNDS[0] and slope > 0) or (
            theta[0] <= 1.0 / BOUNDS[1] and slope < 0
        )
        return np.append(not held, np.ones(len(theta) - 1, dtype=bool))


def _maximised(problem: _Problem) -> FloatArray:
    """The best parameters, by Newton steps that are halved until the score rises."""
    theta = problem.start
    value = problem.value(theta)
    enough = _GRADIENT * problem.weight.sum()
    for _ in range(_STEPS):
        free = problem.free(theta)
        slope = problem.gradient(theta)[free]
        if len(slope) == 0 or np.abs(slope).max() <= enough:
            break
        curvature = problem.curvature(theta)[np.ix_(free, free)]
        step = np.linalg.pinv(curvature) @ slope
        better = _along(problem, theta, free, step, value)
        if better is None:
            break
        theta, value = better
    return theta


def _along(
    problem: _Problem, theta: FloatArray, free: np.ndarray, step: FloatArray, value: float
) -> tuple[FloatArray, float] | None:
    """The first of the step, its half, its quarter, ... with a better score; None for none."""
    for halvings in range(40):
        there = theta.copy()
        there[free] += 0.5**halvings * step
        there[0] = min(max(there[0], 1.0 / BOUNDS[1]), 1.0 / BOUNDS[0])
        found = problem.value(there)
        if found > value:
            return there, found
    return None


def _softmax(logits: FloatArray) -> FloatArray:
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))
