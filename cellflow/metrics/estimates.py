"""A distance with its uncertainty and with the sizes it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from cellflow.core._clouds import Statistic, Two, two_clouds
from cellflow.core._display import Compact
from cellflow.core._numbers import ROUNDS, as_count, as_number
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.errors import InputError
from cellflow.metrics import _statistics
from cellflow.transport.exact import solve

__all__ = ["Estimate", "estimate"]

#: What `estimate` can be asked for.
Metric: TypeAlias = Literal[
    "w1", "w2", "sliced_w1", "sliced_w2", "energy", "mmd", "variance_ratio", "mean_error"
]

#: Cells that are drawn at once, over all replicates of a tile.
_TILE = 2**21
#: Directions of sliced distances, as `sliced_wasserstein` takes by default.
_N_PROJECTIONS = 100


@dataclass(frozen=True, repr=False)
class Estimate(Compact):
    """A metric of two populations, with a bootstrap interval and the sizes of the samples.

    Parameters
    ----------
    value
        The metric on the cells as they are.
    low, high
        Ends of the interval.
    n_x, n_y
        Cells of positive weight in either cloud.
    metric
        Its name.
    level
        Of the interval.
    n_boot
        Replicates.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = rng.normal(size=(200, 2)) + 1.0
    >>> found = cf.metrics.estimate("energy", x, y, n_boot=100)
    >>> found.low < found.value < found.high
    True
    """

    value: float
    low: float
    high: float
    n_x: int
    n_y: int
    metric: Metric
    level: float
    n_boot: int


@guarded
def estimate(
    metric: Metric,
    x: FloatArray,
    y: FloatArray,
    *,
    x_weight: FloatArray | None = None,
    y_weight: FloatArray | None = None,
    level: float = 0.95,
    n_boot: int = 1000,
    random_state: RandomState = 0,
) -> Estimate:
    r"""Compute a metric together with an interval for it, at the price of the metric alone.

    The interval answers: where would the metric lie if as many cells were drawn again from both
    populations? Cells are drawn with replacement, each with its weight, but nothing is solved
    again: the metric is replaced by its derivative by the weights,

    .. math:: T^* = T + \sum_i (a^*_i - a_i)\, u_i + \sum_j (b^*_j - b_j)\, v_j,

    where :math:`u` and :math:`v` are the optimal potentials for transport costs, and the influence
    of each cell for the other metrics. The mean of the metric over repeated samples depends on
    their sizes (see `wasserstein`), and it is this mean, at these sizes, that the interval is for,
    not the value between infinite populations. Nor does it hold what else varies: the training
    seed, the choice of held-out time.

    Parameters
    ----------
    metric
        `"w1"`, `"w2"` (`wasserstein`), `"sliced_w1"`, `"sliced_w2"` (`sliced_wasserstein`, 100
        directions, seed 0), `"energy"` (`energy_distance`), `"mmd"`, `"variance_ratio"` or
        `"mean_error"`.
    x, y
        Positions, shapes `(n, d)` and `(m, d)`, finite.
    x_weight, y_weight
        Shapes `(n,)` and `(m,)`, non-negative; normalised here. Uniform by default.
    level
        Between 0 and 1.
    n_boot
        Replicates.
    random_state
        Seed of the draws.

    Raises
    ------
    InputError
        As the metric itself; an unknown metric; a level that is no share.

    Notes
    -----
    Between samples of one and the same population the derivative vanishes in the limit, and what
    varies is of second order: there the interval of energy distance, MMD and W2 is only an
    orientation. Between populations that differ, the 95 % intervals of 60 against 50 cells in three
    dimensions held the mean of repeated samples in 92 % (variance ratio) to 98 % (W1) of cases;
    those of transport costs are a tenth too wide, because potentials follow the noise of the
    sample.

    References
    ----------
    Empirical transport costs are normal in the limit, with the variance of the potentials: del
    Barrio, E. and Loubes, J.-M. (2019). Central limit theorems for empirical transportation cost in
    general dimension. Ann. Probab. 47.

    Examples
    --------
    >>> found = estimate("w1", np.zeros((3, 2)), np.array([[3.0, 4.0]]))
    >>> found.value, found.low, found.high, found.n_x, found.n_y
    (5.0, 5.0, 5.0, 3, 1)
    """
    two = two_clouds(x, y, x_weight, y_weight)
    if metric not in get_args(Metric):
        msg = f"metric={metric!r} is not known; expected one of {', '.join(get_args(Metric))}."
        raise InputError(msg)
    level = as_number("level", level, above=0.0, below=1.0)
    n_boot = as_count("n_boot", n_boot, most=ROUNDS)
    seed = as_seed(random_state)
    found = _STATISTICS[metric](two)
    deviation = _resampled(two.a, found.u, n_boot, stream(seed, 0)) + _resampled(
        two.b, found.v, n_boot, stream(seed, 1)
    )
    # None of them is ever negative, however far the derivative reaches.
    replicates = np.maximum(np.append(found.value + deviation, found.value), 0.0)
    if metric in ("w2", "sliced_w2"):
        replicates = np.sqrt(replicates)
    low, high = np.quantile(replicates[:-1], [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    value = float(replicates[-1])
    return Estimate(
        value, float(low), float(high), len(two.x), len(two.y), metric, float(level), n_boot
    )


_STATISTICS: dict[str, Callable[[Two], Statistic]] = {
    "w1": lambda two: solve(*two, p=1),
    "w2": lambda two: solve(*two, p=2),
    "sliced_w1": lambda two: _statistics.sliced(two, p=1, n_projections=_N_PROJECTIONS, seed=0),
    "sliced_w2": lambda two: _statistics.sliced(two, p=2, n_projections=_N_PROJECTIONS, seed=0),
    "energy": _statistics.energy,
    "mmd": _statistics.kernel_discrepancy,
    "variance_ratio": _statistics.spread_ratio,
    "mean_error": _statistics.mean_distance,
}


def _resampled(
    weight: FloatArray, influence: FloatArray, n_boot: int, rng: np.random.Generator
) -> FloatArray:
    """Means of the influence over resampled cells less that over all cells, shape `(n_boot,)`."""
    n = len(weight)
    centred = influence - weight @ influence
    mass = n * weight
    change = n * weight * centred
    size = max(1, _TILE // n)
    parts = []
    for start in range(0, n_boot, size):
        drawn = rng.integers(n, size=(min(size, n_boot - start), n))
        parts.append(change[drawn].sum(axis=1) / mass[drawn].sum(axis=1))
    return np.concatenate(parts)
