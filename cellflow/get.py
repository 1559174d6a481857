"""Read out: the fitted flow of an AnnData, and tables that are too large to keep in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.read import require_anndata
from cellflow.adapter.selection import Selection, gene_columns, shared_genes
from cellflow.adapter.store import load_flow
from cellflow.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.flow import Flow

__all__ = ["flow", "velocity"]


def flow(adata: AnnData, *, key: str = DEFAULT) -> Flow:
    """Return the fitted `Flow` that `cf.tl.flow` stored.

    Parameters
    ----------
    adata
        With a fit.
    key
        Where it is.

    Raises
    ------
    MissingKeyError
        No fit under this key; the message lists those there are.
    ModelFileError
        A model that is damaged or of a newer format.
    """
    require_anndata(adata)
    return load_flow(adata, Keys(key))


def velocity(adata: AnnData, genes: Selection | None = None, *, key: str = DEFAULT) -> pd.DataFrame:
    """Return the velocity of genes in every cell at its own time, in expression per unit of time.

    Parameters
    ----------
    adata
        With a fit.
    genes
        Names, positions or a mask, returned in their order; by default all that the representation can decode.
    key
        Where the fit is.

    Returns
    -------
    Cells by genes, float32.

    Raises
    ------
    InputError
        No fit, no expression to decode to, an unknown gene, or a table above 2 GB.
    """
    import numpy as np
    import pandas as pd

    fitted = read_fitted(adata, key)
    decoder = fitted.flow.decoder
    if decoder is None:
        msg = f"The fit in adata.uns[{key!r}] has no decoder. Expected expression in adata.X when it was made; fit again."
        raise InputError(msg)
    here, there = shared_genes(adata, decoder.genes)
    position = dict(zip(here.tolist(), there.tolist(), strict=True))
    columns = here[decoder.decodable[there]] if genes is None else gene_columns(adata, genes)
    unknown = [str(adata.var_names[c]) for c in columns if int(c) not in position]
    if unknown:
        msg = f"genes= holds {len(unknown)} genes that the fit has not seen: {unknown[:5]}. Expected its own; fit again."
        raise InputError(msg)
    chosen = decoder.only(np.array([position[int(c)] for c in columns], dtype=np.int64))
    values = chosen.velocities(fitted.flow.velocity(fitted.x, fitted.times, context=fitted.cells.context))
    return pd.DataFrame(values, index=adata.obs_names, columns=adata.var_names[columns])
