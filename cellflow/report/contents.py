"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cellflow.adapter.bases import find_basis
from cellflow.adapter.columns import read_labels
from cellflow.adapter.read import require_anndata
from cellflow.report.held import Held

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Contents", "read_contents"]

#: Embeddings that are looked for, in this order.
_EMBEDDINGS = ("X_umap", "X_tsne", "X_phate", "X_draw_graph_fa", "X_draw_graph_fr")


@dataclass(frozen=True, eq=False)
class Contents:
    """What a report is made of.

    Parameters
    ----------
    adata
        The cells.
    held
        The benchmark, read from `adata.uns[key]`.
    key
        Where in `adata.uns` the benchmark is.
    fit_key
        Where in `adata.uns` a fit may be.
    embedding
        Key in `adata.obsm` of the embedding to draw on; None for no such picture.
    cluster_key
        Column of `adata.obs` with cell types, or None.
    answers
        Tables of the fit, where they are stored: `"fates"`, `"growth"`, `"comparison"`.
    """

    adata: AnnData
    held: Held
    key: str
    fit_key: str
    embedding: str | None
    cluster_key: str | None
    answers: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def read_contents(
    adata: AnnData, key: str, fit_key: str, *, basis: str | None, cluster_key: str | None
) -> Contents:
    """Read what a report is made of; arguments as those of `cf.bench.report`.

    Raises
    ------
    MissingKeyError
        No benchmark under this key, no such embedding, no such column.
    InputError
        A record that is not complete.
    """
    require_anndata(adata)
    held = Held.of(adata, key)
    if cluster_key is None:
        kept = held.params.get("cluster_key")
        cluster_key = str(kept) if kept in adata.obs else None
    else:
        read_labels(adata, cluster_key)
    if basis is None:
        names = [n for n in _EMBEDDINGS if n in adata.obsm and n != held.params["use_rep"]]
        embedding = names[0] if names else None
    else:
        embedding = find_basis(adata, basis)
    return Contents(adata, held, key, fit_key, embedding, cluster_key)
