"""Velocities of genes as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.selection import Selection
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._warn import warn
from cellflow.core.decoder import MIN_R2, Decoder
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["velocity"]


@guarded
def velocity(
    adata: AnnData, genes: Selection | None = None, *, extrapolate: bool = False, key: str = DEFAULT
) -> pd.DataFrame:
    """Return the velocity of genes in every cell at its own time, in expression per unit of time.

    Parameters
    ----------
    adata
        Cells with a fit.
    genes
        Names, positions or a mask; the columns are in this order. By default all genes that can be
        decoded from the representation, those with a held-out R2 of at least 0.1.
    extrapolate
        Allow cells of any time; see `cf.tl.push`.
    key
        `key_added` of the fit.

    Returns
    -------
    Cells by genes, float32, shape `(n_obs, n_genes)`; `.attrs["gene_r2"]` holds the held-out R2 of
    each gene by its name.

    Raises
    ------
    InputError
        No fit, no expression to decode to, an unknown gene, a table above 2 GB, or cells more than
        one mean interval outside the times of the fit without `extrapolate`.

    Warns
    -----
    IntegrationWarning
        Cells of a time outside the observed ones.
    InputWarning
        Chosen genes that cannot be decoded from the representation, or none that can; genes of
        `adata` that the fit does not have.

    See Also
    --------
    cellflow.tl.velocity

    Examples
    --------
    >>> cf.get.velocity(adata, ["SOX2", "GATA1"])  # doctest: +SKIP
    """
    check_arguments(velocity, locals())
    import pandas as pd

    fitted = read_fitted(adata, key)
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    if fitted.flow.decoder is None:
        msg = (
            f"The fit in adata.uns[{key!r}] has no decoder. Expected expression in adata.X when it"
            " was made; fit again."
        )
        raise InputError(msg)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    if asked.decoder is None:
        return pd.DataFrame(index=adata.obs_names, columns=adata.var_names[:0], dtype=np.float32)
    _warn_of_undecodable(fitted, asked.decoder, are_chosen=genes is not None)
    asked.require_room(adata.n_obs)
    columns = asked.columns
    decoder = asked.decoder
    if genes is None:
        good = np.flatnonzero(decoder.decodable)
        columns = columns[good]
        decoder = decoder.only(good)
    latent = fitted.flow.velocity(fitted.x, fitted.times, context=fitted.cells.context)
    values = decoder.velocities(latent)
    fitted.observed.warn(fitted.times)
    table = pd.DataFrame(values, index=adata.obs_names, columns=adata.var_names[columns])
    if decoder.gene_r2 is not None:
        r2 = decoder.gene_r2.tolist()
        table.attrs["gene_r2"] = dict(zip(table.columns.astype(str), r2, strict=True))
    return table


def _warn_of_undecodable(fitted: Fitted, decoder: Decoder, *, are_chosen: bool) -> None:
    """Warn of chosen genes that cannot be decoded, and where no gene can."""
    good = decoder.decodable
    if good.all() or (good.any() and not are_chosen):
        return
    first = decoder.genes[~good][:5].tolist()
    msg = (
        f"{(~good).sum():,} of {len(good):,} genes cannot be decoded from"
        f" {fitted.cells.use_rep!r} (first: {first}): their held-out R2 is below {MIN_R2:g}, so"
        " their velocities are mostly noise or zero. Expected genes with more;"
        f" adata.var[{fitted.keys.gene_r2!r}] has the R2 of all, and genes= chooses."
    )
    warn(msg, InputWarning)
