"""Velocities for scVelo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.bases import spelled
from cellflow.adapter.decoding import Genes, asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.selection import Selection
from cellflow.analysis.gene_layers import dense_layers
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core.decoder import require_room
from cellflow.errors import MissingKeyError
from cellflow.interop._handed import handed_over, with_csr_neighbors

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["to_scvelo"]

#: The names that scVelo reads, whatever the key of the fit is.
_NAMES = Keys(DEFAULT)


@guarded
def to_scvelo(
    adata: AnnData,
    *,
    genes: Selection | None = None,
    extrapolate: bool = False,
    key: str = DEFAULT,
) -> AnnData:
    """Return an AnnData that scVelo draws and computes with, of velocities in `adata`.

    It has the velocities of all genes that can be decoded, which `scv.tl.velocity_graph` reads, and
    arrows in embeddings, which the plots read. `adata` is unchanged. Tables of the new AnnData are
    copies, and matrices are shared where scVelo reads them as they are.

    Parameters
    ----------
    adata
        Cells with a fit, and with velocities in an embedding (`cf.tl.velocity(adata,
        basis="umap")`).
    genes
        Genes to hand over velocities of, for `scv.tl.velocity_graph`, `velocity_confidence` and
        `rank_velocity_genes`: names, positions, a mask, or `"all"` that the fit has. None: those
        that can be decoded; a fit without expression has none. `[]`: arrows in embeddings only,
        which is all that the plots need.
    extrapolate
        Allow velocities of genes in cells of any time; see `cf.tl.push`.
    key
        `key_added` of the fit. Names of the results are those of the default key, which scVelo
        reads.

    Returns
    -------
    A new AnnData of the same cells and genes, with, for `basis="umap"`,

    - `obsm["velocity_umap"]` and `obsm["X_umap"]`: float64, shape (n_obs, 2); of other types,
      scVelo's stream plots fail now and then.
    - `uns["velocity_params"]`: dict. Its `embeddings` name these.
    - `layers["velocity"]`, `layers["Ms"]`: float32, shape (n_obs, n_vars). Velocity and decoded
      expression of the genes, zero for others; not with `genes=[]`.
    - `var["velocity_genes"]`: bool, shape (n_vars,). Which of them can be decoded.
    - `obsp["connectivities"]`, `obsp["distances"]`: `csr_matrix`, where there are any.

    Raises
    ------
    MissingKeyError
        No fit, or no velocities in an embedding and no `genes`.
    InputError
        Unknown genes; or, unless `genes=[]`, layers above 2 GB, or cells more than one mean
        interval outside the times of the fit without `extrapolate`.

    Warns
    -----
    IntegrationWarning
        Cells of a time outside the observed ones.

    References
    ----------
    Bergen et al., Generalizing RNA velocity to transient cell states through dynamical modeling,
    Nature Biotechnology 2020.

    Examples
    --------
    >>> cf.tl.velocity(adata, basis="umap")
    >>> handed = cf.interop.to_scvelo(adata)
    >>> handed.layers["velocity"].shape == adata.shape
    True
    >>> # scVelo lives in an environment of its own.
    >>> scv.tl.velocity_graph(handed)  # doctest: +SKIP
    >>> scv.pl.velocity_embedding_stream(handed, basis="umap")  # doctest: +SKIP
    """
    check_arguments(to_scvelo, locals())
    fitted = read_fitted(adata, key)
    keys = fitted.keys
    bases = _bases(adata, keys, fitted)
    if not bases and genes is None:
        msg = (
            "adata.obsm has no velocities of this fit in an embedding. Expected some: call"
            f" cf.tl.velocity(adata, basis='umap'{keys.argument}) before."
        )
        raise MissingKeyError(msg)
    chosen = _chosen(adata, fitted, genes, extrapolate=extrapolate)
    target = handed_over(adata, "to_scvelo")
    for basis, position in bases.items():
        target.obsm[f"X_{basis}"] = np.array(adata.obsm[position], dtype=np.float64)
        velocity = np.array(adata.obsm[keys.velocity(basis)], dtype=np.float64)
        target.obsm[_NAMES.velocity(basis)] = velocity
    with_csr_neighbors(target)
    target.uns[_NAMES.velocity_params] = {
        **dict(adata.uns.get(keys.velocity_params, {})),
        # `velocity_graph` takes square roots of velocities where this says "stochastic".
        "mode": "deterministic",
        "embeddings": np.array(list(bases), dtype=object),
    }
    if chosen is not None:
        _add_genes(target, fitted, chosen)
    return target


def _bases(adata: AnnData, keys: Keys, fitted: Fitted) -> dict[str, str]:
    """Embeddings with velocities: the key of `obsm` that holds their positions, by name."""
    start = keys.velocity("")
    keyed = (str(name) for name in adata.obsm)
    names = [name.removeprefix(start) for name in keyed if name.startswith(start)]
    found = {name: spelled(adata, f"X_{name}") for name in names if name != fitted.basis}
    return {
        name: position
        for name, position in found.items()
        if position is not None
        and np.shape(adata.obsm[position]) == np.shape(adata.obsm[keys.velocity(name)])
    }


def _chosen(
    adata: AnnData, fitted: Fitted, genes: Selection | None, *, extrapolate: bool
) -> Genes | None:
    """Genes to hand over, each once, in the order of `adata`; None where there are none."""
    asked = asked_genes(adata, fitted.flow.decoder, genes, fitted.keys.uns)
    if asked.decoder is None:
        return None
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    remedy = (
        "scVelo reads dense layers: pass adata[:, genes].copy() with fewer genes, or genes=[] for"
        " arrows in embeddings only."
    )
    require_room(adata.n_obs, adata.n_vars, remedy)
    fitted.observed.warn(fitted.times)
    columns, first = np.unique(asked.columns, return_index=True)
    if genes is None:
        kept = asked.decoder.decodable[first]
        columns = columns[kept]
        first = first[kept]
    return Genes(columns, asked.decoder.only(first)) if len(columns) else None


def _add_genes(target: AnnData, fitted: Fitted, chosen: Genes) -> None:
    """Velocity and decoded expression of genes, under the names that scVelo reads."""
    assert chosen.decoder is not None, "genes without a decoder are none"
    velocity = fitted.flow.velocity(fitted.x, fitted.times, context=fitted.cells.context)
    decoded = (chosen.decoder, velocity, fitted.x, chosen.columns, target.shape)
    layers = dense_layers(*decoded)
    target.layers[_NAMES.velocity()] = layers[0]
    target.layers[_NAMES.expression] = layers[1]
    marks = np.zeros(target.n_vars, dtype=bool)
    marks[chosen.columns] = chosen.decoder.decodable
    target.var[_NAMES.velocity_genes] = marks
