"""Diffusion in a double-well potential."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.integrate import trapezoid
from scipy.interpolate import CubicSpline
from scipy.linalg import eigh_tridiagonal

from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.synthetic.base import diffused, normal_log_density, snapshots

__all__ = ["TwoWell"]


@dataclass(frozen=True)
class TwoWell:
    r"""Diffusion in a double-well potential, :math:`dx = -\nabla V\,dt + \sigma\,dW`.

    :math:`V(x, y) = h\,(y^2 - 1)^2 + \tfrac12 x^2`: wells at :math:`y = \pm 1`, the ridge of height
    :math:`h` between them. The coordinates are independent. Along `x` the process is
    Ornstein-Uhlenbeck and starts at rest; along `y` its Fokker-Planck equation is solved on a grid,
    in the eigenfunctions of the symmetric generator. The velocity is that of the probability flow.

    Parameters
    ----------
    height
        :math:`h`, positive.
    sigma
        Diffusion per square root of time.
    start, start_sd
        Mean and standard deviation of `y` at time 0.

    Examples
    --------
    >>> snapshots = cf.synthetic.TwoWell().sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 2)
    """

    height: float = 1.0
    sigma: float = 0.7
    start: float = 0.0
    start_sd: float = 0.1
    times: ClassVar[tuple[float, ...]] = (0.0, 0.25, 0.5, 1.0, 2.0)

    #: Step of the stochastic simulation, in units of time.
    _DT: ClassVar[float] = 0.002
    #: Grid along `y` on which the Fokker-Planck equation is solved.
    _GRID: ClassVar[FloatArray] = np.linspace(-3.0, 3.0, 1201)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots by Euler-Maruyama; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            x = self.sigma / math.sqrt(2) * rng.standard_normal(n_obs)
            y = self.start + self.start_sd * rng.standard_normal(n_obs)
            return np.stack(
                [x, diffused(lambda y: -self._slope(y), y, t, self.sigma, self._DT, rng)], axis=1
            )

        return snapshots(times, cells)

    def velocity(self, t: float, x: FloatArray) -> FloatArray:
        """Velocity of the probability flow; along `x` there is none, the population is at rest."""
        along = -self._slope(x[:, 1]) - self.sigma**2 / 2 * self._log_marginal(t)(x[:, 1], 1)
        return np.stack([np.zeros(len(x)), along], axis=1)

    def drift(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Descent of the potential, the same at all times."""
        return -np.stack([x[:, 0], self._slope(x[:, 1])], axis=1)

    def fates(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        r"""Probabilities of reaching the bottom of the lower or the upper well first.

        The committor of the upper well is :math:`q(y) = \int_{-1}^y e^{2V/\sigma^2} / \int_{-1}^1
        e^{2V/\sigma^2}`.
        """
        grid = np.linspace(-1.0, 1.0, 2001)
        scale = CubicSpline(
            grid, np.exp(2 * self._potential(grid) / self.sigma**2)
        ).antiderivative()
        upper = np.clip(scale(np.clip(x[:, 1], -1, 1)) / scale(1.0), 0, 1)
        return np.stack([1 - upper, upper], axis=1)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the population."""
        along: FloatArray = self._log_marginal(t)(x[:, 1])
        return along + normal_log_density(
            x[:, :1], np.zeros(1), np.array([self.sigma / math.sqrt(2)])
        )

    def _potential(self, y: FloatArray) -> FloatArray:
        return self.height * (y**2 - 1) ** 2

    def _slope(self, y: FloatArray) -> FloatArray:
        return 4 * self.height * y * (y**2 - 1)

    @cached_property
    def _modes(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Square root of the stationary density; eigenvalues and -functions of the generator."""
        grid = self._GRID
        spacing = self._GRID[1] - self._GRID[0]
        half = self._potential(grid) / self.sigma**2
        rate = self.sigma**2 / 2 / spacing**2
        # Jumps to the neighbours with rates in detailed balance; symmetrised, every neighbour's
        # rate is the same.
        ahead = rate * np.exp(half[:-1] - half[1:])
        back = rate * np.exp(half[1:] - half[:-1])
        leaving = np.append(ahead, 0.0) + np.insert(back, 0, 0.0)
        values, functions = eigh_tridiagonal(-leaving, np.full(len(grid) - 1, rate))
        return np.exp(-half), values, functions

    def _log_marginal(self, t: float) -> CubicSpline:
        """Log-density along `y` at time `t`, as a spline."""
        rest, values, functions = self._modes
        start = np.exp(-0.5 * ((self._GRID - self.start) / self.start_sd) ** 2)
        ratio = functions @ (np.exp(values * t) * (functions.T @ (start / rest)))
        # Rounding of the sum: what is smaller than this is noise, and its sign means nothing.
        log_density = np.log(rest) + np.log(np.maximum(ratio, 1e-13 * ratio.max()))
        return CubicSpline(
            self._GRID, log_density - np.log(trapezoid(np.exp(log_density), self._GRID))
        )
