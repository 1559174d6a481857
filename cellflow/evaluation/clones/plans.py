"""How much of a plan's mass stays in its clone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans import EdgePlan, Plan
from cellflow.evaluation.clones.cells import ClonalCells

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Shared", "chance", "precision", "shared_of"]

#: Numbers in a block of clones that a plan is averaged over.
_CHUNK = 2**24


@dataclass(frozen=True, eq=False)
class Shared:
    """Cells of one snapshot, each with every clone of it that has a cell in the next one.

    Parameters
    ----------
    interval
        Number of the interval.
    time
        Time of the snapshot.
    cell
        Row of the cell in the snapshot, `(m,)`.
    clone
        Number of the clone, `(m,)`.
    """

    interval: int
    time: float
    cell: IntArray
    clone: IntArray


def shared_of(cells: ClonalCells, interval: int) -> Shared:
    """Cells whose clone has a cell in the next snapshot."""
    source, target = cells.snapshots.intervals[interval]
    there = _lineage(target.lineage).getnnz(axis=0) > 0
    pairs = _lineage(source.lineage).tocoo()
    kept = np.flatnonzero(there[pairs.col] & (source.weight[pairs.row] > 0))
    kept = kept[np.lexsort((pairs.col[kept], pairs.row[kept]))]
    return Shared(
        interval, source.time, pairs.row[kept].astype(np.int64), pairs.col[kept].astype(np.int64)
    )


def precision(cells: ClonalCells, plan: Plan, shared: Shared) -> FloatArray:
    """Share of the mass from each cell that reaches its clone in the next snapshot, `(m,)`.

    NaN for a cell from which no mass leaves.
    """
    later = _lineage(cells.snapshots[shared.interval + 1].lineage)
    if isinstance(plan, EdgePlan):
        return _of_edges(plan, later, shared)
    found = np.empty(len(shared.cell))
    clones = np.unique(shared.clone)
    step = max(1, _CHUNK // max(plan.shape))
    for start in range(0, len(clones), step):
        block = clones[start : start + step]
        mean = plan.barycentre(later[:, block].toarray())
        here = np.flatnonzero(np.isin(shared.clone, block))
        found[here] = mean[shared.cell[here], np.searchsorted(block, shared.clone[here])]
    return found


def chance(cells: ClonalCells, shared: Shared) -> FloatArray:
    """Weight of each cell's clone in the next snapshot, `(m,)`: precision of independent pairs."""
    target = cells.snapshots[shared.interval + 1]
    share = np.asarray(_lineage(target.lineage).T @ target.weight)
    return share[shared.clone]


def _of_edges(plan: EdgePlan, later: csr_matrix, shared: Shared) -> FloatArray:
    from scipy.sparse import csr_matrix

    edges = csr_matrix((plan.mass, (plan.i, plan.j)), shape=plan.shape)
    inside = csr_matrix(edges @ later)[shared.cell, shared.clone]
    leaving = plan.row_mass[shared.cell]
    empty = np.full(len(shared.cell), np.nan)
    found: FloatArray = np.divide(np.asarray(inside).ravel(), leaving, out=empty, where=leaving > 0)
    return found


def _lineage(lineage: csr_matrix | None) -> csr_matrix:
    assert lineage is not None  # checked by ClonalCells
    return lineage
