"""Trajectories of measured cells over one grid of times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.following import follow, follow_noisily
from cellflow.analysis.observed import Observed, growth
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics
    from cellflow.simulation import Trajectories

__all__ = ["CellTrajectories", "Noise", "trajectories"]

#: Largest size of all states, in bytes.
_LIMIT = 2 * 1024**3


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of stochastic trajectories.

    Parameters
    ----------
    n_rep
        Trajectories of each cell.
    seed
        Seed of the noise.
    keys
        What the noise of each cell depends on beside the seed: non-negative integers, shape `(n,)`.
    """

    n_rep: int
    seed: int
    keys: IntArray


@dataclass(frozen=True, eq=False)
class CellTrajectories:
    """States of cells at the times of a grid.

    Parameters
    ----------
    moved
        The trajectories, those of one cell after each other.
    n_rep
        Trajectories of each cell; None for those of the flow.
    starts
        Time of each cell, shape `(n,)`.
    observed
        Times at which the fit has cells.
    growth
        See `cellflow.analysis.observed.growth`; None where no time of the grid is extrapolated.
    """

    moved: Trajectories
    n_rep: int | None
    starts: FloatArray
    observed: Observed
    growth: float | None

    @property
    def states(self) -> FloatArray:
        """States, float32, shape `(n, T, d)`; of stochastic trajectories `(n, n_rep, T, d)`."""
        states = self.moved.x.transpose(1, 0, 2)
        if self.n_rep is None:
            return states
        return states.reshape(len(self.starts), self.n_rep, *states.shape[1:])

    @property
    def extrapolated(self) -> np.ndarray:
        """Whether each time of the grid is outside the observed ones, shape `(T,)`."""
        times = self.moved.times
        return np.isin(times, self.observed.outside(times))

    def warn(self) -> None:
        """Warn where times are outside the observed ones."""
        self.observed.warn(np.append(self.starts, self.moved.times), self.growth)


def trajectories(
    flow: FittedDynamics,
    x: FloatArray,
    starts: FloatArray,
    times: FloatArray,
    *,
    noise: Noise | None = None,
    context: FloatArray | None = None,
    measured: FloatArray | None = None,
    extrapolate: bool = False,
) -> CellTrajectories:
    """Move cells forward from their own times and backward before them.

    Parameters
    ----------
    flow
        The fitted dynamics.
    x
        Positions, shape `(n, d)`.
    starts
        Time of each cell, shape `(n,)`.
    times
        Increasing times of the states, shape `(T,)`.
    noise
        Of the diffusion with the same marginals; needs a flow with a score. None for the flow.
    context
        Features of the cells' conditions, shape `(n, c)`.
    measured
        Cells that extrapolated states are compared with, shape `(m, d)`; `x` by default.
    extrapolate
        Allow times more than one mean interval outside the observed ones.

    Raises
    ------
    InputError
        Such times without `extrapolate`, states above 2 GB, or noise for a flow without a score.
    IntegrationError
        A state that is not finite.
    """
    _require_room(len(x) * (1 if noise is None else noise.n_rep), len(times), x.shape[1])
    observed = Observed.by(flow)
    observed.require_reached(np.append(starts, times), extrapolate=extrapolate)
    if noise is None:
        moved = follow(flow, x, starts, times, context=context)
    else:
        moved = follow_noisily(
            flow,
            x,
            starts,
            times,
            n_rep=noise.n_rep,
            seed=noise.seed,
            keys=noise.keys,
            context=context,
        )
    beyond = np.isin(times, observed.outside(times))
    outside = moved.x[beyond].reshape(-1, x.shape[1])
    grown = growth(outside, x if measured is None else measured) if beyond.any() else None
    return CellTrajectories(moved, None if noise is None else noise.n_rep, starts, observed, grown)


def _require_room(n: int, n_times: int, d: int) -> None:
    size = n * n_times * d * 4
    if size > _LIMIT:
        msg = (
            f"Trajectories of {n:,} cells at {n_times} times in {d} dimensions take"
            f" {size / 1024**3:.1f} GB; expected at most {_LIMIT / 1024**3:.0f} GB. Ask for fewer"
            " times or cells: cf.tl.simulate follows some of them."
        )
        raise InputError(msg)
