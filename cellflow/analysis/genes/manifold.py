"""Whether states lie where cells were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.conformal import Reference
from cellflow.analysis.fates import FateCells
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = ["Manifold"]

#: Cells of a time that states are compared with.
_COMPARED = 2000
#: Level of the conformal test: so many measured cells lie farther from the others.
_ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Manifold:
    """Measured cells of each time, which states are compared with in model coordinates."""

    flow: FittedDynamics
    cells: FateCells

    def share(self, x: FloatArray, time: float) -> float:
        """Share of states `(n, d)` that are no farther from the cells than 95 of 100 cells are.

        The distance is the mean of those to the five nearest cells; see `Reference`.
        """
        cells = self.cells
        rows = np.flatnonzero((cells.measured == time) & (cells.weight > 0))
        known = cells.x[cells.some(rows, _COMPARED)]
        reference = Reference(self.flow.frame.to_model(known))
        p = reference.p_values(self.flow.frame.to_model(np.asarray(x, dtype=np.float64)))
        return float((p > _ALPHA).mean())
