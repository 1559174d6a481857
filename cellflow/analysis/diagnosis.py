"""What a fit says about itself: whether its parts agree, where its paths go, and which cells they miss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.analysis.celltypes import TypeMoves, same_condition, type_moves
from cellflow.analysis.verdict import FEW, verdict
from cellflow.core._neighbors import nearest
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed, stream
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core.conditions import shared_conditions
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Auto
from cellflow.errors import naming_cells
from cellflow.metrics import wasserstein
from cellflow.metrics.lineages import Lineage

if TYPE_CHECKING:
    from cellflow.analysis.density import EvolvingDensity
    from cellflow.core.plans import Plan
    from cellflow.model.flow import Flow
    from cellflow.simulation import Trajectories

__all__ = [
    "Diagnosis",
    "MassBalance",
    "density_gradient",
    "diagnose",
    "mass_balance",
    "mean_cosine",
    "mean_shift",
    "n_neighbors",
    "path_energy",
    "reliability",
    "round_trip",
    "unreached",
]

#: Smallest number of neighbours whose mean is taken, and the largest share of the cells that may
#: be.
_NEIGHBORS = 15
_LARGEST_SHARE = 0.25
#: Evaluations of the density of the dynamics for each gradient; the fewest and the most gradients
#: per snapshot, and the number of them times dimensions in between: each evaluation costs a
#: backward pass for every dimension.
_SAMPLES = 128
_FEWEST = 10
_MOST = 100
_GRADIENT_DIMS = 250
#: Directions are taken for at least so wide, as a share of the widest variance.
_THIN = 1e-8
#: Random halves that say how far apart cells of one population are, and the quantile that counts as
#: near.
_HALVES = 5
_NEAR = 0.99
#: Cells for each region of a snapshot, and the most regions.
_PER_REGION = 25
_REGIONS = 20
#: Draws that say what imbalance chance makes.
_DRAWS = 500
#: Squared distances below this share of what there is to go are rounding, in single precision.
_ROUNDING = 1e-12
#: Means that move by less than so many standard errors are not told from means at rest; mean
#: displacements on both sides of a snapshot that are smaller than this share of the single ones
#: have turned back.
_TOLD = 3.0
_TURNED = 0.5
#: Streams of the seed.
_CELLS, _GRADIENT_CELLS, _RELIABILITY, _UNREACHED, _REGION, _CHANCE, _END = range(7)


# Three estimates of one gradient ------------------------------------------------------------------------------------


def mean_shift(
    points: FloatArray, queries: FloatArray, k: int, *, weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    r"""Estimate the gradient of the log-density of a cloud: the way to the mean of the nearest cells.

    .. math:: \nabla \log p(x) \approx \frac{1}{h^2(x)} \Big(\frac{1}{k} \sum_{i \in N_k(x)} x_i - x\Big),
              \qquad h^2(x) = \frac{r_k^2(x)}{d + 2}

    with :math:`r_k` the distance to the farthest of the `k` neighbours and :math:`h^2` the
    variance, per coordinate, of the uniform kernel on the ball of that radius. It is the gradient
    of the density as seen through this kernel, so it compares with a score under noise of standard
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
    Gradients `(m, d)` and bandwidths `h (m,)`; NaN and zero where all neighbours are at one position with the query.

    References
    ----------
    Fukunaga and Hostetler, The estimation of the gradient of a density function, 1975; Cheng, Mean shift, mode seeking, and
    clustering, 1995.
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
        mean = (
            np.einsum("mk,mkd->md", share, points[rows] - queries[:, None])
            / share.sum(axis=1)[:, None]
        )
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
    r"""Gradient of :math:`\log p_t` of a dynamics in model coordinates, as seen through a normal kernel of width :math:`h`.

    .. math:: \nabla \log (p_t * \mathcal N(0, h^2 I))(x) = \frac{\mathbb E_w[y] - x}{h^2},
              \qquad w(y) \propto \frac{p_t(y)\, \mathcal N(y; x, h^2 I)}{q_x(y)}, \quad y \sim q_x

    Tweedie's formula, by importance sampling (Efron 2011). Without the kernel, the directions in
    which cells hardly vary would rule the comparison with estimates that cannot see them. The
    proposal :math:`q_x` is what the product would be if the population were normal, so weights are
    constant where it is; samples come in pairs around its mean.

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
    Gradients, shape `(n, d)`, NaN where the density is zero at every sample; and the number of samples that the weights are
    worth (Kong 1992), shape `(n,)`: at one or two, the gradient is noise.
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
    log_w = density.log_prob(frame.to_data((samples @ axes.T + mean).reshape(-1, d)), t).reshape(
        n, -1
    )
    log_w = (
        log_w
        - 0.5 * ((samples - here[:, None]) ** 2).sum(axis=2) / h**2
        + 0.5 * (noise**2).sum(axis=2)
    )
    with np.errstate(invalid="ignore"):
        weight = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
    gradient = (np.einsum("nm,nmd->nd", weight, samples) - here) @ axes.T / h**2
    return gradient, 1.0 / (weight**2).sum(axis=1)


def mean_cosine(a: FloatArray, b: FloatArray, *, weight: FloatArray | None = None) -> float:
    """Mean cosine between vectors, row by row; rows without a direction in one of the two are left out (NaN if all are).

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
    r"""Cosine that the true gradient would have with the mean shift: what noise of sampling leaves of it.

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
    r"""Neighbours for the gradient of a density: :math:`n^{6/(d+6)}`, the rate at which bias and noise balance."""
    return max(1, min(max(_NEIGHBORS, int(float(n) ** (6.0 / (d + 6.0)))), int(_LARGEST_SHARE * n)))


# Paths --------------------------------------------------------------------------------------------------------------


def round_trip(start: FloatArray, back: FloatArray, *, weight: FloatArray | None = None) -> float:
    r"""Root mean square distance between cells and where they come back to, over their spread.

    .. math:: \Big(\frac{\mathbb E \|x - \hat x\|^2}{\mathbb E \|x - \mathbb E x\|^2}\Big)^{1/2}

    An ordinary differential equation returns every cell; what is left is the error of the solver,
    which grows where the field is steep.

    Parameters
    ----------
    start, back
        Shape `(n, d)`.
    weight
        Shape `(n,)`; uniform by default.
    """
    share = np.full(len(start), 1.0 / len(start)) if weight is None else weight / weight.sum()
    spread = share @ ((start - share @ start) ** 2).sum(axis=1)
    return (
        float(np.sqrt(share @ ((start - back) ** 2).sum(axis=1) / spread))
        if spread > 0
        else float("nan")
    )


def path_energy(
    velocity: FloatArray, times: FloatArray, *, weight: FloatArray | None = None
) -> float:
    r"""Energy of paths over an interval, times its length.

    .. math:: (t_1 - t_0)\, \mathbb E \int_{t_0}^{t_1} \|v_t(x_t)\|^2\, dt \;\ge\; W_2^2(p_{t_0}, p_{t_1})

    It does not depend on the unit of time, and equals the squared distance for optimal paths
    (Benamou and Brenier 2000).

    Parameters
    ----------
    velocity
        Along the paths, shape `(T, n, d)`.
    times
        Shape `(T,)`, increasing; Simpson's rule.
    weight
        Of the paths, shape `(n,)`; uniform by default.
    """
    from scipy.integrate import simpson

    square = (velocity**2).sum(axis=2)
    mean = np.average(square, axis=1, weights=weight)
    return float((times[-1] - times[0]) * simpson(mean, x=times))


# Mass ---------------------------------------------------------------------------------------------------------------


class MassBalance(NamedTuple):
    """Whether the mass that paths bring is where the cells are.

    Parameters
    ----------
    imbalance
        Total variation between pushed and observed mass over the regions: the share of mass in a
        wrong one.
    expected, limit
        Mean and 99 % quantile of that for two samples of one population, of these sizes.
    cell
        Row of the observed cell in the middle of the most conspicuous region.
    pushed, observed
        Mass of that region.
    """

    imbalance: float
    expected: float
    limit: float
    cell: int
    pushed: float
    observed: float


def mass_balance(
    pushed: FloatArray,
    observed: FloatArray,
    *,
    pushed_weight: FloatArray | None = None,
    observed_weight: FloatArray | None = None,
    random_state: RandomState = 0,
) -> MassBalance:
    r"""Compare the mass that paths bring into each region of a snapshot with the mass of its cells.

    .. math:: \tfrac12 \sum_r |P(r) - Q(r)|

    over the cells of a k-means partition of the observed cells, one region for 25 of them, at most
    20. Chance is what two multinomial samples of the pooled masses make of it, with as many cells
    as the weights are worth. Dynamics of cells that neither divide nor die conserve mass, so a
    population that grows or dies between two snapshots shows here, unless the coupling has bent
    paths from one population into another to make up for it.

    Parameters
    ----------
    pushed, observed
        Positions, shapes `(n, d)` and `(m, d)`.
    pushed_weight, observed_weight
        Shapes `(n,)` and `(m,)`; uniform by default.
    random_state
        Seed of the partition and of the draws.

    Returns
    -------
    `MassBalance`.
    """
    from sklearn.cluster import KMeans

    seed = as_seed(random_state)
    p = _shares(pushed_weight, len(pushed))
    q = _shares(observed_weight, len(observed))
    n_regions = min(
        max(2, len(observed) // _PER_REGION), _REGIONS, len(np.unique(observed, axis=0))
    )
    start = int(stream(seed, _REGION).integers(2**31))
    # Both clouds around the origin, so that no digit is lost in products.
    centre = q @ observed
    partition = KMeans(n_regions, n_init=3, random_state=start).fit(
        observed - centre, sample_weight=q
    )
    masses = np.array(
        [
            np.bincount(partition.predict(x - centre), weights=share, minlength=n_regions)
            for x, share in ((pushed, p), (observed, q))
        ]
    )
    sizes = [1.0 / float(share @ share) for share in (p, q)]
    pooled = np.average(masses, axis=0, weights=sizes)
    pooled /= pooled.sum()  # to the last bit, as the multinomial draws demand
    rng = stream(seed, _CHANCE)
    drawn = [rng.multinomial(round(size), pooled, size=_DRAWS) / round(size) for size in sizes]
    by_chance = 0.5 * np.abs(drawn[0] - drawn[1]).sum(axis=1)
    noise = np.sqrt(pooled * (1 - pooled) * sum(1.0 / size for size in sizes))
    difference = np.abs(masses[0] - masses[1])
    worst = int(np.argmax(np.divide(difference, noise, out=np.zeros(n_regions), where=noise > 0)))
    _, middle = nearest(observed - centre, partition.cluster_centers_[worst : worst + 1], 1)
    return MassBalance(
        imbalance=float(0.5 * difference.sum()),
        expected=float(by_chance.mean()),
        limit=float(np.quantile(by_chance, 0.99)),
        cell=int(middle[0, 0]),
        pushed=float(masses[0, worst]),
        observed=float(masses[1, worst]),
    )


def unreached(cells: FloatArray, paths: FloatArray, *, random_state: RandomState = 0) -> np.ndarray:
    """Which cells no path comes near.

    Near is the 99 % quantile of the distance from a cell to the nearest one of another random part
    of its own population. The part is half of the cells, or as many as there are paths where these
    are fewer; so one cell in a hundred is expected to be missed by chance, or fewer where paths are
    more.

    Parameters
    ----------
    cells
        Of one snapshot, shape `(n, d)`, at least ten.
    paths
        Where paths are at its time, shape `(m, d)`.
    random_state
        Seed of the halves.

    Returns
    -------
    Booleans, shape `(n,)`.
    """
    seed = as_seed(random_state)
    size = min(len(cells) // 2, len(paths))
    apart = []
    for k in range(_HALVES):
        order = stream(seed, k).permutation(len(cells))
        apart.append(nearest(cells[order[:size]], cells[order[size:]], 1)[0][:, 0])
    near = np.quantile(np.concatenate(apart), _NEAR)
    return np.asarray(nearest(paths, cells, 1)[0][:, 0] > near)


# All of them --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What a fit says about itself.

    Parameters
    ----------
    table
        Columns with one value per snapshot, in the order of time; those of an interval are in the
        row of its end, and NaN in the first. Lengths, noise and bandwidth are in model coordinates.

        - `time`, `n_cells`: of the snapshot, and the number of its cells that were looked at;
        - `cosine_score_shift`, `cosine_density_shift`, `cosine_score_density`: mean cosines of the
          score head, the gradient of the log-density of the dynamics, and the mean shift of the
          cells; `cosine_limit` is what the truth itself would have with the mean shift (see
          `reliability`); `bandwidth` is the median of its kernel, `noise` the level of the ladder
          nearest to it, which the score is taken at;
        - `effective_samples`: median number of samples that a gradient of the density is worth (see
          `density_gradient`);
        - `unreached`: share of cells that no path from any other snapshot comes near, 0.01 by
          chance;
        - `from_time`: start of the interval; `round_trip`;
        - `energy_ratio`: path energy over the squared distance W2 of the two snapshots, and
          `detour`: over that of the cells and where their own paths end, at least 1;
        - `end_distance`, `end_distance_expected`: Wasserstein distance W1 from pushed to measured
          cells, and between halves of the measured ones;
        - `imbalance`, `imbalance_expected`, `imbalance_limit`: see `MassBalance`; `region_cell`
          (row of origin, -1 for none), `region_pushed` and `region_observed` tell the most
          conspicuous region;
        - `speed_ratio`, `speed_cosine`: size and cosine of the mean velocity of the snapshot's
          cells, against the displacement of the snapshots' means per unit of time, in data
          coordinates: of the intervals on both sides, weighted so that a mean on a parabola has
          ratio 1. `middle_ratio`, `middle_cosine`: of pushed cells in the middle of the interval,
          against its displacement. NaN where the means move less than three times what chance makes
          of them, or turn back;
        - with types of cells, shares of mass that goes to a type which is neither the cell's own
          nor a descendant: `types_plan` of the plan, `types_least` the least that the change of
          shares forces on it, `types_unmoved` of early cells that take the type of the nearest late
          cell without a motion, `types_pushed` of pushed cells.
    verdict
        A few sentences.
    types
        Mass between types, by interval; empty without types, None where an end has none.
    """

    table: Mapping[str, np.ndarray]
    verdict: tuple[str, ...]
    types: tuple[TypeMoves | None, ...] = ()


