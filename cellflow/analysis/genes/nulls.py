r"""p-values of genes against comparable genes, against random directions, and against chance.

Fates are smooth functions of the state, and so are genes, as far as the representation sees them.
Two smooth functions of few coordinates correlate, with or without a relation, and every gene would
be significant by a permutation of the cells. So a gene is compared with what would take its place:

- **comparable genes**: those nearest to it in mean expression, variance and decodability. Their
  statistics have the scale :math:`s = 1.4826\,\mathrm{median}\,|T|`, which genes that do drive
  hardly widen while they are a minority, and :math:`z = T / s` is compared with a normal law;
- **random directions**, where there are too few genes: the gene keeps its own values and how much
  of it the representation sees, but its direction in the whitened latent space is uniform on the
  sphere. A statistic of largest possible size :math:`m` then is :math:`m \cos\theta`, with
  :math:`\cos^2\theta \sim \mathrm{Beta}(\tfrac12, \tfrac{d-1}2)`.

A statistic also has to differ from zero by its standard error; of both p-values the larger counts
(intersection-union test).

References
----------
Efron, Large-scale simultaneous hypothesis testing: the choice of a null hypothesis, JASA 2004;
Goeman and Buehlmann, Analyzing gene expression data in terms of gene sets, Bioinformatics 2007
(competitive tests); Smyth, Linear models and empirical Bayes methods for assessing differential
expression, 2004 (moderated variances); Berger, Multiparameter hypothesis testing and acceptance
sampling, Technometrics 1982 (the larger p-value).
"""

from __future__ import annotations

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["FEW", "comparable", "moderated", "p_of_chance", "p_of_directions", "scale_among"]

#: Genes below which their own spread says too little about comparable genes.
FEW = 100
#: Comparable genes of a gene; the scale is known to 6 % then.
_COMPARABLE = 200
#: Ratio of the standard deviation of a normal law to its median absolute value.
_NORMAL = 1.4826
#: Angles by which a law on the sphere is represented.
_ANGLES = 512
#: Genes from which variances are moderated.
_MODERATED = 10


def comparable(features: FloatArray) -> IntArray:
    """Rows of the genes nearest to each in the ranks of some features, itself included, `(g, k)`.

    Parameters
    ----------
    features
        Shape `(g, f)`.
    """
    from scipy.stats import rankdata

    ranks = rankdata(features, axis=0) / max(len(features), 1)
    return nearest(ranks, ranks, min(_COMPARABLE, len(features)))[1]


def scale_among(values: FloatArray, others: IntArray) -> FloatArray:
    """Robust scale of the statistics of the comparable genes of each, `(g,)`, about zero."""
    return np.asarray(_NORMAL * np.nanmedian(np.abs(values)[others], axis=1))


def p_of_directions(
    value: FloatArray, most: FloatArray, n_dims: int, noise: FloatArray | float = 0.0
) -> FloatArray:
    """p-values `(g,)` of statistics that are `most` times the cosine of a random direction.

    Parameters
    ----------
    value
        Shape `(g,)`.
    most
        The largest value that a direction can give, shape `(g,)`.
    n_dims
        Dimension of the space of directions.
    noise
        Standard deviation of what does not depend on the direction, `(g,)` or one.
    """
    from scipy.stats import beta, norm

    size = np.abs(value)
    if not np.any(noise):
        if n_dims == 1:
            return np.where(size <= most, 1.0, 0.0)
        square = np.divide(size, most, out=np.full(len(size), np.inf), where=most > 0) ** 2
        return np.asarray(beta.sf(np.minimum(square, 1.0), 0.5, 0.5 * (n_dims - 1)))
    levels = (np.arange(_ANGLES) + 0.5) / _ANGLES
    cosine = np.ones(_ANGLES) if n_dims == 1 else np.sqrt(beta.ppf(levels, 0.5, 0.5 * (n_dims - 1)))
    centre = most[:, None] * cosine
    width = np.broadcast_to(noise, value.shape)[:, None]
    above = norm.sf((size[:, None] - centre) / width) + norm.cdf((-size[:, None] - centre) / width)
    return np.asarray(above.mean(axis=1))


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


def moderated(variance: FloatArray, degrees: float, most: float) -> tuple[FloatArray, float]:
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
    most
        Degrees of freedom of the result, at most: genes are not independent of each other.

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
    prior = 2.0 * _inverse_trigamma(excess) if excess > 0 else np.inf
    prior = min(prior, max(most - degrees, 0.0))
    if prior == 0.0:
        return variance, degrees
    common = float(np.exp(logs.mean() + digamma(0.5 * prior) - np.log(0.5 * prior)))
    drawn = (prior * common + degrees * variance) / (prior + degrees)
    return np.where(np.isnan(variance), np.nan, drawn), degrees + prior


def _inverse_trigamma(value: float) -> float:
    """Where the trigamma function, which falls, has a value."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    return float(brentq(lambda x: float(polygamma(1, x)) - value, 1e-6, 1e6))
