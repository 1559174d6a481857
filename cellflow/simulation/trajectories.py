"""Where cells are at a row of times."""

from __future__ import annotations

from dataclasses import dataclass

from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Trajectories"]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Cells moved through time.

    Parameters
    ----------
    times
        Shape `(T,)`, in the order asked for.
    x
        States, shape `(T, n, d)`.
    log_weight
        Logarithm of each cell's mass relative to its start, shape `(T, n)`; zero without growth.
    source
        Row that each path started from, shape `(n,)`.
    error
        Largest distance between a step and two half steps over the cells that were checked,
        relative to the spread of the cells; None for adaptive solvers.
    """

    times: FloatArray
    x: FloatArray
    log_weight: FloatArray
    source: IntArray
    error: float | None = None
