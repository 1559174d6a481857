"""A stochastic gene regulatory circuit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.synthetic.base import diffused, snapshots

__all__ = ["GeneCircuit"]


@dataclass(frozen=True)
class GeneCircuit:
    r"""A stochastic gene circuit, :math:`dx = (a\,\phi(W x + b) - x)\,dt + \sigma\,dW`.

    :math:`\phi` is the logistic function: gene `j` activates gene `i` where :math:`W_{ij} > 0` and
    represses it where :math:`W_{ij} < 0`. Every product decays at unit rate. Cells start near one
    state and are followed by Euler-Maruyama. The drift of single cells is known; the velocity of
    the population is not.

    Parameters
    ----------
    regulation
        :math:`W`, `d` rows of `d` numbers. By default two genes that repress each other and
        activate themselves, each with a target downstream.
    basal
        :math:`b`, length `d`.
    production
        :math:`a`, the largest rate of production.
    sigma
        Diffusion per square root of time.
    start, start_sd
        Mean of each gene at time 0, length `d`, and the standard deviation of all.

    Examples
    --------
    >>> snapshots = cf.synthetic.GeneCircuit().sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 4)
    """

    regulation: tuple[tuple[float, ...], ...] = (
        (3.0, -6.0, 0.0, 0.0),
        (-6.0, 3.0, 0.0, 0.0),
        (6.0, 0.0, 0.0, 0.0),
        (0.0, 6.0, 0.0, 0.0),
    )
    basal: tuple[float, ...] = (1.5, 1.5, -3.0, -3.0)
    production: float = 1.0
    sigma: float = 0.3
    start: tuple[float, ...] = (0.5, 0.5, 0.2, 0.2)
    start_sd: float = 0.1
    times: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 2.0, 4.0)

    #: Step of the simulation.
    _DT: ClassVar[float] = 0.01

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots by Euler-Maruyama; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            x = np.array(self.start) + self.start_sd * rng.standard_normal((n_obs, len(self.start)))
            return diffused(lambda x: self.drift(t, x), x, t, self.sigma, self._DT, rng)

        return snapshots(times, cells)

    def drift(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Production less decay, the same at all times."""
        made: FloatArray = self.production * expit(
            x @ np.array(self.regulation).T + np.array(self.basal)
        )
        return made - x
