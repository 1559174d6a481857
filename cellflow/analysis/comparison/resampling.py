r"""Intervals and p-values of effects, from values for other labellings and without single samples.

The interval is that of a stratified jackknife. In a group of :math:`n` samples, with
:math:`\theta_{-i}` the effect without sample :math:`i`,

.. math::  \hat\sigma^2 = \sum_\text{groups} v, \qquad
           v = \frac{n - 1}{n} \sum_i (\theta_{-i} - \bar\theta_{-})^2

and the limits are those of Student's t with the degrees of freedom of Satterthwaite, corrected for
the :math:`v` being estimates of :math:`f = n - 1` degrees of freedom each:

.. math::  \hat f = \frac{(\sum v)^2}{\sum v^2 / (f + 2)} - 2

p-values compare :math:`|\theta| / \hat\sigma` of the data with that of other labellings, each with
its own :math:`\hat\sigma`. They are exact if the conditions do not differ at all, and right in
large samples if they differ in something else (Chung and Romano, 2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cellflow.analysis.comparison.design import Design, labellings, left_out
from cellflow.core._typing import BoolArray, FloatArray, IntArray

__all__ = [
    "Inference",
    "Resampling",
    "Rows",
    "adjusted",
    "inference",
    "p_values",
    "resampling",
    "variance",
]

#: Statistics that differ by less are equal, relative to that of the data: rounding of sums.
_EQUAL = 1e-6
#: Standard deviations below this share of the values are rounding.
_ROUNDING = 1e-6


class Rows(NamedTuple):
    """Distinct weights of some blocks `(u, b)`, and where each of all weights is, `(2, l, 1 + m)`.

    Many labellings agree at the times of one interval, and the samples of one condition in one
    labelling are those of the other condition in another.
    """

    counts: FloatArray
    place: IntArray


@dataclass(frozen=True, eq=False)
class Resampling:
    """Labellings of the samples, that of the data first, and for each the samples left out in turn.

    Parameters
    ----------
    design
        Which sample is where.
    labels
        Shape `(l, n)`.
    exhaustive
        Whether these are all labellings.
    left
        Samples that are left out, shape `(m,)`.
    stratum
        Number of the stratum of each of them.
    """

    design: Design
    labels: IntArray
    exhaustive: bool
    left: IntArray
    stratum: IntArray

    @cached_property
    def counts(self) -> BoolArray:
        """Whether each block counts: by condition, labelling, sample left out (first none)."""
        alive = np.ones((1 + len(self.left), self.design.n_units), dtype=bool)
        alive[1 + np.arange(len(self.left)), self.left] = False
        every = self.design.counts(self.labels)
        kept = alive[:, self.design.unit]
        return np.asarray(every[:, :, None, :] & kept)

    @cached_property
    def group(self) -> IntArray:
        """Group of each sample that is left out in each labelling, shape `(l, m)`."""
        return np.asarray(3 * self.stratum + self.labels[:, self.left] + 1)

    def left_at(self, blocks: IntArray) -> IntArray:
        """Numbers of the samples to leave out in the strata that have cells in some blocks."""
        some = np.isin(self.left, self.design.unit[blocks])
        return np.flatnonzero(np.isin(self.stratum, self.stratum[some]))

    def rows(self, blocks: IntArray, *, whole: bool = False) -> Rows:
        """Distinct weights of some blocks; of labellings only, if `whole`, `(2, l, 1)`."""
        some = self.counts[:, :, :1, blocks] if whole else self.counts[..., blocks]
        packed = np.packbits(some.reshape(-1, len(blocks)), axis=1)
        _, first, place = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        distinct = some.reshape(-1, len(blocks))[first].astype(np.float64)
        return Rows(distinct, place.reshape(some.shape[:3]))


def resampling(design: Design, n_perm: int, rng: np.random.Generator) -> Resampling:
    """Labellings and samples to leave out."""
    left = left_out(design)
    found = labellings(design, n_perm, rng)
    return Resampling(design, found.labels, found.exhaustive, left.unit, left.stratum)


def variance(without: FloatArray, group: IntArray) -> tuple[FloatArray, FloatArray]:
    """Jackknife variances of effects `(l, q)`, and their degrees of freedom.

    Parameters
    ----------
    without
        Effects without each sample, shape `(l, m, q)`.
    group
        Of each sample, shape `(l, m)`. One that is alone in its group adds nothing.
    """
    total = np.zeros((len(without), without.shape[2]))
    squares = np.zeros(total.shape)
    for number in np.unique(group):
        mine = (group == number).astype(np.float64)
        n = np.maximum(mine.sum(axis=1), 1.0)[:, None]
        mean = np.einsum("lm,lmq->lq", mine, without) / n
        sums = np.einsum("lm,lmq->lq", mine, (without - mean[:, None, :]) ** 2)
        v = (n - 1.0) / n * sums
        total += v
        squares += v**2 / (n + 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        degrees = np.where(squares > 0, total**2 / squares - 2.0, np.inf)
    return total, np.maximum(degrees, 1.0)


class Inference(NamedTuple):
    """Effects of the data, limits of their intervals and p-values, each `(q,)`."""

    effect: FloatArray
    low: FloatArray
    high: FloatArray
    p: FloatArray  # by permutation
    p_t: FloatArray  # by Student's t, as the intervals


def inference(values: FloatArray, resampled: Resampling, level: float) -> Inference:
    """Test the differences of the two conditions.

    Parameters
    ----------
    values
        Of either condition, in every labelling, first with all samples and then without each, shape
        `(2, l, 1 + m, q)`.
    resampled
        The labellings.
    level
        Of the intervals.
    """
    from scipy.stats import t as student

    effect = values[1] - values[0]
    total, degrees = variance(effect[:, 1:], resampled.group)
    scale = np.abs(values[:, 0, 0]).max(axis=0)
    size = np.abs(effect[:, 0]) / np.sqrt(total + (_ROUNDING * scale) ** 2 + np.finfo(float).tiny)
    half = student.ppf(0.5 + level / 2.0, degrees[0]) * np.sqrt(total[0])
    own = effect[0, 0]
    by_t = 2.0 * student.sf(size[0], degrees[0])
    return Inference(own, own - half, own + half, p_values(size), by_t)


def p_values(size: FloatArray) -> FloatArray:
    """Share of labellings with a value at least as large as that of the data, which is the first.

    Parameters
    ----------
    size
        Not negative, shape `(l, q)`. A labelling for which it is not defined counts as larger. The
        data count too, so that a p-value of a random sample of labellings is never zero (Phipson
        and Smyth, 2010).
    """
    larger = (size >= size[0] * (1.0 - _EQUAL)) | np.isnan(size)
    return np.where(np.isnan(size[0]), np.nan, larger.mean(axis=0))


def adjusted(p: FloatArray) -> FloatArray:
    """p-values `(q,)` adjusted for a false discovery rate (Benjamini and Hochberg); NaN stays.

    Examples
    --------
    >>> adjusted(np.array([0.01, 0.5, np.nan, 0.02]))
    array([0.03, 0.5 ,  nan, 0.03])
    """
    known = np.flatnonzero(~np.isnan(p))
    found = np.full(p.shape, np.nan)
    if len(known) == 0:
        return found
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    found[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return found
