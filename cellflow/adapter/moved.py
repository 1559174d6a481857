"""Computed cells as an AnnData: moved, generated or translated ones, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellflow.adapter.decoding import Genes, marked
from cellflow.adapter.fitted import Fitted
from cellflow.adapter.keys import Keys
from cellflow.analysis.observed import Observed, growth
from cellflow.core._spread import Spread
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = [
    "about_condition",
    "about_extrapolation",
    "cell_bytes",
    "cells_of_fit",
    "made_cells",
    "moved_cells",
]


def moved_cells(
    adata: AnnData,
    fitted: Fitted,
    genes: Genes,
    x: FloatArray,
    rows: IntArray,
    obs: Mapping[str, Any],
    provenance: Mapping[str, Any],
    *,
    sure: Spread | None = None,
) -> AnnData:
    """Return states as an AnnData, decoded to genes where the fit has a decoder.

    Parameters
    ----------
    adata
        The cells that were moved.
    fitted
        The fit that moved them.
    genes
        Those to decode.
    x
        States, shape `(m, d)`.
    rows
        The row of `adata` that each state came from, shape `(m,)`.
    obs
        Columns of `(m,)` beside `source_cell` and `source_time`.
    provenance
        Plain values for `uns`.
    sure
        Of an ensemble: how its members' states and weights spread, side by side, `(m, d + 1)`.

    Returns
    -------
    `X` holds the decoded expression, `var` the R2 of every gene and whether it can be decoded,
    `obsm[use_rep]` the states, `uns[prediction]` the provenance.

    Raises
    ------
    InputError
        The decoded expression would take more than 2 GB.
    """
    import pandas as pd

    columns = {
        "source_cell": adata.obs_names.to_numpy()[rows],
        "source_time": fitted.times[rows],
        **obs,
    }
    index = [f"{name}-{i}" for i, name in enumerate(columns["source_cell"])]
    if sure is not None:
        columns["weight_se"] = sure.se[:, -1]
    frame = pd.DataFrame(columns, index=index)
    about = {fitted.keys.own("prediction"): provenance}
    moved = cells_of_fit(adata, fitted, genes, x, frame, about)
    if sure is not None:
        moved.obsm[fitted.keys.se("state")] = sure.se[:, :-1].astype(np.float32)
    return moved


def cells_of_fit(
    adata: AnnData,
    fitted: Fitted,
    genes: Genes,
    x: FloatArray,
    obs: pd.DataFrame,
    uns: Mapping[str, Mapping[str, Any]],
) -> AnnData:
    """Return states that come from a fit; see `made_cells`.

    Every entry of `uns` also holds the key of the fit and its unit of time.
    """
    about = {"key": fitted.keys.uns, "time_unit": fitted.cells.unit}
    described = {name: about | dict(values) for name, values in uns.items()}
    return made_cells(
        adata, x, obs, use_rep=fitted.cells.use_rep, genes=genes, keys=fitted.keys, uns=described
    )


def about_condition(fitted: Fitted, features: FloatArray | None) -> dict[str, Any]:
    """The values of a condition with features `(c,)`, and whether the fit has cells of it."""
    if features is None:
        return {}
    return {"condition": fitted.values(features), "condition_measured": fitted.measured(features)}


def about_extrapolation(
    observed: Observed, times: npt.ArrayLike, states: FloatArray, measured: FloatArray
) -> dict[str, Any]:
    """Whether times are outside the observed ones, and if so the growth of the states there."""
    extrapolated = len(observed.outside(times)) > 0
    grown = growth(states, measured) if extrapolated else None
    return {"extrapolated": extrapolated} | ({} if grown is None else {"growth": grown})


def cell_bytes(fitted: Fitted) -> int:
    """Bytes of the state and the row of `obs` of one computed cell, without its expression."""
    return 8 * fitted.flow.n_dims + 100


def made_cells(
    adata: AnnData,
    x: FloatArray,
    obs: pd.DataFrame,
    *,
    use_rep: str,
    genes: Genes,
    keys: Keys,
    uns: Mapping[str, Mapping[str, Any]],
) -> AnnData:
    """Return computed states as an AnnData with the genes of `adata`.

    Parameters
    ----------
    adata
        The measured cells.
    x
        States, shape `(m, d)`.
    obs
        One row for each.
    use_rep
        Name of the representation, for `obsm`.
    genes
        Those to decode.
    keys
        Names of the marks in `var`.
    uns
        Provenance by key; the representation and the version are added.

    Raises
    ------
    InputError
        The decoded expression would take more than 2 GB.
    """
    import anndata as ad

    expression = var = None
    if genes.decoder is not None:
        expression = genes.decoder.positions(x)
        var = marked(adata.var.iloc[genes.columns], genes, keys)
    about = {"use_rep": use_rep, "cellflow_version": __version__}
    return ad.AnnData(
        expression,
        obs=obs,
        var=var,
        obsm={} if use_rep == "X" else {use_rep: x.astype(np.float32)},
        uns={key: about | dict(value) for key, value in uns.items()},
    )
