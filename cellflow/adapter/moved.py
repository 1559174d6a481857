"""States as an AnnData of their own: predicted populations, descendants, ancestors, paths, drawn cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow import __version__
from cellflow._typing import FloatArray, IntArray
from cellflow.adapter.fitted import Fitted
from cellflow.adapter.selection import shared_genes

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["made_cells", "moved_cells"]


def moved_cells(
    adata: AnnData, fitted: Fitted, x: FloatArray, rows: IntArray, obs: Mapping[str, Any], provenance: Mapping[str, Any]
) -> AnnData:
    """Return states as an AnnData, decoded to genes where the fit has a decoder.

    Parameters
    ----------
    adata
        The cells that were moved.
    fitted
        The fit that moved them.
    x
        Where to, shape `(m, d)`.
    rows
        The row of `adata` that each state came from, shape `(m,)`.
    obs
        Columns of `(m,)` beside `source_cell` and `source_time`.
    provenance
        Plain values for `uns`.

    Returns
    -------
    `X` holds the decoded expression, `obsm[use_rep]` the states, `uns[prediction]` the provenance.

    Raises
    ------
    InputError
        The decoded expression would take more than 2 GB.
    """
    import pandas as pd

    columns = {"source_cell": adata.obs_names.to_numpy()[rows], "source_time": fitted.times[rows], **obs}
    frame = pd.DataFrame(columns, index=[f"{name}-{i}" for i, name in enumerate(columns["source_cell"])])
    return made_cells(adata, fitted, x, frame, {fitted.keys.own("prediction"): provenance})


def made_cells(
    adata: AnnData, fitted: Fitted, x: FloatArray, obs: pd.DataFrame, provenance: Mapping[str, Mapping[str, Any]]
) -> AnnData:
    """Return states `x (m, d)` as an AnnData, decoded to genes where the fit has a decoder.

    Parameters
    ----------
    adata
        What the fit is in.
    fitted
        The fit.
    x
        The states.
    obs
        What is known of each of them, `m` rows.
    provenance
        Plain values by their key in `uns`; where the fit is, its representation, unit and version are added.

    Raises
    ------
    InputError
        The decoded expression would take more than 2 GB.
    """
    import anndata as ad

    decoder, keys = fitted.flow.decoder, fitted.keys
    made = {"key": keys.uns, "use_rep": fitted.cells.use_rep, "time_unit": fitted.cells.unit, "cellflow_version": __version__}
    expression = var = None
    if decoder is not None:
        here, there = shared_genes(adata, decoder.genes)
        expression, var = decoder.only(there).positions(x), adata.var.iloc[here].copy()
    use_rep = fitted.cells.use_rep
    return ad.AnnData(
        expression,
        obs=obs,
        var=var,
        obsm={} if use_rep == "X" else {use_rep: x.astype(np.float32)},
        uns={name: made | dict(values) for name, values in provenance.items()},
    )
