"""What an AnnData keeps of a fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.conditioned import named_plans
from cellflow.adapter.fingerprint import fingerprint
from cellflow.adapter.reference import kept_cells
from cellflow.adapter.store import pack, plain
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["fit_record"]


def fit_record(
    fitted: Flow, cells: Cells, names: np.ndarray, times: FloatArray, *, scale: str
) -> dict[str, Any]:
    """Return the model and everything that says how it was made, as plain values.

    Parameters
    ----------
    fitted
        The fitted flow.
    cells
        The cells of the fit.
    names
        Their names, shape `(n_obs,)`.
    times
        Their times without gaps, shape `(n_obs,)`.
    scale
        Scaling of the model's coordinates.
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
        "seconds": fitted.seconds,
        "condition_key": None if cells.conditions is None else cells.conditions.names,
        "scale": scale,
        "device": str(fitted.device),
        "shared_until": cells.shared_until,
    }
    if fitted.decoder is not None:
        params |= {"decoder": fitted.decoder.kind, "decoder_r2": fitted.decoder.r2}
    conditions = (
        {} if cells.conditions is None else {"conditions": json.dumps(cells.conditions.state())}
    )
    compared = cells.conditions is None and not fitted.generates
    reference = kept_cells(cells.snapshots(), fitted.seed) if compared else {}
    return conditions | {
        "cellflow_version": fitted.version,
        "kind": "fit",
        "params": plain(params),
        "model": pack(fitted),
        "history": dict(fitted.history),
        "plans": plain(named_plans(fitted.plans, cells)),
        "fingerprint": fingerprint(names, cells.x, times, ~cells.timed),
        **reference,
    }
