r"""p-values of genes against comparable genes, against random directions, and against chance.

Fates are smooth functions of the state, and so are genes, as far as the representation sees them.
Two smooth functions of few coordinates correlate, with or without a relation, and nearly every gene
would be significant by a permutation of the cells. So a gene is compared with what would take its
place: itself in another direction of the state. All statistics :math:`T` are linear in the
direction of the gene in the whitened state, and have a largest possible size :math:`m` (which
depends on how much of the gene the representation sees). In a random direction of :math:`d`
dimensions,

.. math:: \frac{T^2}{m^2} = \cos^2\theta \sim \mathrm{Beta}\bigl(\tfrac12, \tfrac{d-1}2\bigr)

Directions of genes are not uniform: most genes vary along the first components, and so do most
fates. So :math:`d` is estimated, as the dimension at which the median of :math:`T^2 / m^2` among
comparable genes, those nearest in mean expression and variance, is that of the law. How much of a
gene the representation sees is in :math:`m` already, and is not matched: the genes of a large
programme are decoded alike, and would be compared with themselves. Genes that do drive hardly
change a median while they are a minority. Where there are too few genes
all of them are taken, and :math:`d` is at most that of the state.

That is a strict question: where a whole programme goes with the fate, its genes are like each
other, and none stands out. The other question is whether a statistic differs from zero by more than
its standard error, over cells or samples and between members of an ensemble. A single flow does not
know its own error. There, the statistic has to be larger than in a random direction, with the
effective number of dimensions in which genes vary, whatever the fate.

References
----------
Efron, Large-scale simultaneous hypothesis testing: the choice of a null hypothesis, JASA 2004 (a
null estimated from the bulk); Goeman and Buehlmann, Analyzing gene expression data in terms of gene
sets, Bioinformatics 2007 (competitive tests); Smyth, Linear models and empirical Bayes methods for
assessing differential expression, 2004 (moderated variances); Berger, Multiparameter hypothesis
testing and acceptance sampling, Technometrics 1982 (the larger p-value).
"""

from __future__ import annotations

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray

__all__ = [
    "FEW",
    "comparable",
    "dimension_at",
    "moderated",
    "p_of_chance",
    "p_of_directions",
    "spread_of_directions",
]

#: Genes below which all of them are compared with each other, whatever their expression.
FEW = 100
#: Comparable genes of a gene.
_COMPARABLE = 200
#: Dimensions at which the median of the law is tabulated.
_DIMENSIONS = 400
#: Dimensions and degrees of freedom that are as good as infinitely many.
_LARGEST = 1e6
#: A number of dimensions is above 1 by so much.
_ROUNDING = 1e-2
#: Genes from which variances are moderated.
_MODERATED = 10


def comparable(features: FloatArray, kind: np.ndarray) -> IntArray:
    """Rows of the genes nearest to each in the ranks of some features, itself included, `(g, k)`.

    Parameters
    ----------
    features
        Shape `(g, f)`.
    kind
        Of each gene, shape `(g,)`; those of another kind are taken where there are too few.
    """
    from scipy.stats import rankdata

    ranks = rankdata(features, axis=0) / max(len(features), 1)
    _, number = np.unique(kind, return_inverse=True)
    # Ranks differ by at most 1.
    ranks = np.column_stack([ranks, 10.0 * number.reshape(-1)])
    return nearest(ranks, ranks, min(_COMPARABLE, len(features)))[1]


def dimension_at(median: FloatArray) -> FloatArray:
    """Dimension, above 1, at which squared cosines of random directions have a median, `(g,)`.

    Examples
    --------
    >>> dimension_at(np.array([0.5])).round(2)  # in two dimensions, of angles up to 45 degrees
    array([2.])
    """
    from scipy.stats import beta

    beyond = np.geomspace(1e-2, _LARGEST, _DIMENSIONS)
    known = beta.median(0.5, 0.5 * beyond)
    # Between tabulated ones logarithms are nearly linear; larger medians have fewer dimensions.
    sought = np.log(np.clip(median, known[-1], known[0]))
    return 1.0 + np.exp(np.interp(-sought, -np.log(known), np.log(beyond)))


