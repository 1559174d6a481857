"""Where cells were measured at a time, and which states lie elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from cellflow.core.population import Snapshots

__all__ = ["Cloud", "clouds_of"]

#: Neighbours whose mean distance says how far a state is from the cells.
_NEAR = 5
#: Share of the measured cells that are farther from the others than the limit.
_ALPHA = 0.01
#: Relative rounding of distances that are compared with the limit.
_ROUNDING = 1e-6
#: Cells of a snapshot that states are compared with.
_CELLS = 10_000


@dataclass(frozen=True, eq=False)
class Cloud:
    """Measured cells of one time, `(n, d)`, and how far 99 of 100 of them are from the others."""

    x: FloatArray
    limit: float

    @classmethod
    def of(cls, x: FloatArray) -> Self:
        """The limit of some cells; of a single cell there is none."""
        x = np.asarray(x, dtype=np.float64)
        if len(x) > _CELLS:
            # A choice that does not depend on the order of the cells.
            order = np.lexsort(x.T)
            x = x[order[np.linspace(0, len(x) - 1, _CELLS).round().astype(np.int64)]]
        if len(x) == 1:
            return cls(x, np.inf)
        distance, _ = nearest(x, x, min(_NEAR + 1, len(x)))
        # The first neighbour of a cell is itself.
        return cls(x, float(np.quantile(distance[:, 1:].mean(axis=1), 1.0 - _ALPHA)))

    def misses(self, x: FloatArray) -> np.ndarray:
        """Whether each state `(m, d)` is farther from the cells than the limit."""
        distance, _ = nearest(self.x, x, min(_NEAR, len(self.x)))
        return np.asarray(distance.mean(axis=1) > self.limit * (1.0 + _ROUNDING))


def clouds_of(snapshots: Snapshots) -> dict[float, Cloud]:
    """The cloud of the cells of every snapshot, by time."""
    return {p.time: Cloud.of(p.x[p.weight > 0]) for p in snapshots.populations}
