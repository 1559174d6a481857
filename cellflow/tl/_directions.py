"""Velocities as wide as the representation, and how sure an ensemble is of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.adapter.write import Staged
from cellflow.analysis.members import confidence
from cellflow.core._spread import Spread
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["padded", "sure_columns", "sure_places"]


def padded(adata: AnnData, fitted: Fitted, latent: FloatArray) -> FloatArray:
    """Velocities as wide as the representation, since other tools pair the two."""
    use_rep = fitted.cells.use_rep
    width = adata.n_vars if use_rep == "X" else adata.obsm[use_rep].shape[1]
    wide = np.zeros((len(latent), width), dtype=np.float32)
    wide[:, : latent.shape[1]] = latent
    return wide


def sure_places(fitted: Fitted) -> list[tuple[str, str]]:
    """(slot, key) of what is written beside the velocities of an ensemble."""
    keys = fitted.keys
    places = [("obsm", keys.se("velocity")), ("obs", keys.velocity_confidence)]
    return places if fitted.flow.members else []


def sure_columns(
    adata: AnnData, fitted: Fitted, latent: FloatArray, found: Spread | None
) -> Staged:
    """Standard errors of velocities, and how well their directions are known."""
    if found is None:
        return {"obsm": {}}
    keys = fitted.keys
    return {
        "obsm": {keys.se("velocity"): padded(adata, fitted, found.se)},
        "obs": {keys.velocity_confidence: confidence(latent, found.se)},
    }
