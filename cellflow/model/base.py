"""The protocol of a fitted dynamics, which analysis and the adapter use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cellflow.core._typing import FloatArray, IntArray, RandomState
from cellflow.core.decoder import Decoder
from cellflow.core.frame import Frame
from cellflow.core.population import Clock
from cellflow.errors import InputError
from cellflow.fields.ladder import Ladder
from cellflow.simulation import Method, Scheme, Trajectories

__all__ = ["FittedDynamics"]

#: Steps of a fixed-step solver per mean interval between snapshots.
_STEPS_PER_UNIT = 20


class FittedDynamics(Protocol):
    """A dynamics that can be queried, in data coordinates and the experiment's unit of time.

    `cellflow.Flow` is one. One of your own inherits from this class and gives the attributes
    without a default, `velocity` and `simulate`. Queries raise an `InputError` for an unusable
    argument or a missing score, and an `IntegrationError` where a state stops being finite.

    Parameters
    ----------
    frame, clock, times
        Data to model coordinates; span and unit of time; times of the snapshots, shape `(k,)`.
    recipe, plans, threads
        Plain values with a `name`; each interval's plan by `"0.0_to_24.0"`; number for torch.
    decoder, n_context
        From the representation to genes, where genes are known; number of context features.
    generates
        Whether it makes cells from noise, in a time from 0 to 1, and moves none; see `recipes.fm`.
    """

    frame: Frame
    clock: Clock
    times: FloatArray
    recipe: Mapping[str, Any]
    plans: Mapping[str, Mapping[str, Any]]
    threads: int
    decoder: Decoder | None = None
    n_context: int = 0
    generates: bool = False

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the fitted functions: `"velocity"`, perhaps `"score"` and others."""
        return ("velocity",)

    @property
    def members(self) -> tuple[FittedDynamics, ...]:
        """The flows of an ensemble, which answer one by one; none of a single flow."""
        return ()

    @property
    def n_dims(self) -> int:
        """Dimension of the representation."""
        return len(self.frame.shift)

    @property
    def step(self) -> float:
        """Step of the fixed-step solvers, in units of time: a twentieth of the mean interval."""
        return self.clock.unit / _STEPS_PER_UNIT

    @property
    def spread(self) -> float | None:
        """Root mean square distance of the data from their mean; None for unscaled coordinates."""
        unscaled = not self.frame.shift.any() and bool((self.frame.scale == 1.0).all())
        return None if unscaled else math.sqrt(self.n_dims)

    @property
    def sigma(self) -> float:
        """Diffusion in model coordinates, per square root of time; 0.5 / sqrt(median gap)."""
        return self.clock.sigma

    @property
    def ladder(self) -> Ladder:
        """Noise levels of the score, in model coordinates."""
        raise self.without_score()

    def velocity(
        self, x: FloatArray, t: float | FloatArray, *, context: FloatArray | None = None
    ) -> FloatArray:
        """Velocity of cells, in data coordinates per unit of time.

        Parameters
        ----------
        x
            Positions, shape `(n, d)`.
        t
            One time, or one per cell `(n,)`.
        context
            Features of the cells' condition, shape `(n, c)`, or `(c,)` for all; of a flow that was
            fitted with conditions.

        Returns
        -------
        Shape `(n, d)`, float64.
        """

    def simulate(
        self,
        x: FloatArray,
        t0: float,
        times: FloatArray | Sequence[float],
        *,
        method: Method = "rk4",
        step: float | None = None,
        context: FloatArray | None = None,
    ) -> Trajectories:
        """Move cells from one time to others, before or after it.

        Parameters
        ----------
        x, t0
            Positions, shape `(n, d)`, and their time.
        times
            Times to report, shape `(T,)`, in any order.
        method, step
            See `cellflow.simulation.integrate`; `FittedDynamics.step` by default.
        context
            Features of the cells' condition, shape `(n, c)` or `(c,)`.

        Returns
        -------
        `Trajectories` in data coordinates, with every quantity that a head is the rate of.
        """

    def head(
        self, name: str, x: FloatArray, t: float | FloatArray, *, context: FloatArray | None = None
    ) -> FloatArray:
        """Values of any fitted function at cells.

        Parameters
        ----------
        name
            One of `heads`.
        x, t, context
            As of `velocity`.

        Returns
        -------
        Float64. `"velocity"` and `"score"` as the methods of these names. A rate, shape `(n,)`, in
        the unit of its quantity per unit of time; of a `log_weight`, 1 per unit of time in any
        coordinates. Other heads as their network returns them, `(n, ...)`, in model coordinates.
        """
        if name == "velocity":
            return self.velocity(x, t, context=context)
        if name == "score" and name in self.heads:
            return self.score(x, t, context=context)
        msg = f"No head {name!r}; the fit has {list(self.heads)}."
        raise InputError(msg)

    def score(
        self,
        x: FloatArray,
        t: float | FloatArray,
        *,
        noise: float = 0.0,
        context: FloatArray | None = None,
    ) -> FloatArray:
        r"""Score of cells, :math:`\nabla \log p_t(x)`, in data coordinates.

        Parameters
        ----------
        x, t, context
            As of `velocity`.
        noise
            Level of the ladder in model coordinates; 0 for the score of the population itself.

        Returns
        -------
        Shape `(n, d)`, float64.
        """
        raise self.without_score()

    def drift(
        self,
        x: FloatArray,
        t: float | FloatArray,
        *,
        sigma: float | None = None,
        context: FloatArray | None = None,
    ) -> FloatArray:
        r"""Drift of single cells, in data coordinates per unit of time.

        .. math::  v + \tfrac{\sigma^2}{2} \nabla \log p_t

        The velocity says how the population moves. A cell that diffuses moves by the drift on
        average, and noise makes up the difference: at rest, the velocity is zero, and the drift
        holds the cells together.

        Parameters
        ----------
        x, t, context
            As of `velocity`.
        sigma
            Diffusion per square root of time, in model coordinates, positive. Snapshots do not
            determine it: it is an assumption, `Flow.sigma` by default. The second term grows with
            its square.

        Returns
        -------
        Shape `(n, d)`, float64.

        References
        ----------
        Tong et al., Simulation-free Schrödinger bridges via score and flow matching, AISTATS 2024.
        """
        raise self.without_score()

    def diffuse(
        self,
        x: FloatArray,
        t0: float,
        times: FloatArray | Sequence[float],
        *,
        sigma: float | None = None,
        n_rep: int = 1,
        random_state: RandomState = 0,
        scheme: Scheme = "heun",
        step: float | None = None,
        keys: IntArray | None = None,
        replicate: IntArray | None = None,
        context: FloatArray | None = None,
    ) -> Trajectories:
        r"""Move cells by a diffusion that has the marginals of the flow, forward or backward.

        Later times are reached by :math:`dX = (v + \tfrac{\sigma^2}{2} s) dt + \sigma dW`, earlier
        ones by its time reversal (Tong et al., see `drift`). The paths of a cell depend on the seed
        and its key, not on the other cells.

        Parameters
        ----------
        x, t0, times, context
            As of `simulate`.
        sigma
            As of `drift`: that of the bridge it was fitted with, or `0.5 / sqrt(median gap)`.
        n_rep, random_state
            Paths of each cell; seed of the noise.
        scheme, step
            See `cellflow.simulation.integrate_sde`; 1/25 of the mean interval by default.
        keys
            Name of each cell's noise: integers from 0, shape `(n,)`; row numbers by default.
        replicate
            Path that each cell follows, with `n_rep=1`, shape `(n,)`; the first by default.

        Returns
        -------
        `Trajectories` in data coordinates with `n * n_rep` paths, those of one cell together;
        `source` has the row of each.
        """
        raise self.without_score()

    def sample(
        self,
        n: int,
        t: float,
        *,
        n_steps: int = 10,
        random_state: RandomState = 0,
        context: FloatArray | None = None,
    ) -> FloatArray:
        """Draw cells of the population at a time by annealed Langevin dynamics.

        From the score alone, independent of the velocity, and so a check of it.

        Parameters
        ----------
        n, t
            Number of cells, and their time.
        n_steps, random_state
            Steps per noise level, and the seed.
        context
            Features of the population's condition, shape `(c,)`.

        Returns
        -------
        Positions in data coordinates, shape `(n, d)`.

        References
        ----------
        Song and Ermon, Generative modeling by estimating gradients of the data distribution, 2019.
        """
        raise self.without_score()

    def without_score(self) -> InputError:
        """The error of a query that needs a score, of a fit without one."""
        msg = (
            f"The flow was fitted without a score (method {self.recipe['name']!r}); fit with"
            " score=True, or method='sf2m'."
        )
        return InputError(msg)
