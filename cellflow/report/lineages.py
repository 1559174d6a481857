"""Mass between cell types from snapshot to snapshot, for the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.labels import read_labels
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.analysis.celltypes import TypeMoves, type_moves
from cellflow.core._random import stream
from cellflow.core._warn import collected
from cellflow.errors import CellFlowError
from cellflow.report.held import Held

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.adapter.fitted import Fitted
    from cellflow.core.population import Population, Snapshots
    from cellflow.metrics.lineages import Lineage

__all__ = ["Moves", "moved"]

#: Most cells of a snapshot that the plans of a report are solved for.
_MOST = 2000


@dataclass(frozen=True, eq=False)
class Moves:
    """Mass between cell types, and where it is from.

    Parameters
    ----------
    intervals
        One per pair of consecutive snapshots; None where a snapshot has no cells with a type.
    about
        Which plan it is, as a sentence.
    lineage
        What types become, as `cf.tl.diagnose` was told; None where it was not.
    reason
        Why something is missing.
    """

    intervals: tuple[TypeMoves | None, ...]
    about: str
    lineage: Lineage | None = None
    reason: str = ""


def moved(adata: AnnData, held: Held, cluster_key: str, fit_key: str) -> Moves:
    """Measure the mass between types: by the plan and the pushes of the fit at `fit_key`, else by optimal transport."""
    labels = read_labels(adata, cluster_key)
    record = adata.uns.get(fit_key)
    reason = ""
    if isinstance(record, Mapping) and "fingerprint" in record:
        lineage = _lineage(record, cluster_key)
        try:
            with collected():
                return _by_fit(read_fitted(adata, fit_key), labels, lineage, fit_key)
        except CellFlowError as error:
            reason = (
                f"Cells were not pushed, because the fit in adata.uns[{fit_key!r}] cannot be asked:"
                f" {error}"
            )
    try:
        return replace(_by_transport(adata, held, labels), reason=reason)
    except CellFlowError as error:
        return Moves(
            (),
            "",
            reason=f"{reason} The cells cannot be read, so no plan was solved: {error}".strip(),
        )


def _by_fit(fitted: Fitted, labels: np.ndarray, lineage: Lineage | None, fit_key: str) -> Moves:
    """Of the fit's own coupling, with cells that are pushed."""
    from cellflow.model.fitting import couple_again

    flow = fitted.flow
    snapshots = _thinned(fitted.cells.snapshots())
    plans = couple_again(flow, snapshots)
    inside = snapshots.moved([flow.frame.to_model(p.x) for p in snapshots.populations])
    found = []
    for plan, (source, target), start in zip(
        plans, inside.intervals, snapshots.populations, strict=False
    ):
        pushed = flow.simulate(start.x, source.time, [target.time], context=start.context).x[0]
        ends = flow.frame.to_model(pushed)
        found.append(type_moves(source, target, plan, labels, lineage=lineage, pushed=ends))
    about = (
        f"The plan is that of the fit in adata.uns[{fit_key!r}], solved"
        f" again{_part(fitted.cells.snapshots())}."
    )
    return Moves(tuple(found), about, lineage)


def _by_transport(adata: AnnData, held: Held, labels: np.ndarray) -> Moves:
    """Of optimal transport in the representation of the benchmark."""
    from cellflow.couplings import Auto

    with collected():
        cells = read(adata, Reading.of_params(held.params))
    snapshots = _thinned(cells.snapshots())
    found = []
    for source, target in snapshots.intervals:
        coupling, _ = Auto().choose(len(source), len(target), cells.x.shape[1])
        found.append(type_moves(source, target, coupling(source, target), labels))
    about = (
        f"The plan is that of optimal transport in {cells.use_rep}, the coupling of the"
        f" default{_part(cells.snapshots())}."
    )
    return Moves(tuple(found), about)


def _thinned(snapshots: Snapshots) -> Snapshots:
    """At most so many cells of each snapshot, of every condition its share."""
    return replace(
        snapshots, populations=tuple(_some(p, k) for k, p in enumerate(snapshots.populations))
    )


def _some(cells: Population, k: int) -> Population:
    if len(cells) <= _MOST:
        return cells
    rows = stream(0, k).permutation(len(cells))
    if cells.context is None:
        return cells.part(np.sort(rows[:_MOST]))
    _, code = np.unique(cells.context[rows], axis=0, return_inverse=True)
    share = _MOST / len(cells)
    groups = [rows[code.ravel() == c] for c in range(int(code.max()) + 1)]
    return cells.part(np.sort(np.concatenate([g[: max(1, round(share * len(g)))] for g in groups])))


def _part(snapshots: Snapshots) -> str:
    largest = max(len(p) for p in snapshots.populations)
    return f", between at most {_MOST:,} cells of each snapshot" if largest > _MOST else ""


def _lineage(record: Mapping[str, Any], cluster_key: str) -> Lineage | None:
    """What `cf.tl.diagnose` was told about these types."""
    diagnosis = record.get("diagnosis")
    params = diagnosis.get("params", {}) if isinstance(diagnosis, Mapping) else {}
    if str(params.get("cluster_key", "")) != cluster_key:
        return None
    known: dict[str, list[str]] = json.loads(str(params.get("lineage", "{}")))
    return known or None
