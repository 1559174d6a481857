"""The population at the times of a grid, which cells are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.adapter.reference import reference_cells
from cellflow.adapter.units import Time
from cellflow.analysis.age import Course
from cellflow.core._typing import FloatArray, IntArray
from cellflow.tl._times import time_grid

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["course_of", "grid_of", "parts_of"]

#: Cells that are compared together.
_CHUNK = 2000


def grid_of(fitted: Fitted, times: Sequence[Time] | FloatArray | None, n_times: int) -> FloatArray:
    """The given times, or `n_times` even ones and those of the snapshots; at least three.

    Raises
    ------
    InputError
        Fewer, or times outside the observed ones.
    """
    grid = time_grid(fitted, times, n_times, least=3)
    if times is None:
        grid = np.union1d(grid, fitted.flow.times)
    fitted.observed.require(grid, "the density")
    return grid


def course_of(adata: AnnData, fitted: Fitted, grid: FloatArray) -> Course:
    """The cells of the fit, moved to the times of a grid."""
    reference, _ = reference_cells(adata, fitted)
    return Course.of(fitted.flow, reference, grid)


def parts_of(rows: IntArray) -> list[IntArray]:
    """Rows in parts of some thousand."""
    return np.array_split(rows, np.arange(_CHUNK, len(rows), _CHUNK))
