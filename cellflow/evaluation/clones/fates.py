"""Predicted fates of the cells of clones: by plans, by neighbours, by a fitted flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.fates import FateCells, Targets, fates
from cellflow.core._neighbors import nearest
from cellflow.core._typing import BoolArray, FloatArray
from cellflow.core.plans import Plan
from cellflow.core.population import Snapshots
from cellflow.evaluation.clones.cells import ClonalCells

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = [
    "clones_of_neighbours",
    "flow_fates",
    "majority",
    "nearest_labels",
    "of_neighbours",
    "plan_fates",
]


def plan_fates(cells: ClonalCells, plans: Sequence[Plan]) -> FloatArray:
    r"""Shares of the labels among the descendants of each cell by chained plans, `(n, n_labels)`.

    A cell :math:`i` of weight :math:`a_i` sends :math:`\pi_{ij}` to cell :math:`j`, whose weight
    is :math:`b_j` and to which :math:`c_j` arrives in all. Its descendants at the end are

    .. math:: v_i = \frac1{a_i} \sum_j \pi_{ij} \frac{b_j}{c_j} v_j,

    so that a relaxed plan, whose pairs grow, gives the later snapshot its own weights. Cells
    without a labelled descendant have the shares of all cells of the last time.
    """
    values = [cells.members]
    pairs = list(zip(cells.snapshots.intervals, plans, strict=True))
    for (source, target), plan in reversed(pairs):
        arriving = np.divide(
            target.weight, plan.col_mass, out=np.zeros(len(target)), where=plan.col_mass > 0
        )
        mean = np.nan_to_num(plan.barycentre(values[0] * arriving[:, None]))
        leaving = np.divide(
            plan.row_mass, source.weight, out=np.zeros(len(source)), where=source.weight > 0
        )
        values.insert(0, mean * leaving[:, None])
    return _normalised(np.concatenate(values), cells)


def of_neighbours(
    shares: FloatArray, snapshots: Snapshots, n_neighbors: int | None = None
) -> FloatArray:
    """Mean shares of the nearest cells of the same snapshot, the cell itself among them.

    Parameters
    ----------
    shares
        Of the cells of all snapshots, one after the other, `(n, k)`.
    snapshots
        With their positions.
    n_neighbors
        How many; the square root of the number of cells if None.
    """
    found = []
    start = 0
    for p in snapshots.populations:
        own = shares[start : start + len(p)]
        found.append(_voted(p.x, own, p.x, n_neighbors))
        start += len(p)
    return np.concatenate(found)


def nearest_labels(
    cells: ClonalCells, n_neighbors: int | None = None, x: FloatArray | None = None
) -> FloatArray:
    """Shares of the labels among the nearest labelled cells of the last time, `(n, n_labels)`.

    Parameters
    ----------
    cells
        The cells.
    n_neighbors
        How many vote; the square root of the number of labelled cells if None.
    x
        Positions `(n, d)` instead of those at which the cells were measured.
    """
    known = np.flatnonzero(cells.label >= 0)
    places = cells.snapshots[-1].x[known]
    here = positions_of(cells.snapshots) if x is None else x
    return _voted(places, cells.members[known], here, n_neighbors)


def clones_of_neighbours(
    cells: ClonalCells, seen: BoolArray, n_neighbors: int | None = None
) -> FloatArray:
    """Mean shares of the clones of the nearest early cells, of clones that may be seen.

    Parameters
    ----------
    cells
        The cells.
    seen
        Which clones may be seen, `(n_clones,)`.
    n_neighbors
        How many cells vote; the square root of the number of such cells if None.
    """
    there = cells.observations.part(seen[cells.observations.clone])
    x = positions_of(cells.snapshots)
    if len(there) == 0:
        return majority(cells)
    counts = cells.counts[there.clone]
    known = counts / counts.sum(axis=1, keepdims=True)
    return _voted(x[there.cell], known, x, n_neighbors)


def majority(cells: ClonalCells) -> FloatArray:
    """Shares of the labels among all cells of the last time, for every cell, `(n, n_labels)`."""
    return np.tile(cells.shares, (len(cells.time), 1))


def flow_fates(cells: ClonalCells, flow: FittedDynamics) -> FloatArray:
    """Shares of the labels where a flow moves each cell to, `(n, n_labels)`; see `cf.tl.fates`.

    Mass that is undecided is left out.
    """
    weight = np.concatenate([p.weight * len(p) for p in cells.snapshots.populations])
    asked = FateCells(
        positions_of(cells.snapshots),
        cells.time,
        cells.time,
        weight,
        np.concatenate([p.index for p in cells.snapshots.populations]),
    )
    end = cells.snapshots[-1].time
    code = np.full(len(cells.time), -1)
    code[cells.time == end] = cells.label
    found = fates(flow, asked, Targets(cells.names, code, end, code >= 0))
    return _normalised(found.probability[:, :-1], cells)


def positions_of(snapshots: Snapshots) -> FloatArray:
    """Positions of the cells of all snapshots, one after the other, `(n, d)`."""
    return np.concatenate([np.asarray(p.x, dtype=np.float64) for p in snapshots.populations])


def _voted(
    places: FloatArray, votes: FloatArray, x: FloatArray, n_neighbors: int | None
) -> FloatArray:
    """Mean of the votes `(m, k)` of the places nearest to each of `x` `(n, d)`."""
    wanted = round(len(places) ** 0.5) if n_neighbors is None else n_neighbors
    rows = nearest(places, x, max(1, wanted))[1]
    return np.asarray(votes[rows].mean(axis=1))


def _normalised(values: FloatArray, cells: ClonalCells) -> FloatArray:
    """Rows of sum one; those without anything have the shares of all cells of the last time."""
    total = values.sum(axis=1, keepdims=True)
    common = np.tile(cells.shares, (len(values), 1))
    return np.asarray(np.divide(values, total, out=common, where=total > 0))
