"""Genes that a call is asked about: found by name, decodable, and their measured expression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import Genes, asked_genes
from cellflow.adapter.expression import expression, expression_at
from cellflow.adapter.fitted import Fitted
from cellflow.adapter.reading import Reading
from cellflow.adapter.same_unit import require_same_unit, well_decoded
from cellflow.adapter.selection import Selection, gene_columns, shared_genes
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.decoder import MIN_R2, Expression, require_room
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["gene_values", "seen_genes"]

#: Rows of expression that are read together.
_BLOCK = 1024


def seen_genes(
    adata: AnnData, fitted: Fitted, genes: Selection | None = None, *, argument: str = "genes"
) -> Genes:
    """Find the genes that are asked for, all of which the representation can decode.

    Parameters
    ----------
    adata
        Whose genes they are.
    fitted
        The fit.
    genes
        Names, positions or a mask, in this order; by default all that can be decoded.
    argument
        What the user calls them.

    Raises
    ------
    MissingKeyError
        A name that does not exist, with the most similar one.
    InputError
        No gene; one that is named twice, or cannot be decoded; a fit without expression.

    Warns
    -----
    InputWarning
        Genes of `adata` that the fit has not seen, which are left out by default.
    """
    flow = fitted.flow
    if flow.decoder is None:
        msg = (
            f"The fit in adata.uns[{fitted.keys.uns!r}] has no decoder to genes. Expected"
            " expression in adata.X when it was made; fit again with cf.tl.flow."
        )
        raise InputError(msg)
    if genes is not None:
        _require_once(adata, genes, argument)
    found = asked_genes(adata, flow.decoder, genes, fitted.keys.uns)
    if found.decoder is None:
        msg = f"{argument}= chooses no gene; expected at least one."
        raise InputError(msg)
    good = found.decoder.decodable
    if genes is None:
        kept = np.flatnonzero(good)
        if len(kept) == 0:
            msg = (
                f"No gene can be decoded from {fitted.cells.use_rep!r}: all have a held-out R2"
                f" below {MIN_R2:g}. Expected a representation that was made of the expression."
            )
            raise InputError(msg)
        return Genes(found.columns[kept], found.decoder.only(kept))
    _require_decodable(fitted, found, argument)
    return found


def gene_values(adata: AnnData, fitted: Fitted, columns: IntArray) -> FloatArray:
    """Measured expression of some genes in the layer of the fit, float64 of shape `(n_obs, g)`.

    Raises
    ------
    MissingKeyError
        The layer is gone.
    InputError
        It is no longer there, is not finite, is in another unit than at the fit, or the result
        would take more than 2 GB.
    """
    require_room(adata.n_obs, len(columns), "Pass fewer genes, or fewer cells.", bytes_per_value=8)
    layer = Reading.of_params(fitted.params).layer
    rows = expression(adata, layer)
    if rows is None:
        msg = "adata.X is None. Expected the expression that the fit was made with."
        raise InputError(msg)
    values = _values(rows, columns, adata.n_obs)
    if not np.isfinite(values).all():
        bad = adata.var_names[columns[~np.isfinite(values).all(axis=0)]][:5].tolist()
        msg = f"Expression of {bad} is not finite. Expected finite numbers: fill the gaps."
        raise InputError(msg)
    decoder = fitted.flow.decoder
    if decoder is not None:
        shared, place = shared_genes(adata, decoder.genes)
        known = decoder.only(place)
        good = well_decoded(known)
        measured = _values(rows, shared[good], adata.n_obs)
        require_same_unit(known.only(good), fitted.x, measured, expression_at(layer))
    return values


def _values(rows: Expression, columns: IntArray, n: int) -> FloatArray:
    """Some columns of expression as a dense array."""
    values = np.empty((n, len(columns)))
    for part in _parts(n):
        values[part] = _dense(rows[part][:, columns])
    return values


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))


def _dense(block: Any) -> FloatArray:
    return np.asarray(block.toarray() if hasattr(block, "toarray") else block)


def _require_once(adata: AnnData, genes: Selection, argument: str) -> None:
    """Refuse a gene that is asked for twice."""
    columns = gene_columns(adata, genes)
    distinct, counts = np.unique(columns, return_counts=True)
    if (counts > 1).any():
        twice = adata.var_names[distinct[counts > 1]][:5].tolist()
        msg = f"{argument}= names {twice} more than once; expected each gene once."
        raise InputError(msg)


def _require_decodable(fitted: Fitted, found: Genes, argument: str) -> None:
    """Refuse genes that the representation cannot see, by their names."""
    decoder = found.decoder
    assert decoder is not None, "the caller has genes"
    bad = np.flatnonzero(~decoder.decodable)
    if len(bad) == 0:
        return
    r2 = np.zeros(len(decoder.genes)) if decoder.gene_r2 is None else decoder.gene_r2
    named = ", ".join(f"{str(decoder.genes[g])!r} (R2 {r2[g]:.2f})" for g in bad[:5])
    msg = (
        f"{argument}= holds genes that cannot be decoded from {fitted.cells.use_rep!r},"
        f" {len(bad)} in all: {named}. Expected genes with a held-out R2 of at least"
        f" {MIN_R2:g}; adata.var[{fitted.keys.gene_r2!r}] has that of all. Leave them out, or fit"
        " on a representation with more dimensions."
    )
    raise InputError(msg)
