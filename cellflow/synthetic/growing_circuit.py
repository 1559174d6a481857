"""A stochastic circuit of two genes in cells that divide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from cellflow.core._random import systematic
from cellflow.core._typing import FloatArray
from cellflow.core.population import Population, Snapshots
from cellflow.synthetic.base import n_steps

__all__ = ["GrowingCircuit"]


class _Followed(NamedTuple):
    """Positions of cells at the end, and the logarithm of the number of descendants of each."""

    x: FloatArray
    log_weight: FloatArray


@dataclass(frozen=True)
class GrowingCircuit:
    r"""Two genes that activate themselves and repress each other, in cells that divide.

    .. math:: dx_i = \Bigl(\frac{a x_i^2 + b}{1 + a x_i^2 + c x_j^2 + b} - \delta x_i\Bigr) dt
        + \sigma\,dW, \qquad g(x) = \alpha \frac{x_2^2}{1 + x_2^2}

    The form is that of the circuit in Sha et al. (2024), without its third gene. Cells start near
    two states; those with the second gene on divide. Starts are drawn and followed by
    Euler-Maruyama, and cells are drawn in proportion to their descendants. `Population.mass` is the
    mean number of descendants of the same cells. The drift and the growth are known; the velocity
    of the population is not.

    Parameters
    ----------
    activation, repression, basal, decay
        :math:`a, c, b` and :math:`\delta`.
    proliferation
        :math:`\alpha`, the largest rate of division per unit of time.
    sigma
        Diffusion per square root of time.
    starts, start_sd
        Means of both genes at time 0, from which cells start in equal shares, and the standard
        deviation.

    References
    ----------
    Sha et al., Reconstructing growth and dynamic trajectories from single-cell transcriptomics
    data, Nature Machine Intelligence 2024 (TIGON).

    Examples
    --------
    >>> system = cf.synthetic.GrowingCircuit()
    >>> snapshots = system.sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 2)
    """

    activation: float = 1.0
    repression: float = 1.0
    basal: float = 1.0
    decay: float = 0.4
    proliferation: float = 0.6
    sigma: float = 0.05
    starts: tuple[tuple[float, float], ...] = ((2.0, 0.2), (0.2, 2.0))
    start_sd: float = 0.1
    times: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)

    #: Step of the simulation.
    _DT: ClassVar[float] = 0.02
    #: Cells that are followed for each cell that is drawn.
    _SPARE: ClassVar[int] = 10

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots by Euler-Maruyama; see `System.sample`."""
        found = []
        for t in times:
            cells = self._followed(self._SPARE * n_obs, float(t), rng)
            weight = np.exp(cells.log_weight)
            order = rng.permutation(len(weight))
            rows = order[systematic(weight[order], n_obs, rng)]
            found.append(Population(cells.x[rows], float(t), mass=float(weight.mean())))
        return Snapshots(tuple(found))

    def _followed(self, n: int, t: float, rng: np.random.Generator) -> _Followed:
        start = np.array(self.starts)[np.arange(n) % len(self.starts)]
        x = start + self.start_sd * rng.standard_normal((n, 2))
        log_weight = np.zeros(n)
        steps = n_steps(t, self._DT)
        for _ in range(steps):
            dt = t / steps
            log_weight += dt * self.growth(t, x)
            noise = self.sigma * math.sqrt(dt) * rng.standard_normal(x.shape)
            x = x + dt * self.drift(t, x) + noise
        return _Followed(x, log_weight)

    def drift(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Production less decay, the same at all times."""
        square = x**2
        on = self.activation * square + self.basal
        made: FloatArray = on / (1.0 + on + self.repression * square[:, ::-1])
        return made - self.decay * x

    def growth(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Rate of division, the same at all times."""
        square: FloatArray = x[:, 1] ** 2
        return self.proliferation * square / (1.0 + square)
