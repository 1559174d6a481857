"""Optimal transport between two Gaussians: displacement interpolation in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.errors import InputError
from cellflow.synthetic.base import normal_log_density, snapshots

__all__ = ["GaussianToGaussian"]


@dataclass(frozen=True)
class GaussianToGaussian:
    r"""Optimal transport between two Gaussians over the times 0 to 1.

    The second Gaussian is the first one moved by `shift` and stretched by `stretch` along each
    axis, so the optimal map is
    :math:`T(x) = m + A x` with diagonal :math:`A`, and cells move along straight lines,
    :math:`x_t = (1 - t) x_0 + t T(x_0)` (McCann 1997).

    Parameters
    ----------
    shift
        Mean of the second Gaussian, length `d`; the first is at the origin with unit covariance.
    stretch
        Standard deviations of the second Gaussian, length `d`, positive.

    Examples
    --------
    >>> system = cf.synthetic.GaussianToGaussian()
    >>> snapshots = system.sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 2)
    """

    shift: tuple[float, ...] = (4.0, 2.0)
    stretch: tuple[float, ...] = (0.5, 2.0)
    times: ClassVar[tuple[float, ...]] = (0.0, 0.25, 0.5, 0.75, 1.0)

    def mean(self, t: float) -> FloatArray:
        """Mean at time `t`, shape `(d,)`."""
        return t * np.array(self.shift)

    def sd(self, t: float) -> FloatArray:
        """Standard deviations at time `t`, shape `(d,)`."""
        return (1 - t) + t * np.array(self.stretch)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""
        d = len(self.shift)
        latest = max(map(float, times))
        with np.errstate(over="ignore"):
            wide = (self.sd(latest) > 0).all()
        if not wide:
            msg = (
                f"times: the Gaussian has no width at {latest:g}; expected times from 0 to 1. Pass"
                " earlier times."
            )
            raise InputError(msg)
        return snapshots(
            times, lambda t: self.mean(t) + self.sd(t) * rng.standard_normal((n_obs, d))
        )

    def velocity(self, t: float, x: FloatArray) -> FloatArray:
        """Velocity of the displacement interpolation."""
        return np.array(self.shift) + (np.array(self.stretch) - 1) * (x - self.mean(t)) / self.sd(t)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the Gaussian at time `t`."""
        return normal_log_density(x, self.mean(t), self.sd(t))
