"""Baselines without a model, and the noise floor."""

from __future__ import annotations

import numpy as np

from cellflow.core._random import shuffled
from cellflow.core._settings import guarded
from cellflow.core.plans import EdgePlan
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Auto
from cellflow.errors import InputError
from cellflow.metrics import wasserstein

__all__ = [
    "around",
    "mixture",
    "next_snapshot",
    "noise_floor",
    "ot_interpolation",
    "previous_snapshot",
    "random_interpolation",
]


def around(snapshots: Snapshots, time: float) -> tuple[Population, Population]:
    """Return the snapshots strictly before and after a time, the nearest ones.

    Raises
    ------
    InputError
        The time has no snapshot on both sides.
    """
    k = int(np.searchsorted(snapshots.times, time, side="left"))
    after = k + int(k < len(snapshots) and snapshots.times[k] == time)
    if k == 0 or after == len(snapshots):
        msg = (
            f"Time {time:g} has no snapshot on both sides; choose one inside"
            f" {snapshots.times.tolist()}."
        )
        raise InputError(msg)
    return snapshots[k - 1], snapshots[after]


@guarded
def previous_snapshot(snapshots: Snapshots, time: float) -> Population:
    """Predict the cells of the last snapshot before `time`, unmoved.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> cf.evaluation.previous_snapshot(snapshots, 1.0).x.shape
    (60, 2)
    """
    return around(snapshots, time)[0]


@guarded
def next_snapshot(snapshots: Snapshots, time: float) -> Population:
    """Predict the cells of the first snapshot after `time`, unmoved.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> cf.evaluation.next_snapshot(snapshots, 1.0).x.shape
    (60, 2)
    """
    return around(snapshots, time)[1]


@guarded
def mixture(snapshots: Snapshots, time: float) -> Population:
    """Predict the cells of both neighbours, unmoved, weighted by closeness in time.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> cf.evaluation.mixture(snapshots, 1.0).x.shape
    (120, 2)
    """
    source, target = around(snapshots, time)
    share = (time - source.time) / (target.time - source.time)
    weight = np.concatenate([(1.0 - share) * source.weight, share * target.weight])
    return Population(np.concatenate([source.x, target.x]), time, weight)


@guarded
def random_interpolation(snapshots: Snapshots, time: float, rng: np.random.Generator) -> Population:
    """Interpolate between random pairs of cells of both neighbours.

    As many pairs are drawn as the larger cloud has cells; each cell in proportion to its weight.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> guess = cf.evaluation.random_interpolation(snapshots, 1.0, np.random.default_rng(0))
    >>> guess.time
    1.0
    """
    source, target = around(snapshots, time)
    n = max(len(source), len(target))
    i, j = (shuffled(p.weight, n, rng) for p in (source, target))
    s = (time - source.time) / (target.time - source.time)
    return Population((1 - s) * source.x[i] + s * target.x[j], time)


@guarded
def ot_interpolation(snapshots: Snapshots, time: float, rng: np.random.Generator) -> Population:
    r"""Interpolate along optimal transport between the neighbours of `time` (McCann 1997).

    Every edge :math:`(i, j)` of the plan becomes one cell :math:`(1 - s) x_i + s y_j` with the
    edge's mass, where :math:`s` is the fraction of the interval that has passed.

    Parameters
    ----------
    snapshots
        The populations; one at `time` itself is not used.
    time
        Strictly inside the observed times.
    rng
        For the pairs of a plan that has no edges: as many are drawn as the larger cloud has cells.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> guess = cf.evaluation.ot_interpolation(snapshots, 1.0, np.random.default_rng(0))
    >>> guess.time
    1.0
    """
    source, target = around(snapshots, time)
    plan = Auto()(source, target)
    if isinstance(plan, EdgePlan):
        i = plan.i
        j = plan.j
        mass = plan.mass
    else:
        i, j = plan.sample(max(plan.shape), rng)
        mass = np.ones(len(i))
    s = (time - source.time) / (target.time - source.time)
    return Population((1 - s) * source.x[i] + s * target.x[j], time, mass)


@guarded
def noise_floor(population: Population, rng: np.random.Generator, *, n_repeats: int = 3) -> float:
    """W1 between two random halves of one population, mean over halvings.

    Two samples of one population differ by that much. Smaller clouds differ more, so this is a
    lower bound for predictions of `len(population) // 2` cells only.

    Parameters
    ----------
    population
        At least two cells.
    rng
        Draws the halves.
    n_repeats
        Halvings to average over.

    Raises
    ------
    InputError
        A population of one cell.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> floor = cf.evaluation.noise_floor(snapshots[1], np.random.default_rng(0))
    >>> floor > 0
    True
    """
    half = len(population) // 2
    if half == 0:
        msg = (
            f"The snapshot at time {population.time:g} has one cell, which has no halves; the noise"
            " floor needs two."
        )
        raise InputError(msg)
    x = population.x
    weight = population.weight
    values = []
    for _ in range(n_repeats):
        order = rng.permutation(len(population))
        a = order[:half]
        b = order[half : 2 * half]
        values.append(wasserstein(x[a], x[b], x_weight=weight[a], y_weight=weight[b]))
    return float(np.mean(values))
