"""Trajectories as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.fitted import read_cells
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.paths import read_paths
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core._typing import FloatArray

__all__ = ["trajectories", "trajectory_samples"]


@guarded
def trajectories(adata: AnnData, *, key: str = DEFAULT) -> FloatArray:
    """Return the states of every cell through time, which `cf.tl.trajectories` wrote.

    Parameters
    ----------
    adata
        Cells with trajectories.
    key
        `key_added` of the fit.

    Returns
    -------
    float32, shape `(n_obs, n_times, d)`, a copy, in the coordinates of the representation, at the
    times in `adata.uns["cellflow"]["trajectory_times"]`.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no trajectories.
    InputError
        Cells at other positions than when the trajectories were computed, or an array of another
        shape.

    See Also
    --------
    cellflow.get.trajectory_samples

    Examples
    --------
    >>> cf.tl.trajectories(adata, n_times=20)
    >>> cf.get.trajectories(adata).shape
    (160, 20, 5)
    """
    check_arguments(trajectories, locals())
    return _paths(adata, key, samples=False)


@guarded
def trajectory_samples(adata: AnnData, *, key: str = DEFAULT) -> FloatArray:
    """Return the states of every cell along the diffusions of a stochastic `cf.tl.trajectories`.

    Parameters
    ----------
    adata
        Cells with stochastic trajectories.
    key
        `key_added` of the fit.

    Returns
    -------
    float32, shape `(n_obs, n_rep, n_times, d)`, a copy, at the times in
    `adata.uns["cellflow"]["trajectory_samples_times"]`.

    Raises
    ------
    MissingKeyError, InputError
        As `cellflow.get.trajectories`.

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", score=True)
    >>> cf.tl.trajectories(adata, n_times=5, stochastic=True, n_rep=5)
    >>> cf.get.trajectory_samples(adata).std(axis=1).shape
    (160, 5, 5)
    """
    check_arguments(trajectory_samples, locals())
    return _paths(adata, key, samples=True)


def _paths(adata: AnnData, key: str, *, samples: bool) -> FloatArray:
    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    cells, _ = read_cells(adata, keys, record)
    return read_paths(adata, keys, record, cells, samples=samples).copy()
