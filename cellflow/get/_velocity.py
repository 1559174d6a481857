"""Velocities of genes as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.members import as_level, no_members
from cellflow.adapter.selection import Selection
from cellflow.analysis.members import spread_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.core.decoder import MIN_R2, Decoder
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.model.base import FittedDynamics

__all__ = ["velocity"]

#: Tables that are returned with an interval.
_SIDE_BY_SIDE = ("velocity", "se", "low", "high")


@guarded
def velocity(
    adata: AnnData,
    genes: Selection | None = None,
    *,
    interval: float | None = None,
    extrapolate: bool = False,
    key: str = DEFAULT,
) -> pd.DataFrame:
    """Return the velocity of genes in every cell at its own time, in expression per unit of time.

    Parameters
    ----------
    adata
        Cells with a fit.
    genes
        Names, positions or a mask; the columns are in this order. By default all genes that can be
        decoded from the representation, those with a held-out R2 of at least 0.1; `"all"` takes the
        others, too.
    interval
        Level of the intervals of an ensemble's velocities, such as 0.9; None for no intervals. The
        members' velocities are decoded one by one. What the decoding misses is not in them.
    extrapolate
        Allow cells of any time; see `cf.tl.push`.
    key
        `key_added` of the fit.

    Returns
    -------
    Cells by genes, float32, shape `(n_obs, n_genes)`; `.attrs["gene_r2"]` holds the held-out R2 of
    each gene by its name. With `interval`, four such tables side by side, the first level of the
    columns: `"velocity"`, `"se"` (standard error), `"low"` and `"high"`.

    Raises
    ------
    InputError
        No fit, no expression to decode to, an unknown gene, a table above 2 GB, or cells more than
        one mean interval outside the times of the fit without `extrapolate`; `interval` of a single
        flow, or a level that is not between 0 and 1.

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
    >>> cf.tl.flow(adata, "hours", n_members=2)
    >>> cf.get.velocity(adata, ["TNNT2", "MYH3"]).shape
    (160, 2)
    >>> low = cf.get.velocity(adata, ["TNNT2"], interval=0.9)["low"]
    """
    check_arguments(velocity, locals())
    import pandas as pd

    fitted = read_fitted(adata, key)
    level = _level(fitted, interval)
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
    tables = 1 if level is None else len(_SIDE_BY_SIDE)
    asked.require_room(adata.n_obs * tables)
    columns = asked.columns
    decoder = asked.decoder
    if genes is None:
        good = np.flatnonzero(decoder.decodable)
        columns = columns[good]
        decoder = decoder.only(good)
    values = _decoded(fitted, fitted.flow, decoder)
    names = adata.var_names[columns]
    table = pd.DataFrame(values, index=adata.obs_names, columns=names)
    if level is not None:
        table = _with_interval(table, fitted, decoder, level)
    fitted.observed.warn(fitted.times)
    if decoder.gene_r2 is not None:
        r2 = decoder.gene_r2.tolist()
        table.attrs["gene_r2"] = dict(zip(names.astype(str), r2, strict=True))
    return table


def _level(fitted: Fitted, interval: float | None) -> float | None:
    """The level of an interval, which only an ensemble has."""
    if interval is None:
        return None
    level = as_level(interval)
    if not fitted.flow.members:
        raise no_members(level, f"the fit in adata.uns[{fitted.keys.uns!r}]", "")
    return level


def _decoded(fitted: Fitted, flow: FittedDynamics, decoder: Decoder) -> FloatArray:
    latent = flow.velocity(fitted.x, fitted.times, context=fitted.cells.context)
    return decoder.velocities(latent)


def _with_interval(
    table: pd.DataFrame, fitted: Fitted, decoder: Decoder, level: float
) -> pd.DataFrame:
    """Velocities, their standard errors, and both ends of their intervals, side by side."""
    import pandas as pd

    found = spread_of(fitted.flow, lambda flow: _decoded(fitted, flow, decoder))
    assert found is not None, "a flow with members is an ensemble"
    centred = replace(found, mean=table.to_numpy(dtype=np.float64))
    parts = (table.to_numpy(), found.se, *centred.interval(level))
    frames = [
        pd.DataFrame(part.astype(np.float32), index=table.index, columns=table.columns)
        for part in parts
    ]
    return pd.concat(frames, axis=1, keys=list(_SIDE_BY_SIDE))


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
