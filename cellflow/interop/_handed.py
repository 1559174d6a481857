"""An AnnData for another tool, which leaves the one of the user unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["handed_over", "with_csr_neighbors"]

#: Matrices between cells that `sc.pp.neighbors` writes.
_GRAPHS = ("connectivities", "distances")


def handed_over(adata: AnnData, call: str) -> AnnData:
    """Return an AnnData of the same cells that a tool may write into.

    Tables and dictionaries are copies. Matrices are shared, so that it takes hardly any memory; a
    tool that replaces one replaces it in the new AnnData only.

    Raises
    ------
    InputError
        An AnnData in a file.
    """
    import anndata

    if adata.isbacked:
        msg = (
            f"adata is backed by a file, and cf.interop.{call} hands over one in memory. Pass"
            " adata.to_memory()."
        )
        raise InputError(msg)
    if adata.is_view:
        adata = adata.copy()
    raw = adata.raw
    return anndata.AnnData(
        X=adata.X,
        obs=adata.obs.copy(),
        var=adata.var.copy(),
        uns=_copied(adata.uns),
        obsm=dict(adata.obsm),
        varm=dict(adata.varm),
        # anndata 0.13 has `X` among them, under None.
        layers={name: layer for name, layer in adata.layers.items() if name is not None},
        obsp=dict(adata.obsp),
        varp=dict(adata.varp),
        raw=None if raw is None else {"X": raw.X, "var": raw.var, "varm": dict(raw.varm)},
    )


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dictionaries inside of dictionaries as copies; arrays are shared."""
    return {
        key: _copied(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
    }


def with_csr_neighbors(target: AnnData) -> None:
    """Replace the matrices of neighbours by `csr_matrix`, the only kind that scVelo reads."""
    import scipy.sparse as sp

    for name in _GRAPHS:
        if name in target.obsp:
            graph = target.obsp[name]
            if not sp.isspmatrix_csr(graph):
                graph = graph if sp.issparse(graph) else np.asarray(graph)
                target.obsp[name] = sp.csr_matrix(graph)
