"""Terminal states: where the field comes to rest, cells are dense, and volumes shrink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = ["divergence", "terminal_states"]

#: Step of the differences that a divergence is computed by, relative to the spread of the cells.
#: The error of rounding in single precision is then below a thousandth.
_STEP = 1e-2
#: Rows of which velocities are computed together.
_ROWS = 65_536
#: Distance to the farthest neighbour, relative to the median, up to which cells are dense.
_DENSE = 1.0


def divergence(
    flow: FittedDynamics, x: FloatArray, time: float, context: FloatArray | None = None
) -> FloatArray:
    """Divergence of the velocity at cells `(n, d)` by central differences, shape `(n,)`."""
    scale = np.asarray(x, dtype=np.float64).std(axis=0)
    step = _STEP * np.where(scale > 0, scale, scale.max() or 1.0)
    total = np.zeros(len(x))
    size = max(1, _ROWS // (2 * x.shape[1]))
    for first in range(0, len(x), size):
        part = slice(first, first + size)
        here = np.asarray(x[part], dtype=np.float64)
        features = None if context is None else context[part]
        for axis in range(x.shape[1]):
            move = np.zeros(x.shape[1])
            move[axis] = step[axis]
            ends = [flow.velocity(here + s * move, time, context=features) for s in (1.0, -1.0)]
            total[part] += (ends[0][:, axis] - ends[1][:, axis]) / (2.0 * step[axis])
    return total


def terminal_states(
    flow: FittedDynamics,
    x: FloatArray,
    time: float,
    *,
    context: FloatArray | None = None,
    max_speed: float = 0.25,
    n_neighbors: int = 15,
    min_cells: int = 10,
) -> IntArray:
    r"""Find groups of cells of one time at which the field comes to rest.

    A cell is in a terminal state if, on the mean over it and its neighbours, the speed is low and
    the divergence of the velocity is below zero, and if the distance to its farthest neighbour is
    at most the median one. Such cells are joined where one is among the neighbours of the other;
    groups of at least `min_cells` are terminal states.

    Parameters
    ----------
    flow
        The fitted dynamics.
    x
        Cells of one time, shape `(n, d)`.
    time
        Their time.
    context
        Features of their conditions, shape `(n, c)`.
    max_speed
        Largest speed: the distance in a mean interval between snapshots, as a share of the mean
        distance of the cells from their mean.
    n_neighbors
        Neighbours of a cell.
    min_cells
        Cells of a state at least.

    Returns
    -------
    Number of the state of each cell, the largest first; -1 for none.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(x)
    distance, rows = nearest(x, x, min(n_neighbors + 1, n))
    spread = float(np.linalg.norm(x - x.mean(axis=0), axis=1).mean())
    speed = np.linalg.norm(flow.velocity(x, time, context=context), axis=1)
    slow = speed[rows].mean(axis=1) * flow.clock.unit <= max_speed * spread
    shrinks = divergence(flow, x, time, context)[rows].mean(axis=1) < 0
    dense = distance[:, -1] <= _DENSE * np.median(distance[:, -1])
    chosen = slow & shrinks & dense
    i = np.repeat(np.arange(n), rows.shape[1])
    j = rows.ravel()
    both = chosen[i] & chosen[j]
    graph = csr_matrix((np.ones(int(both.sum())), (i[both], j[both])), shape=(n, n))
    _, group = connected_components(graph, directed=False)
    sizes = np.bincount(group[chosen], minlength=group.max() + 1)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= min_cells]
    number = np.full(len(sizes), -1)
    number[order] = np.arange(len(order))
    return np.where(chosen, number[group], -1)
