"""Relaxation under noise: an Ornstein-Uhlenbeck process from a Gaussian."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.synthetic.base import normal_log_density, snapshots

__all__ = ["OrnsteinUhlenbeck"]


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    r"""Relaxation to the origin under noise, :math:`dx = -\theta x\,dt + \sigma\,dW`.

    The population starts as a Gaussian and stays one, with

    .. math:: m_t = e^{-\theta t} m_0, \qquad
        s_t^2 = \tfrac{\sigma^2}{2 \theta} + \big(s_0^2 - \tfrac{\sigma^2}{2 \theta}\big) e^{-2
        \theta t}.

    The velocity is that of the probability flow, :math:`-\theta x - \tfrac{\sigma^2}{2} \nabla \log
    p_t` (Song et al. 2021).

    Parameters
    ----------
    start
        Mean at time 0, length `d`.
    start_sd
        Standard deviation of every coordinate at time 0.
    theta
        Rate of relaxation.
    sigma
        Diffusion per square root of time.

    Examples
    --------
    >>> system = cf.synthetic.OrnsteinUhlenbeck()
    >>> snapshots = system.sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 2)
    """

    start: tuple[float, ...] = (3.0, -1.0)
    start_sd: float = 0.3
    theta: float = 1.0
    sigma: float = 1.0
    times: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 1.5, 2.0)

    def mean(self, t: float) -> FloatArray:
        """Mean at time `t`, shape `(d,)`."""
        return math.exp(-self.theta * t) * np.array(self.start)

    def sd(self, t: float) -> float:
        """Standard deviation of every coordinate at time `t`."""
        rest = self.sigma**2 / (2 * self.theta)
        return math.sqrt(rest + (self.start_sd**2 - rest) * math.exp(-2 * self.theta * t))

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""
        d = len(self.start)
        return snapshots(
            times, lambda t: self.mean(t) + self.sd(t) * rng.standard_normal((n_obs, d))
        )

    def velocity(self, t: float, x: FloatArray) -> FloatArray:
        """Velocity of the probability flow."""
        return -self.theta * x + self.sigma**2 / 2 * (x - self.mean(t)) / self.sd(t) ** 2

    def drift(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Relaxation to the origin, the same at all times."""
        return -self.theta * x

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the Gaussian at time `t`."""
        return normal_log_density(x, self.mean(t), np.full(len(self.start), self.sd(t)))
