r"""When two populations begin to differ by more than their samples do.

The energy distance of two populations is the squared distance of two points in a Hilbert space. At
one time, let :math:`A` and :math:`B` be the samples of the two conditions. The estimate

.. math::  D = \operatorname*{mean}_{a \in A, b \in B} E_{ab}
           - \tfrac12 \operatorname*{mean}_{a \ne a' \in A} E_{aa'}
           - \tfrac12 \operatorname*{mean}_{b \ne b' \in B} E_{bb'}

is zero on average where samples of both conditions vary about the same point, however much.

Its size is judged by the variation between samples of either condition. Let :math:`u` be the
contrast of the two means, of length one, and :math:`G` the Gram matrix of the samples. Without a
difference, :math:`u^T G u` has the mean

.. math::  m = \alpha \operatorname{tr} \Sigma_A + \beta \operatorname{tr} \Sigma_B, \qquad
           \alpha = \frac{1 / n_A}{1 / n_A + 1 / n_B}, \quad \beta = 1 - \alpha

with the covariances :math:`\Sigma` of the samples of the conditions, cells being samples of a
population included. Their traces are estimated from the residuals of each condition, pooled over
the times; they may differ, and so may the numbers of samples and of cells. The ratio of
:math:`u^T G u` to the estimate of :math:`m` is roughly that of an F distribution (Box, 1954), with
:math:`\nu = m^2 / \operatorname{tr} (\alpha \Sigma_A + \beta \Sigma_B)^2` degrees of freedom, and
those of Satterthwaite, times :math:`\nu`. Of :math:`\Sigma`, Gram matrices of the residuals are
taken. With few samples this makes :math:`\nu` too small rather than too large, and the test
conservative; an unbiased :math:`\nu` rejects too often, because the F distribution is too short in
the tail.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellflow.analysis.comparison.course import Course
from cellflow.core._neighbors import squared_distances
from cellflow.core._typing import FloatArray
from cellflow.core.population import Population

__all__ = ["ALPHA", "Divergence", "divergence", "energy_distances", "first_diverged"]

#: Level of the test whether the populations have diverged.
ALPHA = 0.05


class Divergence(NamedTuple):
    """At each time at which the conditions differ: distances and p-values, each `(t,)`."""

    times: FloatArray
    distance: FloatArray  # estimate of the energy distance; below zero by chance
    within: FloatArray  # mean energy distance of two samples of one condition
    p: FloatArray
    adjusted: FloatArray  # of "not diverged at any time up to this one"
    last_before: float  # last time without a shown difference before it; NaN for none
    first: float  # first time at which the populations have diverged; NaN for none


def energy_distances(populations: list[Population]) -> FloatArray:
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
    distance = []
    within = []
    parts = []
    for k in numbers:
        blocks = design.at(k)
        kind = design.condition[design.unit[blocks]]
        energy = energy_distances([course.blocks[b].population for b in blocks])
        parts.append(_decomposed(-0.5 * energy, kind))
        distance.append(_excess(energy, kind))
        within.append(_within(energy, kind))
    # A sample that is measured at several times counts once.
    free = [int((design.condition == c).sum()) - 1 for c in (0, 1)]
    p = _tested(parts, free)
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


class _Parts(NamedTuple):
    """Of one time: the contrast, and of the residuals their traces, squares and degrees."""

    contrast: float
    share: FloatArray  # of either condition in the variance of the contrast, `(2,)`
    trace: FloatArray  # `(2,)`
    square: float  # trace of the square of the covariance of the contrast
    degrees: FloatArray  # `(2,)`


def _decomposed(gram: FloatArray, kind: np.ndarray) -> _Parts:
    count = np.array([(kind == c).sum() for c in (0, 1)])
    u = np.where(kind == 1, 1.0 / count[1], -1.0 / count[0])
    u /= np.linalg.norm(u)
    share = (1.0 / count) / (1.0 / count).sum()
    centre = [
        np.diag(1.0 * (kind == c)) - np.outer(kind == c, kind == c) / count[c] for c in (0, 1)
    ]
    degrees = count - 1.0
    inner = [[centre[a] @ gram @ centre[b] for b in (0, 1)] for a in (0, 1)]
    scale = share / degrees
    square = sum(
        float(scale[a] * scale[b] * (inner[a][b] ** 2).sum()) for a in (0, 1) for b in (0, 1)
    )
    trace = np.array([np.trace(inner[c][c]) for c in (0, 1)])
    return _Parts(float(u @ gram @ u), share, trace, square, degrees)


def _tested(parts: list[_Parts], free: list[int]) -> FloatArray:
    """p-values of the contrasts `(t,)`; see the top of this module."""
    from scipy.stats import f as fisher

    degrees = np.sum([part.degrees for part in parts], axis=0)
    sigma = np.sum([part.trace for part in parts], axis=0) / degrees
    degrees = np.minimum(degrees, free)
    terms = np.array([part.share * sigma for part in parts])
    mean = terms.sum(axis=1)
    contrast = np.array([part.contrast for part in parts])
    if not (mean > 0).all():
        return np.where(contrast > 0, 0.0, 1.0)
    own = [(part.share * part.trace / part.degrees).sum() for part in parts]
    spread = max(1.0, float(np.mean(own) ** 2 / np.mean([part.square for part in parts])))
    below = spread * mean**2 / (terms**2 / degrees).sum(axis=1)
    return np.asarray(fisher.sf(contrast / mean, spread, below), dtype=np.float64)


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
