"""A toggle switch of two genes in cells that divide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.errors import InputError
from cellflow.synthetic.base import n_steps, normal_log_density, rk4, snapshots

__all__ = ["ToggleSwitch"]


@dataclass(frozen=True)
class ToggleSwitch:
    r"""Two genes that repress each other, in cells that divide while the first one is on.

    .. math:: \dot x_1 = \frac{a}{1 + x_2^4} - x_1, \quad
        \dot x_2 = \frac{a}{1 + x_1^4} - x_2, \quad
        g(x) = \gamma \frac{x_1^4}{1 + x_1^4}.

    Cells start with a little of both, and are drawn to one of two ends; the diagonal divides their
    basins. What a snapshot shows is the living descendants: starts are drawn, followed, and kept in
    proportion to the descendants that they have. `Population.mass` is the number of cells relative
    to time 0.

    Parameters
    ----------
    production
        :math:`a`; there are two stable ends above :math:`4 / 3^{5/4} = 1.01`.
    proliferation
        :math:`\gamma`, divisions per unit of time of a cell whose first gene is fully on.
    start, start_sd
        Mean and standard deviation of both genes at time 0.

    Examples
    --------
    >>> snapshots = cf.synthetic.ToggleSwitch().sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 2)
    """

    production: float = 2.0
    proliferation: float = 0.5
    start: float = 0.5
    start_sd: float = 0.1
    times: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)

    #: Step of the integration, in units of time.
    _DT: ClassVar[float] = 0.025
    #: Largest number of steps.
    _MAX_STEPS: ClassVar[int] = 2_000
    #: Smallest share of the drawn cells that is kept; with fewer, sampling takes too long.
    _LEAST_SHARE: ClassVar[float] = 0.02

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            share = math.exp(self._log_mass(t) - self.proliferation * t)
            if share < self._LEAST_SHARE:
                msg = (
                    f"times: at {t:g}, {share:.2g} of the cells that are drawn would be kept;"
                    f" expected at least {self._LEAST_SHARE}. Pass earlier times."
                )
                raise InputError(msg)
            kept: list[FloatArray] = []
            while sum(map(len, kept)) < n_obs:
                x, log_weight, _ = self._followed(
                    self.start + self.start_sd * rng.standard_normal((n_obs, 2)), 0.0, t
                )
                # No cell has more descendants than one that always divides at the full rate.
                kept.append(x[np.log(rng.random(n_obs)) < log_weight - self.proliferation * t])
            return np.concatenate(kept)[:n_obs]

        return snapshots(times, cells, lambda t: math.exp(self._log_mass(t)))

    def velocity(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Rates of expression, the same at all times."""
        return self.production / (1 + x[:, ::-1] ** 4) - x

    def growth(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Rate of division, the same at all times."""
        on = x[:, 0] ** 4
        return self.proliferation * on / (1 + on)

    def fates(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Probabilities that the first or the second gene stays on: 0, 1, or 1/2 if equal."""
        first = np.heaviside(x[:, 0] - x[:, 1], 0.5)
        return np.stack([first, 1 - first], axis=1)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the living cells, followed back to their starts."""
        start, log_weight, log_volume = self._followed(x, t, 0.0)
        before = normal_log_density(start, np.full(2, self.start), np.full(2, self.start_sd))
        return before - log_weight + log_volume - self._log_mass(t)

    def _followed(
        self, x: FloatArray, t0: float, t1: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Positions at `t1`, and the integrals of growth and divergence along the way, by RK4."""
        steps = n_steps(abs(t1 - t0), self._DT, self._MAX_STEPS)

        def rate(state: FloatArray) -> FloatArray:
            x = state[:, :2]
            # Each gene decays at unit rate and is made at a rate that its own level does not enter:
            # the divergence is -2.
            return np.column_stack(
                [self.velocity(t0, x), self.growth(t0, x), np.full(len(x), -2.0)]
            )

        state = np.column_stack([x, np.zeros((len(x), 2))])
        for _ in range(steps):
            state = rk4(rate, state, (t1 - t0) / steps)
        return state[:, :2], state[:, 2], state[:, 3]

    def _log_mass(self, t: float) -> float:
        """Log of the mean number of descendants of a starting cell, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(50)
        grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
        log_weight = self._followed(self.start + self.start_sd * grid, 0.0, t)[1]
        return float(
            np.log(np.exp(log_weight) @ np.outer(weights, weights).ravel() / (2 * math.pi))
        )
