"""Fates for Palantir."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.record import record_of
from cellflow.adapter.stored_fates import read_fates
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, MissingKeyError, closest
from cellflow.interop._handed import handed_over

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["to_palantir"]

#: Probabilities of a row may differ from one by this much.
_ROUNDING = 1e-6
_NAME = "palantir_{}"


@guarded
def to_palantir(adata: AnnData, *, pseudotime: str | None = None, key: str = DEFAULT) -> AnnData:
    r"""Return an AnnData with fates where Palantir looks for its own results.

    `palantir.plot.plot_palantir_results`, `palantir.presults.select_branch_cells`,
    `plot_branch_selection`, `compute_gene_trends` and `plot_gene_trends` then work with the fates
    of `cf.tl.fates`. `adata` is unchanged; matrices are shared with it.

    Undecided mass is a fate of its own, `"undecided"`, so that rows sum to one. Leave its column
    out in Palantir's calls with `lineages=`.

    Parameters
    ----------
    adata
        Cells with a fit and fates.
    pseudotime
        Column of `adata.obs` with numbers that order the cells; by default that of
        `cf.tl.pseudotime`, or the times of the cells where there is none. Palantir fits curves
        along it, so a column with many different values is better than a few times.
    key
        `key_added` of the fit.

    Returns
    -------
    A new AnnData of the same cells and genes, with

    - `obsm["palantir_fate_probabilities"]`: DataFrame, shape (n_obs, n_fates). Probabilities by
      name of the fate.
    - `obs["palantir_pseudotime"]`: float64, shape (n_obs,). The column, scaled to [0, 1].
    - `obs["palantir_entropy"]`: float64, shape (n_obs,). Entropy of the probabilities,
      :math:`-\sum_k p_k \log p_k`, in nats.

    Raises
    ------
    MissingKeyError
        No fit, no fates, or no such column.
    InputError
        A column that is not numeric, not finite, or constant.

    References
    ----------
    Setty et al., Characterization of cell fate probabilities in single-cell data with Palantir,
    Nature Biotechnology 2019.

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> handed = cf.interop.to_palantir(adata)
    >>> handed.obsm["palantir_fate_probabilities"].sum(axis=1).round(6).unique().tolist()
    [1.0]
    >>> # Palantir lives in an environment of its own.
    >>> palantir.presults.select_branch_cells(handed)  # doctest: +SKIP
    """
    check_arguments(to_palantir, locals())
    import pandas as pd

    fitted = read_fitted(adata, key)
    fates = read_fates(adata, fitted.keys, record_of(adata, fitted.keys), fitted.cells)
    order = _order(adata, fitted, pseudotime)
    probability = fates.probability / fates.probability.sum(axis=1, keepdims=True)
    if not np.allclose(fates.probability.sum(axis=1), 1.0, atol=_ROUNDING):
        name = fitted.keys.lineages()
        msg = (
            f"Rows of adata.obsm[{name!r}] do not sum to one. Expected fates as cf.tl.fates wrote"
            " them: call it again."
        )
        raise InputError(msg)
    target = handed_over(adata, "to_palantir")
    target.obsm[_NAME.format("fate_probabilities")] = pd.DataFrame(
        probability, index=target.obs_names, columns=fates.names
    )
    target.obs[_NAME.format("pseudotime")] = order
    logs = np.log(probability, out=np.zeros_like(probability), where=probability > 0)
    target.obs[_NAME.format("entropy")] = np.abs((probability * logs).sum(axis=1))
    return target


def _order(adata: AnnData, fitted: Fitted, pseudotime: str | None) -> FloatArray:
    """The column that orders the cells, scaled to [0, 1]."""
    import pandas as pd

    name = pseudotime
    if name is None:
        name = next(n for n in (fitted.keys.pseudotimes[0], fitted.keys.time) if n in adata.obs)
    if name not in adata.obs:
        hint = closest(name, map(str, adata.obs.columns))
        msg = f"pseudotime={name!r} is no column of adata.obs{hint}. Expected one with numbers."
        raise MissingKeyError(msg)
    column = adata.obs[name]
    if not pd.api.types.is_numeric_dtype(column):
        msg = f"adata.obs[{name!r}] is of dtype {column.dtype}. Expected numbers."
        raise InputError(msg)
    values = column.to_numpy(dtype=np.float64)
    span = np.ptp(values)
    if not (np.isfinite(values).all() and span > 0):
        msg = (
            f"adata.obs[{name!r}] has {int((~np.isfinite(values)).sum())} values that are not"
            f" finite, and {len(np.unique(values))} different ones. Expected finite numbers that"
            " order the cells."
        )
        raise InputError(msg)
    scaled: FloatArray = (values - values.min()) / span
    return scaled