def spread_of_directions(latent: FloatArray) -> float:
    r"""Effective number of dimensions in which genes vary, above 1.

    With the second moment :math:`M` of their correlations with the whitened state,
    :math:`(\mathrm{tr} M)^2 / \mathrm{tr} M^2`: all dimensions where genes are spread alike, one
    where all follow a single direction. A fate of any such direction correlates with a gene as if
    there were so many independent cells.

    Parameters
    ----------
    latent
        Correlations, shape `(g, d)`.

    References
    ----------
    Dutilleul, Modifying the t test for assessing the correlation between two spatial processes,
    Biometrics 1993 (effective numbers of smooth fields).
    """
    moment = latent.T @ latent
    square = float((moment**2).sum())
    if square == 0.0:
        return 1.0 + _ROUNDING
    return max(float(np.trace(moment)) ** 2 / square, 1.0 + _ROUNDING)


def p_of_directions(
    value: FloatArray,
    most: FloatArray,
    n_dims: FloatArray | float,
    noise: FloatArray | float = 0.0,
) -> FloatArray:
    """p-values `(g,)` of statistics that are `most` times the cosine of a random direction.

    Parameters
    ----------
    value
        Shape `(g,)`.
    most
        The largest value that a direction can give, shape `(g,)`.
    n_dims
        Dimension of the space of directions, above 1, `(g,)` or one.
    noise
        Standard deviation of a part that does not depend on the direction, `(g,)` or one. The law
        is that of a cosine with the variance of both.
    """
    from scipy.stats import beta

    beyond = np.asarray(n_dims, dtype=np.float64) - 1.0
    size = np.square(most) + (beyond + 1.0) * np.square(noise)
    cosine = np.divide(np.square(value), size, out=np.zeros(len(value)), where=size > 0)
    return np.asarray(beta.sf(np.minimum(cosine, 1.0), 0.5, 0.5 * beyond))


def p_of_chance(value: FloatArray, variances: list[tuple[FloatArray, float]]) -> FloatArray:
    """p-values `(g,)` of values by Student's t, against zero.

    Parameters
    ----------
    value
        Shape `(g,)`.
    variances
        Independent parts of the variance, `(g,)`, each with its degrees of freedom; together they
        have those of Satterthwaite.
    """
    from scipy.stats import t

    total = np.sum([variance for variance, _ in variances], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sum([variance**2 / degrees for variance, degrees in variances], axis=0)
        freedom = np.where(spread > 0, total**2 / spread, np.inf)
        size = np.abs(value) / np.sqrt(total)
        p = 2.0 * t.sf(size, freedom)
    return np.asarray(np.where(total > 0, p, np.where(value == 0, 1.0, 0.0)))


def moderated(variance: FloatArray, degrees: float) -> tuple[FloatArray, float]:
    r"""Variances of few degrees of freedom, drawn towards their common value.

    If true variances of genes are :math:`s_0^2` times an inverse :math:`\chi^2` of :math:`d_0`
    degrees, the mean of the posterior is :math:`(d_0 s_0^2 + d s^2) / (d_0 + d)`, of
    :math:`d_0 + d` degrees. :math:`d_0` and :math:`s_0^2` are estimated from all genes (Smyth).

    Parameters
    ----------
    variance
        Of each gene, shape `(g,)`; NaN and zeros take no part.
    degrees
        Of freedom of each.

    Returns
    -------
    The variances, and their degrees of freedom.
    """
    from scipy.special import digamma, polygamma

    known = np.isfinite(variance) & (variance > 0)
    if known.sum() < _MODERATED or degrees <= 0:
        return variance, degrees
    logs = np.log(variance[known]) - digamma(0.5 * degrees) + np.log(0.5 * degrees)
    excess = float(logs.var(ddof=1) - polygamma(1, 0.5 * degrees))
    prior = 2.0 * _inverse_trigamma(excess) if excess > 0 else _LARGEST
    prior = min(prior, _LARGEST)
    common = float(np.exp(logs.mean() + digamma(0.5 * prior) - np.log(0.5 * prior)))
    drawn = (prior * common + degrees * variance) / (prior + degrees)
    return np.where(np.isnan(variance), np.nan, drawn), degrees + prior


def _inverse_trigamma(value: float) -> float:
    """Where the trigamma function, which falls, has a value."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    return float(brentq(lambda x: float(polygamma(1, x)) - value, 1e-6, 1e6))
