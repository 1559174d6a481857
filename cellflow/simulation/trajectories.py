"""Cells at a row of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Trajectories", "joined"]


@dataclass(frozen=True, eq=False, repr=False)
class Trajectories(Compact):
    """Cells moved through time.

    Parameters
    ----------
    times
        Shape `(T,)`, in the order of the call.
    x
        States, shape `(T, n, d)`.
    along
        Quantities integrated along each path from its start, by name, shape `(T, n)` each.
    source
        Row that each path started from, shape `(n,)`.
    error
        Largest distance between a step and two half steps over the cells that were checked,
        relative to the spread of the cells; None for solvers that do not estimate it.

    Examples
    --------
    >>> flow = cf.get.flow(adata)
    >>> moved = flow.simulate(adata.obsm["X_pca"][:10], 0.0, [24.0, 48.0])
    >>> moved.x.shape
    (2, 10, 5)
    """

    times: FloatArray
    x: FloatArray
    along: Mapping[str, FloatArray]
    source: IntArray
    error: float | None = None

    @property
    def log_weight(self) -> FloatArray:
        """Logarithm of each cell's mass relative to its start, `(T, n)`; zero without growth."""
        zeros = np.zeros(self.x.shape[:2])
        return np.asarray(self.along.get("log_weight", zeros))

    def weights(self, weight: FloatArray) -> FloatArray:
        """Masses of the cells at each time, shape `(T, n)`, from masses `(n,)` at the start."""
        return np.asarray(weight[self.source] * np.exp(self.log_weight))


def joined(times: FloatArray, parts: Sequence[tuple[np.ndarray, Trajectories]]) -> Trajectories:
    """Trajectories of the same paths at all `times`, of parts that each have those of a mask."""
    order = np.argsort(np.concatenate([np.flatnonzero(mask) for mask, _ in parts]))
    moved = [part for _, part in parts]
    along = {
        name: np.concatenate([part.along[name] for part in moved])[order] for name in moved[0].along
    }
    x = np.concatenate([part.x for part in moved])[order]
    return Trajectories(times, x, along, moved[0].source)
