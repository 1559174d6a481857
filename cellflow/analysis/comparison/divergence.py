r"""When two populations begin to differ by more than their samples do.

The energy distance of two populations is the squared distance of two points in a Hilbert space. At
one time, let :math:`A` and :math:`B` be the samples of the two conditions. The estimate

.. math::  D = \operatorname*{mean}_{a \in A, b \in B} E_{ab}
           - \tfrac12 \operatorname*{mean}_{a \ne a' \in A} E_{aa'}
           - \tfrac12 \operatorname*{mean}_{b \ne b' \in B} E_{bb'}

is zero on average where samples of both conditions vary about the same point, however much.

Its size is judged by the variation between samples of one condition at one time. The contrast
:math:`u` of the two means and the other directions :math:`r_1, ..., r_m` of the samples of that
time are orthonormal; without a difference, :math:`u^T G u` and :math:`r_j^T G r_j` with the Gram
matrix :math:`G` of the samples have the same mean :math:`\operatorname{tr} \Sigma`, with the
covariance :math:`\Sigma` of the samples. The :math:`r_j` of all times are pooled. For Gaussian
variation, the ratio of :math:`u^T G u` to the mean of the :math:`r_j^T G r_j` is roughly that of an
F distribution with :math:`\nu` and :math:`m \nu` degrees of freedom,
:math:`\nu = (\operatorname{tr} \Sigma)^2 / \operatorname{tr} \Sigma^2` (Box, 1954). Of
:math:`\Sigma`, the matrices :math:`R^T G R` of the times are taken, :math:`R = (r_1, ..., r_m)`.
With few samples this makes :math:`\nu` too small rather than too large, and the test conservative;
an unbiased :math:`\nu` rejects too often, because the F distribution is too short in the tail.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellflow.analysis.comparison.course import Course
from cellflow.analysis.comparison.design import SHARED
from cellflow.core._neighbors import squared_distances
from cellflow.core._typing import FloatArray
from cellflow.core.population import Population

__all__ = ["ALPHA", "Divergence", "divergence", "first_diverged", "sample_distances"]

#: Level of the test whether the populations have diverged.
ALPHA = 0.05


class Divergence(NamedTuple):
    """At each time at which the conditions differ: distances and p-values, each `(t,)`."""

    times: FloatArray
    distance: FloatArray  # estimate of the energy distance; below zero by chance
    within: FloatArray  # mean energy distance of two samples of one condition
    p: FloatArray
    adjusted: FloatArray  # of "not diverged at any time up to this one"
    last_equal: float  # last time before divergence; NaN for none
    first: float  # first time at which the populations have diverged; NaN for none


def sample_distances(populations: list[Population]) -> FloatArray:
    """Energy distances of samples, shape `(k, k)`: twice the mean distance less those within."""
    n = len(populations)
    mean = np.zeros((n, n))
    for i, p in enumerate(populations):
        for j, q in enumerate(populations[: i + 1]):
            distance = np.sqrt(squared_distances(p.x, q.x))
            if i == j:
                np.fill_diagonal(distance, 0.0)
            mean[i, j] = mean[j, i] = p.weight @ distance @ q.weight
    own = np.diag(mean)
    return np.asarray(2.0 * mean - own[:, None] - own[None, :])


def divergence(course: Course) -> Divergence:
    """Test at each time that is not shared whether the conditions differ, and find the first."""
    design = course.design
    numbers = [k for k in range(len(course.times)) if not course.shared[k]]
    contrasts = []
    residuals = []
    distance = []
    within = []
    for k in numbers:
        blocks = design.at(k)
        kind = design.condition[design.unit[blocks]]
        energy = sample_distances([course.blocks[b].population for b in blocks])
        gram = -0.5 * energy
        contrast, others = _directions(kind)
        contrasts.append(float(contrast @ gram @ contrast))
        residuals.append(others.T @ gram @ others)
        distance.append(_excess(energy, kind))
        within.append(_within(energy, kind))
    # A sample that is measured at several times counts once.
    n_free = int((design.condition != SHARED).sum()) - 2
    p = _tested(np.array(contrasts), residuals, n_free)
    adjusted, at = first_diverged(p)
    times = course.times[numbers]
    before = course.times[course.times < times[at]] if at < len(times) else np.empty(0)
    return Divergence(
        times,
        np.array(distance),
        np.array(within),
        p,
        adjusted,
        float(before[-1]) if len(before) else np.nan,
        float(times[at]) if at < len(times) else np.nan,
    )


def first_diverged(p: FloatArray, alpha: float = ALPHA) -> tuple[FloatArray, int]:
    """p-values of "not diverged at any time up to this one", and the number of the first diverged.

    The hypotheses are nested, so they are tested from the last time on back to the first that is
    not rejected: a true one is rejected with a probability of at most `alpha`, however many times
    there are. Each is tested by the smallest of its p-values times their number (Bonferroni).

    Examples
    --------
    >>> first_diverged(np.array([0.5, 0.001, 0.2]))
    (array([0.5  , 0.002, 0.003]), 1)
    """
    count = np.arange(1, len(p) + 1)
    found = np.minimum(count * np.minimum.accumulate(p), 1.0)
    kept = np.flatnonzero(found > alpha)
    return found, int(kept[-1]) + 1 if len(kept) else 0


def _directions(kind: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """The contrast of the means of two kinds `(n,)`, and an orthonormal basis of the rest."""
    n = len(kind)
    means = np.stack([(kind == c) / max((kind == c).sum(), 1) for c in (0, 1)], axis=1)
    contrast = means[:, 1] - means[:, 0]
    basis = np.linalg.qr(np.concatenate([means, np.eye(n)], axis=1))[0]
    return contrast / np.linalg.norm(contrast), basis[:, 2:n]


def _tested(contrasts: FloatArray, residuals: list[FloatArray], n_free: int) -> FloatArray:
    """p-values of the contrasts `(t,)`; see the top of this module."""
    from scipy.stats import f as fisher

    inner = np.concatenate([np.diag(r) for r in residuals])
    mean = float(inner.mean())
    if mean <= 0:
        return np.where(contrasts > 0, 0.0, 1.0)
    trace = np.array([np.trace(r) for r in residuals])
    square = np.array([(r**2).sum() for r in residuals])
    spread = max(1.0, float(trace.mean() ** 2 / square.mean()))
    found = fisher.sf(contrasts / mean, spread, spread * min(len(inner), n_free))
    return np.asarray(found, dtype=np.float64)


def _excess(energy: FloatArray, kind: np.ndarray) -> float:
    between = energy[np.ix_(kind == 0, kind == 1)].mean()
    own = sum(_mean_of_pairs(energy[np.ix_(kind == c, kind == c)]) for c in (0, 1))
    return float(between - 0.5 * own)


def _within(energy: FloatArray, kind: np.ndarray) -> float:
    return 0.5 * sum(_mean_of_pairs(energy[np.ix_(kind == c, kind == c)]) for c in (0, 1))


def _mean_of_pairs(energy: FloatArray) -> float:
    """Mean over pairs of different samples; the diagonal is zero."""
    n = len(energy)
    return float(energy.sum() / (n * (n - 1)))