_COLUMNS = (
    "time",
    "n_cells",
    "cosine_score_shift",
    "cosine_density_shift",
    "cosine_score_density",
    "cosine_limit",
    "effective_samples",
    "bandwidth",
    "noise",
    "unreached",
    "from_time",
    "round_trip",
    "energy_ratio",
    "detour",
    "end_distance",
    "end_distance_expected",
    "imbalance",
    "imbalance_expected",
    "imbalance_limit",
    "region_cell",
    "region_pushed",
    "region_observed",
    "speed_ratio",
    "speed_cosine",
    "middle_ratio",
    "middle_cosine",
    "types_plan",
    "types_least",
    "types_unmoved",
    "types_pushed",
)
_COUNTS = ("n_cells", "region_cell")


def diagnose(
    flow: Flow,
    snapshots: Snapshots,
    *,
    density: EvolvingDensity | None = None,
    plans: Sequence[Plan] | None = None,
    labels: np.ndarray | None = None,
    lineage: Lineage | None = None,
    n_cells: int = 1000,
    random_state: RandomState = 0,
) -> Diagnosis:
    """Ask a fit whether its parts agree, where its paths go and which cells they miss.

    Parameters
    ----------
    flow
        The fit.
    snapshots
        Measured cells in data coordinates, with their conditions where the fit has them; usually
        those it was made with.
    density
        Of the dynamics, from a learned source; without it, its gradient is left out. It takes 128
        evaluations for each of 50 cells of a snapshot in 5 dimensions, and of 10 in 25 dimensions
        and more: on one core about 4 and, in 50 dimensions, 8 seconds for every interval back to
        the source.
    plans
        Transport plans of the fit between consecutive snapshots, for the mass between types.
    labels
        Type of every cell by its row of origin (`Population.index`), None where a cell has none;
        needs `plans`.
    lineage
        Descendants of each type, see `cellflow.metrics.lineage_consistency`; None: a cell should
        keep its type.
    n_cells
        Cells of each snapshot that are looked at, at least ten; drawn without replacement, of every
        condition its share.
    random_state
        Seed of that draw and of all others.

    Returns
    -------
    `Diagnosis`.

    Raises
    ------
    InputError
        Numbers that are none, conditions without partners, times without end.
    IntegrationError
        A state that stops being finite.

    Notes
    -----
    The squared distance of an interval is the cost of the fit's own plan where its optimality is certified and the cells are
    as many as then, else that of an optimal plan that is solved here. Finite clouds are farther apart than their populations,
    so the energy ratio of a good fit is below one where cells are few or dimensions many. `detour` has no such bias, because
    cells and the ends of their paths are paired already.
    """
    n_cells = as_count("n_cells", n_cells, least=FEW)
    seed = as_seed(random_state)
    some = [_some(p, n_cells, stream(seed, _CELLS, k)) for k, p in enumerate(snapshots.populations)]
    states = [_simulated(flow, p, snapshots.times) for p in some]
    rates = [_rate(*pair) for pair in snapshots.intervals]
    types = _types(flow, snapshots, some, states, plans, labels, lineage)
    rows = []
    for k, (population, whole) in enumerate(zip(some, snapshots.populations, strict=True)):
        row: dict[str, float] = {"time": population.time, "n_cells": len(population)}
        row |= _gradients(flow, whole, population, density, seed, k)
        row["unreached"] = _missed(
            flow, some, states, k, int(stream(seed, _UNREACHED, k).integers(2**63))
        )
        row |= _speed(flow, population, rates, k)
        if k > 0:
            row |= _interval(flow, snapshots, some, states[k - 1], k, seed)
            row |= _middle_speed(flow, some[k - 1], population.time, rates[k - 1])
            row |= _by_types(types[k - 1] if types else None)
        rows.append(row)
    table = {name: _column(name, rows) for name in _COLUMNS}
    has_score = flow.dynamics.score is not None
    said = verdict(table, has_score=has_score, has_density=density is not None, types=types)
    return Diagnosis(table, said, types)


