"""The decoder to genes: fitted to the expression in an AnnData, and restricted to chosen genes."""

from __future__ import annotations

import logging
from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.expression import expression, expression_at
from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.scale import examine_scale, stored_axes
from cellflow.adapter.selection import Selection, gene_columns, shared_genes
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.core.decoder import MIN_R2, Decoder, require_room
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = [
    "Genes",
    "asked_genes",
    "examine_decoder",
    "fitted_decoder",
    "has_expression",
    "means_all",
]

logger = logging.getLogger("cellflow")


def has_expression(adata: AnnData, layer: str | None = None) -> bool:
    """Whether there is expression to decode to; its values are not read."""
    return adata.n_vars > 0 and (adata.X is not None if layer is None else layer in adata.layers)


def fitted_decoder(
    adata: AnnData, x: FloatArray, use_rep: str, layer: str | None = None
) -> Decoder | None:
    """Fit the decoder from positions `x (n, d)` to genes; None where there is no expression.

    Raises
    ------
    MissingKeyError
        There is no such layer.
    InputError
        Expression that is no finite numbers.

    Warns
    -----
    InputWarning
        Expression on a linear scale, a representation that was made from it, or expression that
        cannot be decoded at all.
    """
    decoder = settle(examine_decoder(adata, x, use_rep, layer))
    if decoder is not None and decoder.gene_r2 is not None:
        logger.info(
            "%d of %d genes can be decoded from %s: R2 of at least %g on cells kept out (median of"
            " all genes %.2f)",
            decoder.decodable.sum(),
            len(decoder.genes),
            use_rep,
            MIN_R2,
            np.median(decoder.gene_r2),
        )
    return decoder


def examine_decoder(
    adata: AnnData, x: FloatArray, use_rep: str, layer: str | None = None
) -> Examination[Decoder | None]:
    """Check the expression that positions `x (n, d)` are decoded to, and fit the decoder."""
    rows = expression(adata, layer)
    if rows is None:
        return None
    where = expression_at(layer)
    if use_rep != "X":  # else the same values have been looked at as positions
        yield from examine_scale(adata, rows, x, use_rep, layer)
    axes = np.eye(adata.n_vars) if use_rep == "X" else stored_axes(adata, x.shape[1])
    decoder = Decoder.fitted(x, rows, adata.var_names.tolist(), loadings=axes)
    if not decoder.decodable.any():
        found = f"cannot be decoded from {use_rep!r}: no gene has a held-out R2 of {MIN_R2:g}"
        remedy = (
            "Pass layer= with it; otherwise predicted genes hardly differ from their means, and"
            " their velocities from 0."
        )
        yield Finding(
            where, found, "the expression that the representation was made from", remedy, "warning"
        )
    return decoder


@dataclass(frozen=True, eq=False)
class Genes:
    """The genes of an answer.

    Parameters
    ----------
    columns
        Their columns in `adata`, shape `(g,)`.
    decoder
        Theirs, in the same order; None where no gene can be had or none was asked for.
    """

    columns: IntArray
    decoder: Decoder | None

    def require_room(self, n: int) -> None:
        """Make sure, before any work, that an answer about `n` cells stays within 2 GB.

        Raises
        ------
        InputError
            It does not.
        """
        remedy = "Pass genes= for some of them, genes=[] for none, or ask for fewer cells."
        require_room(n, len(self.columns), remedy)


