"""The sample that each cell is of: an animal, a dish, a donor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.columns import column_of
from cellflow.adapter.findings import Examination, Finding
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["samples_of"]


def samples_of(
    adata: AnnData, key: str, time: FloatArray | None
) -> Examination[tuple[IntArray, tuple[str, ...]] | None]:
    """Check and read samples: the number of each cell's, `(n,)`, and their names.

    The number of a cell without a time may be -1: it has none.
    """
    column = yield from column_of(adata, key, "sample_key")
    if column is None:
        return None
    import pandas as pd

    where = f"adata.obs[{key!r}]"
    empty = column.isna().to_numpy(dtype=bool)
    timed = np.ones(adata.n_obs, dtype=bool) if time is None else ~np.isnan(time)
    bad = np.flatnonzero(empty & timed)
    if len(bad):
        found = f"holds no sample for {len(bad)} cells (first: {adata.obs_names[bad[0]]!r})"
        remedy = "Fill it in, or leave those cells out."
        yield Finding(where, found, "the sample of every cell with a time", remedy)
        return None
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 != 0).any():
        remedy = "Pass the column of the animal, dish or donor that cells were taken from."
        found = "holds numbers with fractions"
        yield Finding(where, found, "names of samples", remedy, argument="sample_key")
        return None
    if pd.api.types.is_float_dtype(column):  # a missing value makes floats of whole numbers
        column = column.astype("Int64")
    text = column.astype(str).to_numpy(dtype=object)
    names, code = np.unique(text[~empty].astype(str), return_inverse=True)
    sample = np.full(adata.n_obs, -1)
    sample[~empty] = code.reshape(-1)
    return sample, tuple(names.tolist())