def _column(name: str, rows: list[dict[str, float]]) -> np.ndarray:
    if name in _COUNTS:
        return np.array([row.get(name, -1) for row in rows], dtype=np.int64)
    return np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)


def _some(population: Population, n: int, rng: np.random.Generator) -> Population:
    """About `n` of the cells that weigh anything, or all; of every condition its share, and at least one cell."""
    rows = rng.permutation(np.flatnonzero(population.weight > 0))
    share = min(1.0, n / len(rows))
    context = None if population.context is None else population.context[rows]
    groups = [
        group[: int(np.ceil(share * len(group)))]
        for group, _ in same_condition(context, len(rows), context, len(rows))
    ]
    return population.part(np.sort(rows[np.concatenate(groups)]))


def _gradients(
    flow: Flow,
    whole: Population,
    some: Population,
    density: EvolvingDensity | None,
    seed: int,
    k: int,
) -> dict[str, float]:
    """Cosines of the estimates of the gradient at one snapshot."""
    z, shift, width, limit = _shifts(flow, whole, some, stream(seed, _RELIABILITY, k))
    judged = np.isfinite(shift).all(axis=1) & (width > 0)
    if not judged.any():
        return {}
    bandwidth = float(np.median(width[judged]))
    row = {"bandwidth": bandwidth, "cosine_limit": limit}
    score = None
    if flow.dynamics.score is not None:
        levels = np.array(flow.score_network.ladder.levels)
        row["noise"] = float(levels[np.abs(np.log(levels / bandwidth)).argmin()])
        score = (
            flow.score(some.x, some.time, noise=row["noise"], context=some.context)
            * flow.frame.scale
        )
        row["cosine_score_shift"] = mean_cosine(
            score[judged], shift[judged], weight=some.weight[judged]
        )
    if density is not None:
        n = min(max(_GRADIENT_DIMS // z.shape[1], _FEWEST), _MOST)
        rng = stream(seed, _GRADIENT_CELLS, k)
        cells = np.sort(rng.permutation(np.flatnonzero(judged))[:n])
        mean, cov = _moments(flow.frame.to_model(whole.x), whole.weight)
        gradient, worth = density_gradient(
            density, some.x[cells], some.time, width[cells], mean=mean, cov=cov, rng=rng
        )
        row["effective_samples"] = float(np.median(worth))
        weight = some.weight[cells]
        row["cosine_density_shift"] = mean_cosine(gradient, shift[cells], weight=weight)
        if score is not None:
            row["cosine_score_density"] = mean_cosine(score[cells], gradient, weight=weight)
    return row


def _shifts(
    flow: Flow, whole: Population, some: Population, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Positions, mean shifts and bandwidths of some cells in model coordinates, each within its own condition."""
    z = flow.frame.to_model(some.x)
    points = flow.frame.to_model(whole.x)
    shift = np.full(z.shape, np.nan)
    width = np.zeros(len(z))
    limits = []
    for here, there in same_condition(some.context, len(some), whole.context, len(whole)):
        there = there[whole.weight[there] > 0]
        if len(there) >= FEW:
            k = n_neighbors(len(there), z.shape[1])
            shift[here], width[here] = mean_shift(
                points[there], z[here], k, weight=whole.weight[there]
            )
            limits.append((reliability(points[there], z[here], k, rng), some.weight[here].sum()))
    known = [(value, mass) for value, mass in limits if np.isfinite(value)]
    limit = (
        sum(value * mass for value, mass in known) / sum(mass for _, mass in known)
        if known
        else np.nan
    )
    return z, shift, width, limit


def _moments(z: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean `(d,)` and covariance `(d, d)` of weighted cells."""
    mean = weight @ z
    return mean, ((z - mean).T * weight) @ (z - mean)


def _missed(
    flow: Flow, some: list[Population], states: list[Trajectories], k: int, seed: int
) -> float:
    """Share of one snapshot's cells that no path from the other snapshots comes near, in their own condition."""
    others = [j for j in range(len(some)) if j != k]
    if not others:
        return float("nan")
    z = flow.frame.to_model(some[k].x)
    paths = flow.frame.to_model(np.concatenate([states[j].x[k] for j in others]))
    context = some[k].context
    if context is not None:
        context = np.concatenate([c for j in others if (c := some[j].context) is not None])
    missed = np.zeros(len(z), dtype=bool)
    judged = np.zeros(len(z), dtype=bool)
    for here, there in same_condition(some[k].context, len(z), context, len(paths)):
        if len(here) >= FEW:
            judged[here] = True
            missed[here] = (
                unreached(z[here], paths[there], random_state=seed) if len(there) else True
            )
    return (
        float(np.average(missed[judged], weights=some[k].weight[judged]))
        if judged.any()
        else float("nan")
    )


def _simulated(flow: Flow, population: Population, times: FloatArray) -> Trajectories:
    """Trajectories of a population."""
    with naming_cells(population.index):
        return flow.simulate(population.x, population.time, times, context=population.context)


def _interval(
    flow: Flow, snapshots: Snapshots, some: list[Population], moved: Trajectories, k: int, seed: int
) -> dict[str, float]:
    """What the paths from one snapshot to the next say."""
    source = some[k - 1]
    target = some[k]
    pushed = moved.x[k]
    pushed_weight = moved.weights(source.weight)[k]
    with naming_cells(source.index):
        back = flow.simulate(pushed, target.time, [source.time], context=source.context).x[0]
    start, end, z = (flow.frame.to_model(x) for x in (source.x, pushed, target.x))
    weight = _matched(source, target)
    row = {
        "from_time": source.time,
        "round_trip": round_trip(start, flow.frame.to_model(back), weight=source.weight),
    }
    energy = _energy(flow, source, target.time)
    ended = replace(source, x=pushed, weight=pushed_weight, time=target.time)
    distances = {
        "energy_ratio": _squared_distance(flow, *snapshots.populations[k - 1 : k + 1]),
        "detour": _optimal(flow, source, ended),
    }
    # Cells that move by rounding only have no way that could be straight.
    rounding = _ROUNDING * max(distances.values())
    row |= {name: energy / square for name, square in distances.items() if square > rounding}
    if len(target) < FEW or len(source) < FEW:
        return row
    rng = stream(seed, _END, k)
    size = min(len(target) // 2, len(source))
    order = rng.permutation(len(target))
    chosen = rng.permutation(len(source))[:size]
    half = order[:size]
    other = order[size:]
    row["end_distance"] = wasserstein(
        end[chosen], z[other], x_weight=pushed_weight[chosen], y_weight=weight[other]
    )
    row["end_distance_expected"] = wasserstein(
        z[half], z[other], x_weight=weight[half], y_weight=weight[other]
    )
    found = mass_balance(
        end,
        z,
        pushed_weight=pushed_weight,
        observed_weight=weight,
        random_state=int(rng.integers(2**63)),
    )
    return row | {
        "imbalance": found.imbalance,
        "imbalance_expected": found.expected,
        "imbalance_limit": found.limit,
        "region_cell": int(target.index[found.cell]),
        "region_pushed": found.pushed,
        "region_observed": found.observed,
    }


class _Rate(NamedTuple):
    """Displacement of the means of two snapshots per unit of time `(d,)`, its standard error (a norm), and the gap."""

    value: FloatArray
    error: float
    gap: float

    @property
    def size(self) -> float:
        return float(np.linalg.norm(self.value))


def _rate(source: Population, target: Population) -> _Rate:
    weight = _matched(source, target)
    gap = target.time - source.time
    error = np.sqrt(
        _variance_of_mean(source.x, source.weight) + _variance_of_mean(target.x, weight)
    )
    return _Rate((weight @ target.x - source.weight @ source.x) / gap, float(error) / gap, gap)


def _variance_of_mean(x: FloatArray, weight: FloatArray) -> float:
    """Trace of the covariance of the weighted mean."""
    return float(weight**2 @ ((x - weight @ x) ** 2).sum(axis=1))


def _speed(flow: Flow, some: Population, rates: Sequence[_Rate], k: int) -> dict[str, float]:
    """Mean velocity at one snapshot against the displacements around it."""
    around = rates[max(k - 1, 0) : k + 1]
    if not around:
        return {}
    if len(around) == 2:
        # The slope of a parabola through three means, whose gaps may differ.
        share = around[1].gap / (around[0].gap + around[1].gap)
        value = share * around[0].value + (1.0 - share) * around[1].value
        error = float(np.hypot(share * around[0].error, (1.0 - share) * around[1].error))
    else:
        value = around[0].value
        error = around[0].error
    # Where the means turn back, the mean displacement is small, and no measure of a speed.
    if np.linalg.norm(value) < _TURNED * np.mean([rate.size for rate in around]):
        return {}
    velocity = some.weight @ flow.velocity(some.x, some.time, context=some.context)
    return _compared(velocity, value, error, "speed")


def _middle_speed(flow: Flow, source: Population, stop: float, rate: _Rate) -> dict[str, float]:
    """Mean velocity of pushed cells in the middle of an interval against its displacement."""
    middle = 0.5 * (source.time + stop)
    moved = flow.simulate(source.x, source.time, [middle], context=source.context)
    weight = moved.weights(source.weight)[0]
    velocity = flow.velocity(moved.x[0], middle, context=source.context)
    velocity = weight @ velocity / (weight.sum() / source.weight.sum())
    return _compared(velocity, rate.value, rate.error, "middle")


def _compared(velocity: FloatArray, rate: FloatArray, error: float, name: str) -> dict[str, float]:
    """Ratio of sizes and cosine; nothing where the rate is not told from chance."""
    size = float(np.linalg.norm(rate))
    speed = float(np.linalg.norm(velocity))
    if size <= _TOLD * error:
        return {}
    cosine = float(velocity @ rate) / (size * speed) if speed > 0 else float("nan")
    return {f"{name}_ratio": speed / size, f"{name}_cosine": cosine}


def _types(
    flow: Flow,
    snapshots: Snapshots,
    some: Sequence[Population],
    states: Sequence[Trajectories],
    plans: Sequence[Plan] | None,
    labels: np.ndarray | None,
    lineage: Lineage | None,
) -> tuple[TypeMoves | None, ...]:
    """Mass between types, by interval, in model coordinates."""
    if labels is None or plans is None:
        return ()
    inside = snapshots.moved([flow.frame.to_model(p.x) for p in snapshots.populations])
    return tuple(
        type_moves(
            source,
            target,
            plan,
            labels,
            lineage=lineage,
            some=replace(some[k], x=flow.frame.to_model(some[k].x)),
            pushed=flow.frame.to_model(states[k].x[k + 1]),
        )
        for k, ((source, target), plan) in enumerate(zip(inside.intervals, plans, strict=True))
    )


def _by_types(found: TypeMoves | None) -> dict[str, float]:
    if found is None:
        return {}
    return {
        "types_plan": found.by_plan,
        "types_least": found.by_shares,
        "types_unmoved": found.by_staying,
        "types_pushed": found.by_push,
    }


def _energy(flow: Flow, source: Population, stop: float) -> float:
    """Energy of the paths of one snapshot to the next, in model coordinates."""
    n_steps = 2 * max(5, int(np.ceil((stop - source.time) / flow.step / 2.0)))
    times = np.linspace(source.time, stop, n_steps + 1)
    along = _simulated(flow, source, times)
    velocity = [
        flow.velocity(x, t, context=source.context) / flow.frame.scale
        for t, x in zip(times.tolist(), along.x, strict=True)
    ]
    return path_energy(np.stack(velocity), times, weight=source.weight)


def _squared_distance(flow: Flow, source: Population, target: Population) -> float:
    """Squared distance W2 between two snapshots in model coordinates: the cost of the fit's plan, where it is that."""
    known = flow.plans.get(f"{source.time}_to_{target.time}", {})
    if known.get("gap") is not None and (known["n_source"], known["n_target"]) == (
        len(source),
        len(target),
    ):
        return float(known["cost"])
    return _optimal(flow, source, target)


def _optimal(flow: Flow, source: Population, target: Population) -> float:
    """Cost of optimal transport in model coordinates, inside conditions where there are some."""
    total = 0.0
    for _, here, there in shared_conditions(source, target):
        parts = [
            Population(flow.frame.to_model(p.x[rows]), p.time, p.weight[rows])
            for p, rows in ((source, here), (target, there))
        ]
        coupling, _ = Auto().choose(len(here), len(there), flow.n_dims)
        total += source.weight[here].sum() * coupling(*parts).cost
    return total


def _matched(source: Population, target: Population) -> FloatArray:
    """Weights of the target cells with every condition at its share of the source: paths do not leave their condition."""
    if source.context is None:
        return target.weight
    weight = np.zeros(len(target))
    for _, here, there in shared_conditions(source, target):
        weight[there] = target.weight[there] * (
            source.weight[here].sum() / target.weight[there].sum()
        )
    return weight


def _shares(weight: FloatArray | None, n: int) -> FloatArray:
    share: FloatArray = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
    return np.asarray(share / share.sum())
