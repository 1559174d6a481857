"""A Gaussian population that grows faster on one side: closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.errors import InputError
from cellflow.synthetic.base import normal_log_density, snapshots

__all__ = ["GrowingGaussian"]


#: Largest logarithm of a size that can be computed.
_MOST = 700.0


@dataclass(frozen=True)
class GrowingGaussian:
    r"""A Gaussian whose cells move at a constant speed and divide the more, the further along.

    .. math:: \dot x = v, \qquad g(x) = r + s^T x

    The population stays Gaussian with the covariance :math:`\varsigma^2 I`. Its mean moves by the
    speed, and by the variance times the slope of the growth, because cells on one side have more
    descendants:

    .. math:: m_t = m_0 + (v + \varsigma^2 s)\,t, \qquad
        \log M_t = (r + s^T m_0)\,t + \tfrac12 s^T (v + \varsigma^2 s)\,t^2

    Without growth, all of the motion would be read as velocity. `Population.mass` is :math:`M_t`.

    Parameters
    ----------
    speed
        :math:`v`, length `d`.
    rate
        :math:`r`, growth at the origin per unit of time.
    slope
        :math:`s`, its change with each coordinate, length `d`.
    start, sd
        :math:`m_0`, length `d`, and :math:`\varsigma`.

    Examples
    --------
    >>> system = cf.synthetic.GrowingGaussian()
    >>> snapshots = system.sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 2)
    """

    speed: tuple[float, ...] = (0.0, 1.0)
    rate: float = 0.2
    slope: tuple[float, ...] = (0.5, 0.0)
    start: tuple[float, ...] = (0.0, 0.0)
    sd: float = 1.0
    times: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 1.5, 2.0)

    @property
    def _drift(self) -> FloatArray:
        drift: FloatArray = np.array(self.speed) + self.sd**2 * np.array(self.slope)
        return drift

    def mean(self, t: float) -> FloatArray:
        """Mean at time `t`, shape `(d,)`."""
        mean: FloatArray = np.array(self.start) + t * self._drift
        return mean

    def log_mass(self, t: float) -> float:
        """Logarithm of the size of the population relative to time 0."""
        slope = np.array(self.slope)
        first = self.rate + slope @ np.array(self.start)
        return float(first * t + 0.5 * (slope @ self._drift) * t**2)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""
        for t in times:
            if not abs(self.log_mass(t)) < _MOST:
                msg = (
                    f"At time {t:g} the size of the population is not finite; choose earlier times."
                )
                raise InputError(msg)
        shape = (n_obs, len(self.start))
        return snapshots(
            times,
            lambda t: self.mean(t) + self.sd * rng.standard_normal(shape),
            lambda t: math.exp(self.log_mass(t)),
        )

    def velocity(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """The speed, the same everywhere."""
        speed: FloatArray = np.zeros(x.shape) + np.array(self.speed)
        return speed

    def growth(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Rate of division, the same at all times."""
        rate: FloatArray = self.rate + x @ np.array(self.slope)
        return rate

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the Gaussian at time `t`."""
        return normal_log_density(x, self.mean(t), np.full(len(self.start), self.sd))
