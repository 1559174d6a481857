"""Genes of velocities: which are written, how they are marked in `var`, and their layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import Genes, asked_genes, means_all
from cellflow.adapter.fitted import Fitted
from cellflow.adapter.keys import Keys
from cellflow.adapter.places import written
from cellflow.adapter.record import record_of
from cellflow.adapter.selection import Selection, shared_genes
from cellflow.analysis.gene_layers import dense_layers, sparse_layers
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.decoder import MIN_R2, require_room

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["chosen_genes", "gene_layers", "gene_marks", "outdated_layers"]

#: Bytes of a value in one of two sparse layers: the value, and half of a column number, since both
#: layers share the column numbers.
_SPARSE = 6


def chosen_genes(adata: AnnData, fitted: Fitted, genes: Selection | None) -> Genes:
    """Genes to write, each once, in the order of `adata`; layers above 2 GB are refused."""
    if genes is None:
        return Genes(np.zeros(0, dtype=np.int64), None)
    asked = asked_genes(adata, fitted.flow.decoder, genes, fitted.keys.uns)
    if asked.decoder is None:
        return asked
    columns, first = np.unique(asked.columns, return_index=True)
    remedy = "Pass genes=[...] for some of them, or genes=None for none."
    r2 = fitted.keys.gene_r2
    if not means_all(adata, genes):
        require_room(adata.n_obs, len(columns), remedy, bytes_per_value=_SPARSE)
    else:
        if r2 in adata.var:
            remedy = (
                f"Pass genes=adata.var[{r2!r}] >= {MIN_R2:g} for those that can be decoded,"
                " genes=[...] for others, or genes=None for none."
            )
        require_room(adata.n_obs, adata.n_vars, remedy)
    return Genes(columns, asked.decoder.only(first))


def gene_marks(adata: AnnData, fitted: Fitted, chosen: Genes) -> dict[str, np.ndarray]:
    """Columns of `var`: which genes were chosen and can be decoded, and the R2 of all genes."""
    decoder = fitted.flow.decoder
    if chosen.decoder is None or decoder is None:
        return {}
    columns, positions = shared_genes(adata, decoder.genes)
    known = np.full(len(decoder.genes), np.nan) if decoder.gene_r2 is None else decoder.gene_r2
    return {
        fitted.keys.velocity_genes: _spread(
            adata, chosen.columns, chosen.decoder.decodable, fill=False
        ),
        fitted.keys.gene_r2: _spread(adata, columns, known[positions], fill=np.nan),
    }


def _spread(adata: AnnData, columns: IntArray, values: np.ndarray, *, fill: object) -> np.ndarray:
    """Values of some genes for all genes of `adata`."""
    result = np.full(adata.n_vars, fill, dtype=values.dtype)
    result[columns] = values
    return result


def gene_layers(
    adata: AnnData,
    genes: Selection | None,
    chosen: Genes,
    velocity: FloatArray,
    states: FloatArray | None,
    keys: Keys,
) -> dict[str, Any]:
    """Layers by name: velocity of the genes, and with `states` their expression.

    They are dense where all genes were asked for, else sparse.
    """
    if chosen.decoder is None:
        return {}
    decode = dense_layers if means_all(adata, genes) else sparse_layers
    layers = decode(chosen.decoder, velocity, states, chosen.columns, adata.shape)
    return dict(zip((keys.velocity(), keys.expression), layers, strict=False))


def outdated_layers(
    adata: AnnData, keys: Keys, name: str, made_for: np.ndarray
) -> set[tuple[str, str]]:
    """Layers of an earlier call, and their mark, that other velocities were decoded to.

    Parameters
    ----------
    adata, keys
        With a fit, and where it is.
    name
        Key in `obsm` of the velocities in the representation.
    made_for
        Hashes of the new ones; see `cellflow.adapter.hashes.rows_hash`.
    """
    before = record_of(adata, keys).get("made_for", {}).get(name)
    if before is not None and np.isin(made_for, np.asarray(before)).all():
        return set()
    layers = {("layers", keys.velocity()), ("layers", keys.expression)}
    return (layers | {("var", keys.velocity_genes)}) & written(adata, keys)
