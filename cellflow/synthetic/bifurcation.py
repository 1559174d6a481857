"""A pitchfork bifurcation: one population becomes two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.synthetic.base import normal_log_density, snapshots

__all__ = ["Bifurcation"]


@dataclass(frozen=True)
class Bifurcation:
    r"""A pitchfork bifurcation, :math:`\dot x = c,\ \dot y = r y - y^3`.

    Cells advance along `x`, while along `y` one population becomes two.
    The pitchfork has the solution :math:`y_t = y_0 e^{rt} / \sqrt{1 + y_0^2 (e^{2rt} - 1) / r}`;
    its two ends are
    :math:`\pm\sqrt r`, and the sign of `y` decides which.

    Parameters
    ----------
    speed
        Velocity :math:`c` along the first axis.
    rate
        Rate :math:`r` at which cells leave the unstable state `y = 0`, positive.
    sd
        Standard deviation of both coordinates at time 0, about the origin.

    Examples
    --------
    >>> snapshots = cf.synthetic.Bifurcation().sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 2)
    """

    speed: float = 1.0
    rate: float = 1.5
    sd: float = 0.15
    times: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            x, y = self.sd * rng.standard_normal((2, n_obs))
            return np.stack(
                [x + self.speed * t, y * math.exp(self.rate * t) / np.sqrt(self._squeeze(y, t))],
                axis=1,
            )

        return snapshots(times, cells)

    def velocity(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Velocity of the pitchfork, the same at all times."""
        return np.stack([np.full(len(x), self.speed), self.rate * x[:, 1] - x[:, 1] ** 3], axis=1)

    def fates(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Probabilities of the lower and the upper branch: 0 or 1, and 1/2 where `y = 0`."""
        upper = np.heaviside(x[:, 1], 0.5)
        return np.stack([1 - upper, upper], axis=1)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the population; minus infinity outside of its support."""
        y = x[:, 1]
        squeeze = self._squeeze(y, -t)
        inside = squeeze > 0
        squeeze = np.where(inside, squeeze, 1.0)
        start = np.stack(
            [x[:, 0] - self.speed * t, y * math.exp(-self.rate * t) / np.sqrt(squeeze)], axis=1
        )
        # dy_0/dy_t of the pitchfork, from the solution run backwards.
        log_jacobian = -self.rate * t - 1.5 * np.log(squeeze)
        known = normal_log_density(start, np.zeros(2), np.full(2, self.sd)) + log_jacobian
        return np.where(inside, known, -np.inf)

    def _squeeze(self, y: FloatArray, t: float) -> FloatArray:
        return 1 + y**2 * math.expm1(2 * self.rate * t) / self.rate
