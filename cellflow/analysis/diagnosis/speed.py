"""Mean velocities against the displacements of the means of the snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.analysis.diagnosis.sample import Sample, matched
from cellflow.core._typing import FloatArray
from cellflow.core.population import Population

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = ["middle_speed", "speed"]

#: Means that move by fewer standard errors do not differ from means at rest.
_MOVES = 3.0
#: Means turn back at a snapshot where the mean displacement around it is below this share of the
#: displacements on both sides.
_TURNED = 0.5


class _Rate(NamedTuple):
    """Displacement of the means of two snapshots per unit of time, `(d,)`.

    `error` is the norm of its standard error, `gap` the time between the snapshots.
    """

    value: FloatArray
    error: float
    gap: float

    @property
    def size(self) -> float:
        """Norm of the displacement per unit of time."""
        return float(np.linalg.norm(self.value))


def speed(sample: Sample, k: int) -> dict[str, float]:
    """Mean velocity at snapshot `k` against the displacements around it."""
    pairs = sample.snapshots.intervals[max(k - 1, 0) : k + 1]
    around = [_rate(source, target) for source, target in pairs]
    if not around:
        return {}
    value = around[0].value
    error = around[0].error
    if len(around) == 2:
        # The slope of a parabola through three means, whose gaps may differ.
        share = around[1].gap / (around[0].gap + around[1].gap)
        value = share * around[0].value + (1.0 - share) * around[1].value
        error = float(np.hypot(share * around[0].error, (1.0 - share) * around[1].error))
    # Where the means turn back, the mean displacement is small, and no measure of a speed.
    if np.linalg.norm(value) < _TURNED * np.mean([rate.size for rate in around]):
        return {}
    some = sample.some[k]
    velocity = _motion(sample.flow, some, some.x, some.weight, some.time)
    return _compared(velocity, value, error, "speed")


def middle_speed(sample: Sample, k: int) -> dict[str, float]:
    """Mean velocity of pushed cells in the middle of the interval before snapshot `k`."""
    source = sample.some[k - 1]
    rate = _rate(*sample.snapshots.intervals[k - 1])
    middle = 0.5 * (source.time + sample.some[k].time)
    moved = sample.flow.simulate(source.x, source.time, [middle], context=source.context)
    weight = moved.weights(source.weight)[0]
    velocity = _motion(sample.flow, source, moved.x[0], weight / weight.sum(), middle)
    return _compared(velocity, rate.value, rate.error, "middle")


def _motion(
    flow: FittedDynamics, cells: Population, x: FloatArray, weight: FloatArray, time: float
) -> FloatArray:
    r"""Rate of the mean of a population, from velocities and growth.

    .. math::  \frac{d}{dt} \mathbb E\, x = \mathbb E\, v + \operatorname{Cov}(g, x)

    Parameters
    ----------
    flow
        The fitted dynamics.
    cells
        The cells, whose features are taken.
    x, weight, time
        Where they are, shape `(n, d)`, their weights of sum one, `(n,)`, and when.
    """
    motion = weight @ flow.velocity(x, time, context=cells.context)
    if "growth" in flow.heads:
        growth = flow.head("growth", x, time, context=cells.context)
        motion = motion + (weight * (growth - weight @ growth)) @ x
    return np.asarray(motion)


def _rate(source: Population, target: Population) -> _Rate:
    """Rate of the mean from one snapshot to the next."""
    weight = matched(source, target)
    gap = target.time - source.time
    error = np.sqrt(
        _variance_of_mean(source.x, source.weight) + _variance_of_mean(target.x, weight)
    )
    return _Rate((weight @ target.x - source.weight @ source.x) / gap, float(error) / gap, gap)


def _variance_of_mean(x: FloatArray, weight: FloatArray) -> float:
    """Trace of the covariance of the weighted mean."""
    return float(weight**2 @ ((x - weight @ x) ** 2).sum(axis=1))


def _compared(velocity: FloatArray, rate: FloatArray, error: float, name: str) -> dict[str, float]:
    """Ratio of sizes and cosine; nothing where the rate may be chance."""
    size = float(np.linalg.norm(rate))
    speed = float(np.linalg.norm(velocity))
    if size <= _MOVES * error:
        return {}
    cosine = float(velocity @ rate) / (size * speed) if speed > 0 else float("nan")
    return {f"{name}_ratio": speed / size, f"{name}_cosine": cosine}
