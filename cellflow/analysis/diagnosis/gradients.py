"""Gradients of the log-density: from the score head, from the dynamics, from the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.celltypes import same_condition
from cellflow.analysis.diagnosis.sample import Sample
from cellflow.analysis.verdict import FEW
from cellflow.core._neighbors import nearest
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from cellflow.analysis.density import EvolvingDensity

__all__ = [
    "density_gradient",
    "gradients",
    "mean_cosine",
    "mean_shift",
    "n_neighbors",
    "reliability",
]

#: Smallest number of neighbours whose mean is taken.
_NEIGHBORS = 15
#: Largest share of the cells that may be neighbours.
_LARGEST_SHARE = 0.25
#: Evaluations of the density of the dynamics for each gradient.
_SAMPLES = 128
#: Gradients of that density per snapshot: the fewest, the most, and their number times dimensions
#: in between. An evaluation costs a backward pass for every dimension.
_FEWEST = 10
_MOST = 100
_GRADIENT_DIMS = 250
#: Smallest variance of a direction, as a share of the largest.
_THIN = 1e-8
#: Streams of the seed.
_GRADIENT_CELLS = 1
_RELIABILITY = 2


def mean_shift(
    points: FloatArray, queries: FloatArray, k: int, *, weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    r"""Gradient of the log-density of a cloud, from the mean of the nearest cells.

    .. math:: \nabla \log p(x) \approx \frac{1}{h^2(x)}
              \Big(\frac{1}{k} \sum_{i \in N_k(x)} x_i - x\Big),
              \qquad h^2(x) = \frac{r_k^2(x)}{d + 2}

    with :math:`r_k` the distance to the farthest of the `k` neighbours and :math:`h^2` the
    variance, per coordinate, of the uniform kernel on the ball of that radius. It is the gradient
    of the density smoothed by this kernel, so it compares with a score under noise of standard
    deviation :math:`h`.

    Parameters
    ----------
    points
        The cloud, shape `(n, d)`.
    queries
        Where, shape `(m, d)`; a point that is also a query is no neighbour of itself.
    k
        Number of neighbours.
    weight
        Of the points, shape `(n,)`; uniform by default.

    Returns
    -------
    Gradients `(m, d)` and bandwidths `h (m,)`; NaN and zero where all neighbours are at the
    position of the query.

    References
    ----------
    Fukunaga and Hostetler, The estimation of the gradient of a density function, 1975; Cheng, Mean
    shift, mode seeking, and clustering, 1995.
    """
    points = np.asarray(points, dtype=np.float64)
    queries = np.asarray(queries, dtype=np.float64)
    _, rows = nearest(points, queries, k + 1)
    # By differences, so that a cell is at distance zero from itself, to the last bit.
    apart = np.linalg.norm(points[rows] - queries[:, None], axis=2)
    order = np.argsort(apart, axis=1, kind="stable")
    rows = np.take_along_axis(rows, order, axis=1)
    apart = np.take_along_axis(apart, order, axis=1)
    itself = apart[:, :1] == 0
    rows = np.where(itself, rows[:, 1:], rows[:, :-1])
    apart = np.where(itself, apart[:, 1:], apart[:, :-1])
    share = np.ones(rows.shape) if weight is None else np.asarray(weight, dtype=np.float64)[rows]
    bandwidth = apart[:, -1] / np.sqrt(points.shape[1] + 2.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.einsum("mk,mkd->md", share, points[rows] - queries[:, None])
        mean = total / share.sum(axis=1)[:, None]
        return mean / bandwidth[:, None] ** 2, bandwidth


def density_gradient(
    density: EvolvingDensity,
    x: FloatArray,
    t: float,
    width: FloatArray,
    *,
    mean: FloatArray,
    cov: FloatArray,
    rng: np.random.Generator,
    n_samples: int = _SAMPLES,
) -> tuple[FloatArray, FloatArray]:
    r"""Gradient of :math:`\log p_t` of a dynamics, smoothed by a normal kernel.

    .. math:: \nabla \log (p_t * \mathcal N(0, h^2 I))(x) = \frac{\mathbb E_w[y] - x}{h^2},
              \qquad w(y) \propto \frac{p_t(y)\, \mathcal N(y; x, h^2 I)}{q_x(y)}, \quad y \sim q_x

    Tweedie's formula, by importance sampling (Efron 2011). Without the kernel of width :math:`h`,
    the directions in which cells hardly vary would dominate the comparison, and other estimates do
    not resolve them. The proposal :math:`q_x` is the product for a normal population, so weights
    are constant where it is one; samples come in pairs around its mean. All in model coordinates.

    Parameters
    ----------
    density
        Of the dynamics.
    x
        Positions in data coordinates, shape `(n, d)`.
    t
        The time.
    width
        :math:`h` of each cell in model coordinates, shape `(n,)`, positive.
    mean, cov
        Of the population in model coordinates, shapes `(d,)` and `(d, d)`: they choose the samples
        and do not enter the result, but for the noise of sampling.
    rng
        Draws them.
    n_samples
        Solves for each cell, an even number.

    Returns
    -------
    Gradients, shape `(n, d)`, NaN where the density is zero at every sample; and the effective
    number of samples (Kong 1992), shape `(n,)`: at one or two, the gradient is noise.
    """
    frame = density.flow.frame
    variance, axes = np.linalg.eigh(np.atleast_2d(cov))
    variance = np.maximum(variance, _THIN * variance.max())
    h = width[:, None]
    here = (frame.to_model(x) - mean) @ axes
    n, d = here.shape
    share = variance / (variance + h**2)
    noise = rng.standard_normal((n, n_samples // 2, d))
    noise = np.concatenate([noise, -noise], axis=1)
    samples = (share * here)[:, None] + (np.sqrt(share) * h)[:, None] * noise
    # The volume of the frame and the normalisations of both normal distributions are the same for
    # all samples of a cell.
    states = frame.to_data((samples @ axes.T + mean).reshape(-1, d))
    log_w = (
        density.log_prob(states, t).reshape(n, -1)
        - 0.5 * ((samples - here[:, None]) ** 2).sum(axis=2) / h**2
        + 0.5 * (noise**2).sum(axis=2)
    )
    with np.errstate(invalid="ignore"):
        weight = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
    gradient = (np.einsum("nm,nmd->nd", weight, samples) - here) @ axes.T / h**2
    return gradient, 1.0 / (weight**2).sum(axis=1)


def mean_cosine(a: FloatArray, b: FloatArray, *, weight: FloatArray | None = None) -> float:
    """Mean cosine between vectors, row by row.

    Rows without a direction in one of the two are left out; NaN where all are.

    Examples
    --------
    >>> mean_cosine(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, -3.0]]))
    0.0
    """
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    usable = np.isfinite(lengths) & (lengths > 0)
    share = np.ones(len(a)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not (usable.any() and share[usable].sum() > 0):
        return float("nan")
    cosines = (a[usable] * b[usable]).sum(axis=1) / lengths[usable]
    return float(np.average(cosines, weights=share[usable]))


def reliability(points: FloatArray, queries: FloatArray, k: int, rng: np.random.Generator) -> float:
    r"""Cosine between the true gradient and the mean shift of a finite sample.

    Two random halves of the cloud give two estimates, whose noise is independent. Where their mean
    cosine is :math:`c`, that of each with the truth is about :math:`\sqrt c` (Spearman's correction
    for attenuation, 1904); the estimate from all cells is a little better. Zero where the halves do
    not agree at all.
    """
    order = rng.permutation(len(points))
    halves = [order[::2], order[1::2]]
    first, second = (mean_shift(points[half], queries, max(1, k // 2))[0] for half in halves)
    return float(np.sqrt(max(mean_cosine(first, second), 0.0)))


def n_neighbors(n: int, d: int) -> int:
    r"""Neighbours for the gradient of a density: :math:`n^{6/(d+6)}` balances bias and noise."""
    return max(1, min(max(_NEIGHBORS, int(float(n) ** (6.0 / (d + 6.0)))), int(_LARGEST_SHARE * n)))


def gradients(sample: Sample, k: int, density: EvolvingDensity | None) -> dict[str, float]:
    """Cosines between the estimates of the gradient at snapshot `k`."""
    flow = sample.flow
    some = sample.some[k]
    shift, width, limit = _shifts(sample, k)
    judged = np.isfinite(shift).all(axis=1) & (width > 0)
    if not judged.any():
        return {}
    bandwidth = float(np.median(width[judged]))
    row = {"bandwidth": bandwidth, "cosine_limit": limit}
    score = None
    if "score" in flow.heads:
        levels = np.array(flow.ladder.levels)
        row["noise"] = float(levels[np.abs(np.log(levels / bandwidth)).argmin()])
        score = flow.score(some.x, some.time, noise=row["noise"], context=some.context)
        score = score * flow.frame.scale
        row["cosine_score_shift"] = mean_cosine(
            score[judged], shift[judged], weight=some.weight[judged]
        )
    if density is None:
        return row
    cells, gradient, worth = _of_density(sample, k, density, judged, width)
    row["effective_samples"] = float(np.median(worth))
    weight = some.weight[cells]
    row["cosine_density_shift"] = mean_cosine(gradient, shift[cells], weight=weight)
    if score is not None:
        row["cosine_score_density"] = mean_cosine(score[cells], gradient, weight=weight)
    return row


def _of_density(
    sample: Sample, k: int, density: EvolvingDensity, judged: np.ndarray, width: FloatArray
) -> tuple[np.ndarray, FloatArray, FloatArray]:
    """Rows of a few judged cells; the gradients of the density there, and their `worth`."""
    some = sample.some[k]
    whole = sample.snapshots.populations[k]
    n = min(max(_GRADIENT_DIMS // some.x.shape[1], _FEWEST), _MOST)
    rng = stream(sample.seed, _GRADIENT_CELLS, k)
    cells = np.sort(rng.permutation(np.flatnonzero(judged))[:n])
    z = sample.flow.frame.to_model(whole.x)
    mean = whole.weight @ z
    cov = ((z - mean).T * whole.weight) @ (z - mean)
    gradient, worth = density_gradient(
        density, some.x[cells], some.time, width[cells], mean=mean, cov=cov, rng=rng
    )
    return cells, gradient, worth


def _shifts(sample: Sample, k: int) -> tuple[FloatArray, FloatArray, float]:
    """Mean shifts and bandwidths in model coordinates, by condition; their reliability."""
    some = sample.some[k]
    whole = sample.snapshots.populations[k]
    rng = stream(sample.seed, _RELIABILITY, k)
    z = sample.flow.frame.to_model(some.x)
    points = sample.flow.frame.to_model(whole.x)
    shift = np.full(z.shape, np.nan)
    width = np.zeros(len(z))
    limits = []
    for here, there in same_condition(some.context, len(some), whole.context, len(whole)):
        there = there[whole.weight[there] > 0]
        if len(there) >= FEW:
            n = n_neighbors(len(there), z.shape[1])
            weight = whole.weight[there]
            shift[here], width[here] = mean_shift(points[there], z[here], n, weight=weight)
            limit = reliability(points[there], z[here], n, rng)
            limits.append((limit, some.weight[here].sum()))
    known = [(value, mass) for value, mass in limits if np.isfinite(value)]
    if not known:
        return shift, width, np.nan
    total = sum(mass for _, mass in known)
    return shift, width, sum(value * mass for value, mass in known) / total
