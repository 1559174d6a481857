"""A column of cell types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.errors import MissingKeyError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_labels"]


def read_labels(adata: AnnData, cluster_key: str) -> np.ndarray:
    """Return the type of every cell as text, shape `(n_obs,)`; None where it has none.

    Raises
    ------
    MissingKeyError
        No such column; the message lists those there are.
    InputError
        A column of numbers with fractions, without any value, or two columns of that name.
    """
    return settle(_examined(adata, cluster_key))


def _examined(adata: AnnData, key: str) -> Examination[np.ndarray | None]:
    import pandas as pd

    where = f"adata.obs[{key!r}]"
    known = [str(name) for name in adata.obs]
    if key not in adata.obs:
        remedy = f"Pass cluster_key= one of them{closest(key, known)}."
        yield Finding(where, "is missing", f"one of {known}", remedy, kind=MissingKeyError)
        return None
    column = adata.obs[key]
    if column.ndim != 1:
        found = f"names {column.shape[1]} columns"
        yield Finding(where, found, "one column of that name", "Drop or rename the others.")
        return None
    values = column.dropna()
    if len(values) == 0:
        remedy = "Fill it, or pass another cluster_key=."
        yield Finding(where, "holds no value for any cell", "types of the cells", remedy)
        return None
    if pd.api.types.is_float_dtype(column) and (values % 1 != 0).any():
        remedy = "Pass another cluster_key=, or make groups of it with pandas.cut."
        yield Finding(where, "holds numbers with fractions", "types of the cells", remedy)
        return None
    labels = column.astype(str).to_numpy(dtype=object)
    labels[column.isna().to_numpy(dtype=bool)] = None
    return np.asarray(labels, dtype=object)
