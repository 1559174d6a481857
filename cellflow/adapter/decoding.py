"""The decoder from a representation to genes, fitted to the expression in an AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cellflow._typing import FloatArray
from cellflow.adapter.positions import expression
from cellflow.decoder import Decoder

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["fitted_decoder", "stored_axes"]


def fitted_decoder(adata: AnnData, x: FloatArray, use_rep: str, layer: str | None = None) -> Decoder | None:
    """Fit the decoder from positions `x (n, d)` to genes; None where there is no expression.

    Raises
    ------
    MissingKeyError
        There is no such layer.
    InputError
        Expression that is no finite numbers.
    """
    rows = expression(adata, layer)
    if rows is None:
        return None
    axes = np.eye(adata.n_vars) if use_rep == "X" else stored_axes(adata, x.shape[1])
    return Decoder.fitted(x, rows, adata.var_names.tolist(), loadings=axes)


def stored_axes(adata: AnnData, n_dims: int) -> FloatArray | None:
    """The leading principal axes in `varm["PCs"]`, shape `(genes, n_dims)`; None where there are no such numbers."""
    stored: Any = adata.varm.get("PCs")
    if stored is None:
        return None
    stored = stored.toarray() if hasattr(stored, "toarray") else np.asarray(stored)
    if stored.ndim != 2 or stored.shape[1] < n_dims or stored.dtype.kind not in "fiu" or not np.isfinite(stored).all():
        return None
    return cast("FloatArray", stored[:, :n_dims].astype(np.float64))
