"""A population that rotates about the origin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.synthetic.base import normal_log_density, snapshots

__all__ = ["Rotation"]


@dataclass(frozen=True)
class Rotation:
    r"""A Gaussian population that rotates about the origin, :math:`\dot x = \omega J x`.

    Optimal transport between two of its snapshots goes along chords and cannot show the rotation.

    Parameters
    ----------
    omega
        Angle per unit of time, in radians.
    radius
        Distance of the cloud's mean from the origin.
    sd
        Standard deviations of the cloud at time 0, along and across the radius.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 2)
    """

    omega: float = math.pi / 4
    radius: float = 3.0
    sd: tuple[float, float] = (0.5, 0.25)
    times: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""
        return snapshots(times, lambda t: self._turned(self._start(n_obs, rng), t))

    def velocity(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Velocity of the rotation, the same at all times."""
        return self.omega * np.stack([-x[:, 1], x[:, 0]], axis=1)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the turned Gaussian; a rotation keeps volumes."""
        return normal_log_density(
            self._turned(x, -t), np.array([self.radius, 0.0]), np.array(self.sd)
        )

    def _start(self, n_obs: int, rng: np.random.Generator) -> FloatArray:
        return np.array([self.radius, 0.0]) + np.array(self.sd) * rng.standard_normal((n_obs, 2))

    def _turned(self, x: FloatArray, t: float) -> FloatArray:
        cos = math.cos(self.omega * t)
        sin = math.sin(self.omega * t)
        turned: FloatArray = x @ np.array([[cos, sin], [-sin, cos]])
        return turned