def asked_genes(
    adata: AnnData, decoder: Decoder | None, genes: Selection | None, key: str
) -> Genes:
    """Find the genes that are asked for among those of a fit.

    Parameters
    ----------
    adata
        Whose genes they are now.
    decoder
        Of the fit, or None.
    genes
        Names, positions or a mask, returned in their order, each once. By default, or `"all"`, all
        that `adata` and the fit share; with `"all"` there have to be some.
    key
        Where the fit is.

    Raises
    ------
    InputError
        Genes that the fit has not seen, a fit without expression, or an `adata` that shares no gene
        with the fit.

    Warns
    -----
    InputWarning
        Genes of `adata` that the fit has not seen, which are left out by default.
    """
    none = Genes(np.zeros(0, dtype=np.int64), None)
    if _is_empty(genes):
        return none
    if decoder is None:
        if genes is None:
            return none
        msg = (
            f"genes={shown(genes)}, but the fit in adata.uns[{key!r}] has no decoder. Expected"
            " expression in adata.X when it was made; fit again with it."
        )
        raise InputError(msg)
    is_all = genes is None or means_all(adata, genes)
    named = None if is_all else gene_columns(adata, genes)  # type: ignore[arg-type] # not None here
    if named is not None and len(named) == 0:  # a mask of none
        return none
    columns, positions = shared_genes(adata, decoder.genes)
    if len(columns) == 0:
        raise InputError(_renamed(adata, decoder, key))
    if named is None:
        if len(columns) < adata.n_vars:
            warn(_partly_renamed(adata, decoder, columns, key), InputWarning)
        return Genes(columns, decoder.only(positions))
    _, first = np.unique(named, return_index=True)
    chosen = named[np.sort(first)]  # each once: an AnnData with repeated names is of little use
    place = np.full(adata.n_vars, -1)
    place[columns] = positions
    unknown = adata.var_names[chosen[place[chosen] < 0]].tolist()
    if unknown:
        msg = (
            f"genes= holds {len(unknown)} genes that the fit in adata.uns[{key!r}] has not seen:"
            f" {unknown[:5]}. Expected some of its own, {_shown(decoder.genes)}."
            f" {_names_again(adata, decoder, key)}"
        )
        raise InputError(msg)
    return Genes(chosen, decoder.only(place[chosen]))


def means_all(adata: AnnData, genes: Selection | None) -> bool:
    """Whether all genes are asked for by the word `"all"`, which is no gene of `adata`."""
    return isinstance(genes, str) and genes == "all" and "all" not in adata.var_names


def _is_empty(genes: object) -> bool:
    size = getattr(genes, "size", None)
    if isinstance(size, int):
        return size == 0
    return isinstance(genes, Sized) and not isinstance(genes, str) and len(genes) == 0


def _renamed(adata: AnnData, decoder: Decoder, key: str) -> str:
    return (
        f"None of the {adata.n_vars:,} genes in adata.var_names, {_shown(adata.var_names)}, is one"
        f" of the {len(decoder.genes):,} of the fit in adata.uns[{key!r}], {_shown(decoder.genes)}."
        f" Expected the names of the fit. {_names_again(adata, decoder, key)} With genes=[] none is"
        " asked for."
    )


def _partly_renamed(adata: AnnData, decoder: Decoder, columns: IntArray, key: str) -> str:
    unknown = np.delete(adata.var_names.to_numpy(dtype=str), columns)
    missing = len(decoder.genes) - len(columns)
    return (
        f"{len(unknown):,} of the {adata.n_vars:,} genes in adata.var_names ({_shown(unknown)}) are"
        f" not among the {len(decoder.genes):,} of the fit in adata.uns[{key!r}] and get no values;"
        f" {missing:,} of the fit are not in adata. Expected the names of the fit."
        f" {_names_again(adata, decoder, key)} Or pass genes= for those you need."
    )


def _names_again(adata: AnnData, decoder: Decoder, key: str) -> str:
    """How the genes get the names back that they had at the fit."""
    known = set(decoder.genes.tolist())
    shares = {
        str(name): len(known.intersection(adata.var[name].astype(str)))
        for name in adata.var.columns
        if adata.var[name].dtype.kind not in "biufc"
    }
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is not None and shares[best] > len(known.intersection(adata.var_names)):
        return f"Set adata.var_names = adata.var[{best!r}], which holds {shares[best]:,} of them."
    if adata.n_vars == len(known):
        flow = "cf.get.flow(adata)" if key == DEFAULT else f"cf.get.flow(adata, key={key!r})"
        return (
            f"If their order is as it was, set adata.var_names = {flow}.decoder.genes; else fit"
            " again with cf.tl.flow."
        )
    return "Restore them, or fit again with cf.tl.flow."


def _shown(names: pd.Index | np.ndarray) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:3])
    return f"{shown}, ..." if len(names) > 3 else shown
