"""Transition probabilities between cells, for other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.store import amended
from cellflow.adapter.write import write
from cellflow.analysis.fates import FateCells
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._settings import guarded
from cellflow.core._warn import warn
from cellflow.errors import InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["transition_matrix"]

#: Share of lost mass above which a warning is due.
_MUCH = 0.1


@guarded
def transition_matrix(
    adata: AnnData,
    *,
    n_neighbors: int = 30,
    sparse: bool = True,
    key: str = DEFAULT,
    overwrite: bool = False,
) -> Any:
    """Return transition probabilities from every cell to the cells of the next snapshot.

    Every cell is moved to the time of the next snapshot, and its row leads to the cells near to
    where it arrives, with the weights of a Gaussian kernel times their own. Cells of the last
    snapshot lead to themselves. Rows sum to one, with growth too. So the matrix is also written
    to `obsp["T_fwd"]`, as sparse float64, where the `PrecomputedKernel` of CellRank reads it.

    A cell that arrives where no cell lives (see `cf.tl.fates`) has a row all the same, that of the
    nearest cells; how many do is in `uns["cellflow"]["transitions"]`: `n_neighbors`, `n_lost`, and
    `lost`, the share of the mass of cells that are moved.

    Of an ensemble, the mean field is used, and there is no standard error.

    Parameters
    ----------
    adata
        Cells with a fit.
    n_neighbors
        Cells that a row leads to.
    sparse
        Return a sparse matrix; else an array.
    key
        `key_added` of the fit. With another than the default, the matrix is written to
        `obsp["{key}_T_fwd"]`.
    overwrite
        Replace an existing matrix that was not written for this fit.

    Returns
    -------
    `scipy.sparse.csr_matrix` or array, shape `(n_obs, n_obs)`; rows are the cells that are moved.

    Raises
    ------
    MissingKeyError
        No fit.
    InputError
        A number of neighbours that is not positive, or a place that is taken; `adata` is unchanged.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    InputWarning
        More than a tenth of the mass is lost.

    References
    ----------
    Lange et al., CellRank for directed single-cell fate mapping, Nature Methods 2022.

    Examples
    --------
    >>> matrix = cf.get.transition_matrix(adata)
    >>> bool(np.allclose(matrix.sum(axis=1), 1))
    True
    """
    from cellflow.analysis.transitions import transitions

    check_arguments(transition_matrix, locals())
    fitted = read_fitted(adata, key)
    n_neighbors = as_count("n_neighbors", n_neighbors)
    place = ("obsp", fitted.keys.transitions)
    require_free(adata, fitted.keys, [place], overwrite=overwrite)
    weight = np.ones(adata.n_obs)
    if fitted.cells.weight is not None:
        weight = np.nan_to_num(fitted.cells.weight)
    cells = FateCells(
        fitted.x,
        fitted.starts,
        fitted.cells.time,
        weight,
        fitted.noise_keys,
        fitted.cells.context,
    )
    found = transitions(fitted.flow, cells, n_neighbors=n_neighbors)
    moved = weight[fitted.starts < np.nanmax(fitted.cells.time)].sum()
    lost = float(weight[found.lost].sum() / moved) if moved > 0 else 0.0
    about = {"n_neighbors": n_neighbors, "n_lost": int(found.lost.sum()), "lost": lost}
    if lost > _MUCH:
        msg = (
            f"{lost:.0%} of the mass arrives where no cell of the next snapshot lives; rows of"
            f" these {about['n_lost']:,} cells lead to the nearest cells. Check the fit with"
            " cf.tl.diagnose."
        )
        warn(msg, InputWarning)
    record = amended(adata, fitted.keys, [place], {"transitions": about})
    write(adata, {"obsp": {place[1]: found.matrix}, "uns": {fitted.keys.uns: record}})
    return found.matrix.copy() if sparse else found.matrix.toarray()
