"""Expression over time: means over paths, their spread, and what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from cellflow.analysis.trends.sums import Sums
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.analysis.trends.paths import Stretch
    from cellflow.core.decoder import Decoder
    from cellflow.core.population import Snapshots

__all__ = ["Parts", "Trends", "measured", "residuals", "trends"]

#: Part of each cell in each trend, from 0 to 1, of some rows with some contexts:
#: `(rows, context) -> (n, c)`.
Parts: TypeAlias = "Callable[[IntArray, FloatArray | None], FloatArray]"


@dataclass(frozen=True, eq=False)
class Trends:
    """Trends of genes.

    Parameters
    ----------
    mean
        Mean expression, shape `(c, T, g)`: the measured expression of the moved cells, plus the
        change that their motion is decoded to. NaN where no mass is.
    decoded
        Mean of what the states alone are decoded to, shape `(c, T, g)`.
    sd
        Standard deviation between single cells, shape `(c, T, g)`; None where it was not asked for.
    share
        Share of the population that each trend is of, shape `(c, T)`.
    n_eff
        Effective number of cells, shape `(c, T)`.
    off
        Share of the trend's mass that leads to where no cell was measured, shape `(c, T)`.
    """

    mean: FloatArray
    decoded: FloatArray
    sd: FloatArray | None
    share: FloatArray
    n_eff: FloatArray
    off: FloatArray


def trends(
    paths: Iterable[Stretch],
    n_times: int,
    parts: Parts,
    expression: FloatArray,
    decoder: Decoder,
    residual: FloatArray | None = None,
) -> Trends:
    r"""Mean expression over paths at each time, and its spread between cells.

    With the masses :math:`m_i(t)` of the paths, the part :math:`p_i` of each in a trend (the
    probability of a fate, say), and the decoder's loadings :math:`W`, the mean is

    .. math::
        \frac{\sum_i m_i(t)\, p_i\, [\, y_i + W (x_i(t) - x_i) \,]}{\sum_i m_i(t)\, p_i}

    A moved cell keeps what its measured expression :math:`y_i` differs by from what its position
    decodes to. So the trend at the time of a snapshot is the mean of its cells for every gene,
    however much of the gene the decoder sees. The variance between single cells is that of the
    decoded states, plus that of the residuals of the same cells, with the same weights.

    Parameters
    ----------
    paths
        See `stretches`.
    n_times
        Times of the grid.
    parts
        Part of cells in each trend.
    expression
        Of all cells, by their rows, shape `(n, g)`.
    decoder
        Of these genes.
    residual
        Of the decoder, in the same rows, shape `(n, g)`; see `residuals`. None where no standard
        deviations are asked for.

    References
    ----------
    Kish, Survey Sampling, 1965 (the effective number of cells).
    """
    spread = residual is not None
    sums: dict[int, Sums] = {}
    share: dict[int, FloatArray] = {}
    origin = None
    for stretch in paths:
        part = parts(stretch.rows, stretch.context)
        origin = stretch.x.mean(axis=0) if origin is None else origin
        if stretch.source not in sums:
            size = (part.shape[1], len(origin), expression.shape[1])
            sums[stretch.source] = Sums.zeros(n_times, *size, spread=spread)
            share[stretch.source] = np.zeros(n_times)
            share[stretch.source][stretch.at] = stretch.share
        own = None if residual is None else residual[stretch.rows]
        sums[stretch.source].add(stretch, part, expression[stretch.rows], own, origin)
    if origin is None:
        # No snapshot is near any of the times.
        n_trends = parts(np.zeros(0, dtype=np.int64), None).shape[1]
        origin = np.zeros(decoder.loadings.shape[1])
        size = (n_trends, len(origin), expression.shape[1])
        return _made(Sums.zeros(n_times, *size, spread=spread), origin, decoder, spread=spread)
    whole = reduce(add, (sums[k].scaled(share[k]) for k in sums))
    return _made(whole, origin, decoder, spread=spread)


def _made(sums: Sums, origin: FloatArray, decoder: Decoder, *, spread: bool) -> Trends:
    """Means and variances from sums."""
    weight = sums.weight

    def mean(values: FloatArray) -> FloatArray:
        """Of a sum over masses, with the trend first; NaN without mass."""
        total = weight.reshape(*weight.shape, *[1] * (values.ndim - 2))
        empty = np.full_like(values, np.nan)
        return np.divide(values, total, out=empty, where=total > 0).swapaxes(0, 1)

    x = mean(sums.x)
    decoded = decoder.mean + (x + origin) @ decoder.loadings.T
    moved = mean(sums.y) + mean(sums.move) @ decoder.loadings.T
    sd = None
    if spread:
        covariance = mean(sums.xx) - x[..., None] * x[..., None, :]
        # A cell's residual does not change on its way.
        variance = np.maximum(mean(sums.ee) - (moved - decoded) ** 2, 0.0)
        sd = np.sqrt(variance + np.maximum(_decoded_variance(covariance, decoder), 0.0))
    n_eff = np.zeros_like(weight)
    np.divide(weight**2, sums.square, out=n_eff, where=weight > 0)
    share = np.zeros_like(weight)
    np.divide(weight, sums.total[:, None], out=share, where=sums.total[:, None] > 0)
    return Trends(moved, decoded, sd, share.T, n_eff.T, np.nan_to_num(mean(sums.off)))


def _decoded_variance(covariance: FloatArray, decoder: Decoder) -> FloatArray:
    r"""Variances :math:`W_g^T S W_g` of genes, `(c, T, g)`, from covariances `(c, T, d, d)`."""
    found = np.empty((*covariance.shape[:2], len(decoder.genes)))
    for place in np.ndindex(*covariance.shape[:2]):
        found[place] = ((decoder.loadings @ covariance[place]) * decoder.loadings).sum(axis=1)
    return found


def residuals(x: FloatArray, expression: FloatArray, decoder: Decoder) -> FloatArray:
    """What the decoder leaves of the expression of cells, float32, shape `(n, g)`.

    Each gene's are scaled to the size that they have on cells kept out of the regression, by the
    held-out R2; they are not made smaller.

    Parameters
    ----------
    x
        Positions, shape `(n, d)`.
    expression
        Shape `(n, g)`.
    decoder
        Of these genes.
    """
    found = (expression - decoder.positions(x)).astype(np.float32)
    if decoder.gene_r2 is None:
        return found
    kept_out = (1.0 - decoder.gene_r2) * np.var(expression, axis=0, dtype=np.float64)
    own = np.mean(np.square(found, dtype=np.float64), axis=0)
    ratio = np.divide(kept_out, own, out=np.ones_like(own), where=own > 0)
    return np.asarray(found * np.sqrt(np.maximum(ratio, 1.0)), dtype=np.float32)


def measured(
    snapshots: Snapshots, grid: FloatArray, parts: Parts, expression: FloatArray
) -> FloatArray:
    """Weighted mean of the measured cells at the times of snapshots, `(c, T, g)`; else NaN."""
    found = None
    for population in snapshots.populations:
        part = parts(population.index, population.context) * population.weight[:, None]
        if found is None:
            found = np.full((part.shape[1], len(grid), expression.shape[1]), np.nan)
        total = part.sum(axis=0)
        sums = part.T @ np.asarray(expression[population.index], dtype=np.float64)
        mean = np.divide(
            sums, total[:, None], out=np.full_like(sums, np.nan), where=total[:, None] > 0
        )
        found[:, grid == population.time] = mean[:, None]
    return np.asarray(found)
