"""Transition probabilities between measured cells of successive snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.fates.cells import FateCells, Region, Targets, region
from cellflow.analysis.fates.votes import kernel
from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import naming_cells

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from cellflow.model.base import FittedDynamics

__all__ = ["Transitions", "transitions"]

#: Cells that are moved together.
_CHUNK = 20_480


@dataclass(frozen=True, eq=False)
class Transitions:
    """Transition probabilities.

    Parameters
    ----------
    matrix
        Row-stochastic, shape `(n, n)`.
    lost
        Which cells are moved to where no cell lives, shape `(n,)`; their rows lead to the nearest
        cells all the same.
    """

    matrix: csr_matrix
    lost: np.ndarray


def transitions(flow: FittedDynamics, cells: FateCells, *, n_neighbors: int) -> Transitions:
    """Move every cell to the next snapshot, and spread it over the cells near to where it lands.

    A cell of the last snapshot leads to itself.

    Parameters
    ----------
    flow
        The fitted dynamics.
    cells
        The cells.
    n_neighbors
        Cells that a row leads to, with the weights of a Gaussian kernel of half the distance to the
        farthest of them, times their own.
    """
    from scipy.sparse import csr_matrix

    times = np.unique(cells.measured[~np.isnan(cells.measured)])
    lost = np.zeros(len(cells), dtype=bool)
    parts: list[tuple[IntArray, IntArray, FloatArray]] = []
    for start in np.unique(cells.start).tolist():
        group = np.flatnonzero(cells.start == start)
        later = times[times > start]
        if len(later) == 0:
            parts.append((group, group[:, None], np.ones((len(group), 1))))
            continue
        time = float(later[0])
        known = _everywhere(cells, time)
        for first in range(0, len(group), _CHUNK):
            rows = group[first : first + _CHUNK]
            with naming_cells(rows):
                moved = flow.simulate(cells.x[rows], start, [time], context=cells.features(rows))
            lost[rows] = known.votes(moved.x[0])[0][:, -1] == 1.0
            parts.append((rows, *_spread(cells, time, moved.x[0], n_neighbors)))
    i = np.concatenate([np.repeat(rows, there.shape[1]) for rows, there, _ in parts])
    j = np.concatenate([there.ravel() for _, there, _ in parts])
    share = np.concatenate([shares.ravel() for _, _, shares in parts])
    matrix = csr_matrix((share, (i, j)), shape=(len(cells), len(cells)))
    matrix.sort_indices()
    return Transitions(matrix, lost)


def _spread(
    cells: FateCells, time: float, x: FloatArray, n_neighbors: int
) -> tuple[IntArray, FloatArray]:
    """Cells of a snapshot near to states, `(m, k)`, and their shares of each state."""
    there = np.flatnonzero((cells.measured == time) & (cells.weight > 0))
    distance, rows = nearest(cells.x[there], x, n_neighbors)
    found = there[rows]
    weight = cells.weight[found] * kernel(distance)
    return found, weight / weight.sum(axis=1, keepdims=True)


def _everywhere(cells: FateCells, time: float) -> Region:
    """The classifier of where cells live at a time, of one label for all of them."""
    n = len(cells)
    return region(
        cells, Targets(("a cell",), np.zeros(n, dtype=np.int64), time, np.ones(n, dtype=bool)), time
    )
