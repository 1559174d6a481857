"""What `cf.tl.flow` writes: the record of the fit, and fields of cells and genes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.conditioned import named_plans
from cellflow.adapter.decoding import has_expression
from cellflow.adapter.fingerprint import fingerprint
from cellflow.adapter.keys import PREDICTED, Keys
from cellflow.adapter.reference import kept_cells
from cellflow.adapter.store import pack, plain
from cellflow.adapter.write import Staged
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.decoder import Decoder
    from cellflow.model.flow import Flow

__all__ = ["places_of", "record_of", "staged_of"]


def record_of(
    fitted: Flow, cells: Cells, names: np.ndarray, times: FloatArray, *, scale: str
) -> dict[str, Any]:
    """The model and everything that says how it was made, as plain values.

    The names of the cells and their times without gaps have shape `(n_obs,)`.
    """
    params = {
        **cells.reading.params,
        "time_unit": cells.unit,
        "time_zero": cells.zero,
        "method": str(fitted.recipe["name"]),
        "n_obs": len(cells.x),
        "n_untimed": cells.n_untimed,
        "random_state": fitted.seed,
        "threads": fitted.threads,
        "score": "score" in fitted.heads,
        "growth": "growth" in fitted.heads,
        "seconds": fitted.seconds,
        "n_members": max(1, len(fitted.members)),
        "condition_key": None if cells.conditions is None else cells.conditions.names,
        "scale": scale,
        "device": str(fitted.device),
        "shared_until": cells.shared_until,
    }
    if fitted.decoder is not None:
        params |= {"decoder": fitted.decoder.kind, "decoder_r2": fitted.decoder.r2}
    record = {
        "cellflow_version": fitted.version,
        "kind": "fit",
        "params": plain(params),
        "model": pack(fitted),
        "history": dict(fitted.history),
        "plans": plain(named_plans(fitted.plans, cells)),
        "fingerprint": fingerprint(names, cells.as_read, times, ~cells.timed),
    }
    if cells.conditions is not None:
        record["conditions"] = json.dumps(cells.conditions.state())
    elif not fitted.generates:
        record |= kept_cells(cells.snapshots(), fitted.seed)
    return record


def staged_of(
    keys: Keys,
    record: dict[str, Any],
    times: FloatArray,
    cells: Cells,
    predicted: np.ndarray,
    decoder: Decoder | None,
) -> Staged:
    """Everything that is written, by slot and key; which cells are predictions, `(n_obs,)`."""
    staged: Staged = {
        "uns": {keys.uns: record},
        "obs": {keys.time: times, keys.time_inferred: ~cells.timed, PREDICTED: predicted},
    }
    if decoder is not None and decoder.gene_r2 is not None:
        staged["var"] = {keys.gene_r2: decoder.gene_r2}
    return staged


def places_of(adata: AnnData, keys: Keys, layer: str | None) -> list[tuple[str, str]]:
    """(slot, key) of everything that is written."""
    places = [("uns", keys.uns), ("obs", keys.time), ("obs", keys.time_inferred)]
    return places + [("var", keys.gene_r2)] * has_expression(adata, layer)
