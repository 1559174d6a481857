"""Cells and genes as people name them, as row and column numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cellflow.core._numbers import shown
from cellflow.core._typing import IntArray
from cellflow.errors import InputError, MissingKeyError, nearest_name

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Selection", "cell_rows", "gene_columns", "shared_genes"]

#: A mask, positions, or names; one name or position may stand alone.
Selection: TypeAlias = "np.ndarray | pd.Series | pd.Index | Sequence[bool | int | str] | int | str"


def cell_rows(adata: AnnData, cells: Selection) -> IntArray:
    """Row numbers of chosen cells, in the given order; a mask keeps the order of `adata`.

    Raises
    ------
    InputError
        No cell; a mask of another length, positions out of range, or names that are not there or
        stand for several cells.
    """
    rows = _positions(cells, adata.obs_names, "cells", "adata.obs_names")
    if len(rows) == 0:
        msg = f"cells={shown(cells)} chooses no cell; pass at least one, or leave cells= out."
        raise InputError(msg)
    return rows


def gene_columns(adata: AnnData, genes: Selection) -> IntArray:
    """Column numbers of chosen genes, as `cell_rows`; there may be none."""
    return _positions(genes, adata.var_names, "genes", "adata.var_names")


def shared_genes(adata: AnnData, genes: np.ndarray) -> tuple[IntArray, IntArray]:
    """Columns of `adata`, and positions in `genes`, of shared genes, in the order of `adata`.

    Raises
    ------
    InputError
        The two differ and one of them repeats names, so that they cannot be matched.
    """
    names = adata.var_names.to_numpy(dtype=str)
    if np.array_equal(names, genes):
        return np.arange(len(names)), np.arange(len(names))
    again = "fit again with cf.tl.flow, on cells whose genes have different names"
    for where, known, remedy in (
        ("adata.var_names", names, "call adata.var_names_make_unique()"),
        ("the list of genes of the fit", genes, again),
    ):
        distinct, counts = np.unique(known, return_counts=True)
        if (counts > 1).any():
            repeated = distinct[counts > 1][:5].tolist()
            msg = (
                f"The genes are not those of the fit, and {where} repeats {repeated}; expected one"
                f" name a gene: {remedy}."
            )
            raise InputError(msg)
    _, columns, positions = np.intersect1d(names, genes, return_indices=True)
    order = np.argsort(columns)
    return columns[order], positions[order]


def _positions(chosen: Selection, names: pd.Index, argument: str, where: str) -> IntArray:
    """Positions of chosen entries: a mask, positions or names."""
    try:
        values = np.atleast_1d(np.asarray(chosen))
    except ValueError:  # lists of several lengths
        values = np.empty((0, 0), dtype=object)
    n = len(names)
    if values.ndim != 1 or (
        values.dtype.kind == "O" and not all(isinstance(v, str) for v in values)
    ):
        found = (
            f"{argument}={shown(chosen)} is neither a mask, nor positions, nor names from {where}"
        )
        msg = f"{found}; pass one of these as a list."
        raise InputError(msg)
    if values.size == 0:
        return np.zeros(0, dtype=np.int64)
    if values.dtype.kind == "b":
        _require_mask(chosen, values, names, argument, where)
        return np.flatnonzero(values)
    if values.dtype.kind in "iu":
        outside = values[(values < 0) | (values >= n)]
        if len(outside):
            msg = (
                f"{argument}= holds position {outside[0]}; expected 0 to {n - 1}. Positions count"
                f" from zero in {where}."
            )
            raise InputError(msg)
        return values.astype(np.int64)
    if values.dtype.kind in "UO":
        return _named([str(v) for v in values], names, argument, where)
    msg = (
        f"{argument}= has dtype {values.dtype}; expected a mask (bool), positions (int), or names"
        f" from {where}."
    )
    raise InputError(msg)


def _require_mask(
    chosen: Selection, values: np.ndarray, names: pd.Index, argument: str, where: str
) -> None:
    """Require that a mask has one value per entry, in the same order."""
    import pandas as pd

    if len(values) != len(names):
        msg = (
            f"{argument}= is a mask of length {len(values)}; expected {len(names)}, one value per"
            f" entry of {where}."
        )
        raise InputError(msg)
    if isinstance(chosen, pd.Series) and not (
        chosen.index.equals(names) or isinstance(chosen.index, pd.RangeIndex)
    ):
        msg = (
            f"{argument}= is a mask with another index than {where}; pass mask.loc[{where}], or"
            " mask.to_numpy()."
        )
        raise InputError(msg)


def _named(wanted: Sequence[str], names: pd.Index, argument: str, where: str) -> IntArray:
    unknown = [name for name in wanted if name not in names]
    if unknown:
        found = f"{argument}= holds {len(unknown)} names that are not in {where}: {unknown[:5]}"
        hints = [
            f"for {name!r} did you mean {hint!r}?"
            for name in unknown[:5]
            if (hint := nearest_name(name, names))
        ]
        msg = f"{found}; {' '.join(hints) or f'names look like {list(map(str, names[:3]))}.'}"
        raise MissingKeyError(msg)
    known: Any = names  # its stubs take an index, where a list will do
    repeated = sorted({name for name in wanted if known.get_indexer_for([name]).size > 1})
    if repeated:
        msg = (
            f"{argument}= holds names that stand for several entries of {where}: {repeated[:5]}."
            " Pass positions or a mask."
        )
        raise InputError(msg)
    return np.asarray(known.get_indexer_for(wanted), dtype=np.int64)
