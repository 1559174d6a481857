"""Trajectories of all cells, written into the AnnData."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.hashes import rows_hash
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.store import amended
from cellflow.adapter.units import Time
from cellflow.adapter.write import target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import Elsewhere, accepts
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.tl._simulate import followed, simulate
from cellflow.tl._times import time_grid

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["trajectories"]


@guarded
@accepts(
    cells=Elsewhere("simulate(adata, cells, ...)", simulate, without=("overwrite", "copy")),
)
def trajectories(
    adata: AnnData,
    *,
    times: Sequence[Time] | FloatArray | None = None,
    n_times: int | None = None,
    stochastic: bool = False,
    n_rep: int = 1,
    extrapolate: bool = False,
    random_state: RandomState = 0,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    """Write the trajectory of every cell: its states at the times of one grid.

    Each cell is moved forward from its own time, and backward before it. A cell whose time was
    inferred starts at the nearest step of the solver. With conditions, each cell keeps its own.
    `cf.tl.simulate` returns trajectories of chosen cells instead.

    Of an ensemble, paths follow the mean field; `cf.tl.push` has standard errors of the
    states at one time.

    Parameters
    ----------
    adata
        Cells with a fit.
    times
        Times of the grid: numbers in the unit of the fit, or labels such as `"day 3"`. By default
        `n_times` equal steps from the first to the last snapshot.
    n_times
        Number of times of that grid: by default four steps to an interval between snapshots, and 16
        times at least. Lines between so many states leave the paths by half a percent of their
        length; a file holds a state of every cell at every time.
    stochastic
        Follow the diffusion with the same marginals instead of the flow; needs a fit with a score
        (`score=True`, or `method="sf2m"`).
    n_rep
        Trajectories of each cell; more than one needs `stochastic`.
    extrapolate
        Allow any time; see `cf.tl.push`.
    random_state
        Seed of the noise. The noise of a cell depends on the seed and on its name only, not on
        other cells or on the order of rows.
    key
        `key_added` of the fit.
    overwrite, copy
        See `cf.tl.flow`.

    Returns
    -------
    None, or the copy. Written are

    - `obsm["cf_trajectory"]`: float32, shape (n_obs, n_times * d). The states of a cell one after
      the other in one row; `cf.get.trajectories` returns them as `(n_obs, n_times, d)`.
    - `uns["cellflow"]["trajectory_times"]`: float64, shape (n_times,). The grid, increasing.
    - `uns["cellflow"]["trajectory_shape"]`: int64, shape (2,). `(n_times, d)`.
    - `uns["cellflow"]["trajectory_extrapolated"]`: bool, shape (n_times,). Which times are outside
      those of the fit.

    and with `stochastic=True`

    - `obsm["cf_trajectory_samples"]`: float32, shape (n_obs, n_rep * n_times * d). See
      `cf.get.trajectory_samples`.
    - `uns["cellflow"]["trajectory_samples_times"]`: float64, shape (n_times,).
    - `uns["cellflow"]["trajectory_samples_shape"]`: int64, shape (3,). `(n_rep, n_times, d)`.
    - `uns["cellflow"]["trajectory_samples_extrapolated"]`: bool, shape (n_times,).

    Raises
    ------
    InputError
        No fit, no times, times more than one mean interval outside those of the fit without
        `extrapolate`, or states above 2 GB; `adata` is unchanged.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    IntegrationWarning
        Times outside the observed ones.

    See Also
    --------
    cellflow.tl.simulate, cellflow.get.trajectories, cellflow.get.trajectory_samples

    References
    ----------
    Chen et al., Neural ordinary differential equations, NeurIPS 2018; stochastic: Tong et al.,
    Simulation-free Schrödinger bridges via score and flow matching, AISTATS 2024.

    Examples
    --------
    >>> cf.tl.trajectories(adata, n_times=20)
    >>> cf.get.trajectories(adata).shape
    (160, 20, 5)
    """
    check_arguments(trajectories, locals())
    fitted = read_fitted(adata, key)
    entry = "trajectory_samples" if stochastic else "trajectory"
    name = fitted.keys.own(entry)
    place = ("obsm", name)
    grid = time_grid(fitted, times, n_times)
    require_free(adata, fitted.keys, [place], overwrite=overwrite)
    target = target_of(adata, copy=copy)
    found = followed(
        fitted,
        np.arange(adata.n_obs),
        grid,
        stochastic=stochastic,
        n_rep=n_rep,
        random_state=random_state,
        extrapolate=extrapolate,
    )
    found.warn()  # before the writing: where warnings are errors, nothing is written
    more = {
        f"{entry}_times": grid,
        f"{entry}_shape": np.array(found.states.shape[1:]),
        f"{entry}_extrapolated": found.extrapolated,
    }
    record = amended(adata, fitted.keys, [place], more, made_for={name: rows_hash(fitted.x)})
    states = found.states.reshape(adata.n_obs, -1)
    write(target, {"obsm": {name: states}, "uns": {fitted.keys.uns: record}})
    return target if copy else None
