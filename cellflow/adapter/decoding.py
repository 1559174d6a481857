"""The decoder from a representation to genes, fitted to the expression in an AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow._typing import FloatArray
from cellflow.adapter.positions import expression
from cellflow.decoder import Decoder

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["fitted_decoder"]


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
    axes = np.eye(adata.n_vars) if use_rep == "X" else adata.varm.get("PCs")
    return Decoder.fitted(x, rows, adata.var_names.tolist(), loadings=axes)
