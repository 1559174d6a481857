"""Mass between cell types from snapshot to snapshot, for the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.columns import read_labels
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.analysis.celltypes import TypeMoves
from cellflow.analysis.moves import moves_of_fit, moves_of_transport, thinned
from cellflow.core._warn import collected
from cellflow.errors import CellFlowError
from cellflow.report.held import Held

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.population import Snapshots
    from cellflow.metrics.lineages import Lineage

__all__ = ["Moves", "read_moves"]

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
        Descendants of each type, as given to `cf.tl.diagnose`, or None.
    reason
        Why something is missing.
    """

    intervals: tuple[TypeMoves | None, ...]
    about: str
    lineage: Lineage | None = None
    reason: str = ""


def read_moves(adata: AnnData, held: Held, cluster_key: str, fit_key: str) -> Moves:
    """Mass between types by the fit at `fit_key`, else by optimal transport."""
    labels = read_labels(adata, cluster_key)
    record = adata.uns.get(fit_key)
    reason = ""
    if isinstance(record, Mapping) and "fingerprint" in record:
        try:
            with collected():
                return _by_fit(adata, fit_key, labels, _lineage(record, cluster_key))
        except CellFlowError as error:
            reason = (
                f"Cells were not pushed, because the fit in adata.uns[{fit_key!r}] cannot be asked:"
                f" {error}"
            )
    try:
        return _by_transport(adata, held, labels, reason)
    except CellFlowError as error:
        failed = f"{reason} The cells cannot be read, so no plan was solved: {error}".strip()
        return Moves((), "", reason=failed)


def _by_fit(adata: AnnData, fit_key: str, labels: np.ndarray, lineage: Lineage | None) -> Moves:
    fitted = read_fitted(adata, fit_key)
    snapshots = fitted.cells.snapshots()
    moves = moves_of_fit(fitted.flow, thinned(snapshots, _MOST), labels, lineage)
    plan = f"that of the fit in adata.uns[{fit_key!r}], solved again{_part(snapshots)}"
    return Moves(moves, f"The plan is {plan}.", lineage)


def _by_transport(adata: AnnData, held: Held, labels: np.ndarray, reason: str) -> Moves:
    """By optimal transport in the representation of the benchmark."""
    with collected():
        cells = read(adata, Reading.of_params(held.params))
    snapshots = cells.snapshots()
    about = (
        f"The plan is that of optimal transport in {cells.use_rep}, the coupling of the"
        f" default{_part(snapshots)}."
    )
    return Moves(moves_of_transport(thinned(snapshots, _MOST), labels), about, reason=reason)


def _part(snapshots: Snapshots) -> str:
    largest = max(len(p) for p in snapshots.populations)
    return f", between at most {_MOST:,} cells of each snapshot" if largest > _MOST else ""


def _lineage(record: Mapping[str, Any], cluster_key: str) -> Lineage | None:
    """Descendants of these types, as given to `cf.tl.diagnose`."""
    diagnosis = record.get("diagnosis")
    params = diagnosis.get("params", {}) if isinstance(diagnosis, Mapping) else {}
    if str(params.get("cluster_key", "")) != cluster_key:
        return None
    known: dict[str, list[str]] = json.loads(str(params.get("lineage", "{}")))
    return known or None
