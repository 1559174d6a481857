"""Mass that paths bring into the regions of a snapshot, against the mass of its cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._numbers import as_weights
from cellflow.core._random import as_seed, stream
from cellflow.core._typing import FloatArray, RandomState

__all__ = ["MassBalance", "mass_balance"]

#: Observed cells for each region of a snapshot.
_PER_REGION = 25
#: Most regions.
_REGIONS = 20
#: Draws of the imbalance that chance makes.
_DRAWS = 500
#: Streams of the seed.
_REGION = 4
_CHANCE = 5


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
    p = as_weights("pushed_weight", pushed_weight, len(pushed))
    q = as_weights("observed_weight", observed_weight, len(observed))
    n_regions = min(
        max(2, len(observed) // _PER_REGION), _REGIONS, len(np.unique(observed, axis=0))
    )
    start = int(stream(seed, _REGION).integers(2**31))
    # Both clouds around the origin, so that no digit is lost in products.
    centre = q @ observed
    partition = KMeans(n_regions, n_init=3, random_state=start)
    partition.fit(observed - centre, sample_weight=q)
    masses = [
        np.bincount(partition.predict(x - centre), weights=share, minlength=n_regions)
        for x, share in ((pushed, p), (observed, q))
    ]
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
        pushed=float(masses[0][worst]),
        observed=float(masses[1][worst]),
    )
