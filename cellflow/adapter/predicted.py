"""Which cells of an AnnData are predictions of an earlier fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.adapter.keys import PREDICTED
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["examine_predicted", "predicted_cells"]

#: Times that a message lists.
_LISTED = 5
_WHERE = f"adata.obs[{PREDICTED!r}]"


def predicted_cells(adata: AnnData) -> np.ndarray:
    """Which cells are predictions, shape `(n_obs,)`; where nothing says so, none is.

    Raises
    ------
    InputError
        A column that is not one of True and False.
    """
    return settle(_mask(adata))


def _mask(adata: AnnData) -> Examination[np.ndarray | None]:
    """Check and read the column, which `anndata.concat` may have left with missing values."""
    if PREDICTED not in adata.obs:
        return np.zeros(adata.n_obs, dtype=bool)
    column = adata.obs[PREDICTED]
    if column.ndim == 1 and column.dropna().isin([True, False]).all():
        return np.asarray(column.astype("boolean").to_numpy(dtype=bool, na_value=False))
    expected = "True for predicted and False for measured cells, which cf.tl.flow writes"
    yield Finding(_WHERE, "holds other values", expected, "Delete or rename it.")
    return None


def examine_predicted(adata: AnnData, time: FloatArray | None) -> Examination[None]:
    """Report predictions among the cells, which would be taken as measured; `time (n_obs,)`."""
    mask = yield from _mask(adata)
    if mask is None or not mask.any():
        return
    known = np.zeros(0) if time is None else time[mask]
    times, counts = np.unique(known[np.isfinite(known)], return_counts=True)
    pairs = list(zip(times, counts, strict=True))
    shown = ", ".join(f"{t:g} ({n:,})" for t, n in pairs[:_LISTED])
    more = f" and {len(pairs) - _LISTED} more" if len(pairs) > _LISTED else ""
    at = f", at times {shown}{more}" if pairs else ""
    found = f"is True for {mask.sum():,} of {len(mask):,} cells{at}: predictions of an earlier fit"
    remedy = (
        "They are taken as measured, and a fit or a hold-out of them confirms the fit that made"
        f" them. To leave them out, pass adata[~{_WHERE}]."
    )
    yield Finding(_WHERE, found, "measured cells", remedy, "warning")
