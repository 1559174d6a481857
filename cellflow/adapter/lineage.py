"""Clones of cells: barcodes in a column of `obs`, or cells by clones in `obsm`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.core._numbers import shown
from cellflow.errors import MissingKeyError, closest

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["clones_of", "read_clones"]


def read_clones(adata: AnnData, lineage_key: str) -> csr_matrix:
    """Which clones each cell belongs to, `(n_obs, n_clones)`, float64 of 0 or 1.

    Raises
    ------
    MissingKeyError
        Neither a column of `obs` nor a key of `obsm`.
    InputError
        No barcode at all, fractions as barcodes, or values in `obsm` other than 0 and 1.
    """
    return settle(clones_of(adata, lineage_key))


def clones_of(adata: AnnData, key: object) -> Examination[csr_matrix | None]:
    """Check and read clones; cells without a barcode (missing, or empty text) are in none."""
    if isinstance(key, str) and key in adata.obsm:
        return (yield from _of_matrix(adata.obsm[key], f"adata.obsm[{key!r}]"))
    if isinstance(key, str) and key in adata.obs.columns:
        return (yield from _of_column(adata.obs[key], f"adata.obs[{key!r}]"))
    known = [*map(str, adata.obs.columns), *map(str, adata.obsm)]
    remedy = f"Pass lineage_key= one of them{closest(key, known)}."
    expected = f"a column of obs with barcodes or a key of obsm with clones, one of {known}"
    yield Finding(
        f"lineage_key={shown(key)}", "is not in adata", expected, remedy,
        kind=MissingKeyError, argument="lineage_key",
    )  # fmt: skip
    return None


def _of_column(column: Any, where: str) -> Examination[csr_matrix | None]:
    """Clones of a column with one barcode per cell."""
    import pandas as pd
    from scipy.sparse import csr_matrix

    if column.ndim != 1:
        found = f"names {column.shape[1]} columns"
        yield Finding(where, found, "one column of that name", "Drop or rename the others.")
        return None
    values = column.dropna()
    if pd.api.types.is_float_dtype(column) and (values % 1 != 0).any():
        remedy = "Pass the column of the barcodes."
        yield Finding(where, "holds numbers with fractions", "barcodes", remedy)
        return None
    if pd.api.types.is_float_dtype(column):  # a missing value makes floats of whole numbers
        column = column.astype("Int64")
    text = column.astype(str).to_numpy(dtype=object).astype(str)
    rows = np.flatnonzero(~column.isna().to_numpy(dtype=bool) & (np.char.strip(text) != ""))
    if len(rows) == 0:
        yield from _empty(where)
        return None
    names, code = np.unique(text[rows], return_inverse=True)
    return csr_matrix(
        (np.ones(len(rows)), (rows, code.reshape(-1))), shape=(len(column), len(names))
    )


def _of_matrix(values: Any, where: str) -> Examination[csr_matrix | None]:
    """Clones of a matrix, cells by clones."""
    from scipy.sparse import csr_matrix, issparse

    try:
        matrix = csr_matrix(values if issparse(values) else np.asarray(values), dtype=np.float64)
    except (TypeError, ValueError):
        yield Finding(where, "holds no numbers", "0 or 1 for each cell and clone", "Convert it.")
        return None
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not (matrix.data == 1).all():
        found = f"holds {matrix.data[matrix.data != 1][0]:g}"
        remedy = "Make it so, for example with (matrix > 0).astype(int)."
        yield Finding(where, found, "0 or 1 for each cell and clone", remedy)
        return None
    if matrix.nnz == 0:
        yield from _empty(where)
        return None
    return matrix


def _empty(where: str) -> Iterator[Finding]:
    yield Finding(
        where, "holds no clone for any cell", "barcodes of some cells", "Pass another lineage_key=."
    )
