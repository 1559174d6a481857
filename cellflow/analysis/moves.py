"""Mass between cell types over all intervals, by the plans of a fit or by optimal transport."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cellflow.analysis.celltypes import TypeMoves, type_moves
from cellflow.core._random import stream
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Auto
from cellflow.metrics.lineages import Lineage
from cellflow.model.base import FittedDynamics
from cellflow.model.coupled import couple_again

__all__ = ["moves_of_fit", "moves_of_transport", "thinned"]


def moves_of_fit(
    flow: FittedDynamics, snapshots: Snapshots, labels: np.ndarray, lineage: Lineage | None
) -> tuple[TypeMoves | None, ...]:
    """Mass between types by the fit's own coupling, which is solved again, and by pushed cells.

    Parameters
    ----------
    flow
        The fit.
    snapshots
        Measured cells.
    labels
        Type of every cell by its row of origin (`Population.index`); None where a cell has none.
    lineage
        Descendants of each type.

    Returns
    -------
    One per interval; None where a snapshot has no cells with a type.
    """
    plans = couple_again(flow, snapshots)
    inside = flow.frame.snapshots_to_model(snapshots)
    found = []
    parts = zip(plans, inside.intervals, snapshots.populations, strict=False)
    for plan, (source, target), start in parts:
        pushed = flow.simulate(start.x, source.time, [target.time], context=start.context).x[0]
        ends = flow.frame.to_model(pushed)
        found.append(type_moves(source, target, plan, labels, lineage=lineage, pushed=ends))
    return tuple(found)


def moves_of_transport(snapshots: Snapshots, labels: np.ndarray) -> tuple[TypeMoves | None, ...]:
    """Mass between types by optimal transport with the default coupling; see `moves_of_fit`."""
    found = []
    for source, target in snapshots.intervals:
        coupling, _ = Auto().choose(len(source), len(target), source.x.shape[1])
        found.append(type_moves(source, target, coupling(source, target), labels))
    return tuple(found)


def thinned(snapshots: Snapshots, most: int) -> Snapshots:
    """At most so many cells of each snapshot, of every condition its share."""
    some = tuple(_some(p, most, k) for k, p in enumerate(snapshots.populations))
    return replace(snapshots, populations=some)


def _some(cells: Population, most: int, k: int) -> Population:
    if len(cells) <= most:
        return cells
    rows = stream(0, k).permutation(len(cells))
    if cells.context is None:
        return cells.part(np.sort(rows[:most]))
    _, code = np.unique(cells.context[rows], axis=0, return_inverse=True)
    share = most / len(cells)
    groups = [rows[code.ravel() == c] for c in range(int(code.max()) + 1)]
    return cells.part(np.sort(np.concatenate([g[: max(1, round(share * len(g)))] for g in groups])))
