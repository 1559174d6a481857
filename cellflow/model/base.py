"""The protocol of a fitted dynamics, which analysis and the adapter use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cellflow.core._typing import FloatArray
from cellflow.core.decoder import Decoder
from cellflow.core.frame import Frame
from cellflow.core.population import Clock
from cellflow.errors import InputError
from cellflow.model.stochastic import Stochastic
from cellflow.simulation import Method, Trajectories

__all__ = ["FittedDynamics"]

#: Steps of a fixed-step solver per mean interval between snapshots.
_STEPS_PER_UNIT = 20


class FittedDynamics(Stochastic, Protocol):
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

        Examples
        --------
        >>> flow = cf.get.flow(adata)
        >>> x = adata.obsm["X_pca"][:10]
        >>> flow.velocity(x, 24.0).shape
        (10, 5)
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

        Examples
        --------
        >>> flow = cf.get.flow(adata)
        >>> x = adata.obsm["X_pca"][:10]
        >>> flow.simulate(x, 0.0, [24.0, 48.0]).x.shape
        (2, 10, 5)
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

        Examples
        --------
        >>> flow = cf.get.flow(adata)
        >>> x = adata.obsm["X_pca"][:10]
        >>> flow.head("velocity", x, 24.0).shape
        (10, 5)
        """
        if name == "velocity":
            return self.velocity(x, t, context=context)
        if name == "score" and name in self.heads:
            return self.score(x, t, context=context)
        msg = f"No head {name!r}; the fit has {list(self.heads)}."
        raise InputError(msg)
