"""Trajectories of chosen cells, as an AnnData of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import Part, moved_cells
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.adapter.units import Time
from cellflow.analysis.trajectories import CellTrajectories, Noise
from cellflow.analysis.trajectories import trajectories as follow_cells
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray, RandomState
from cellflow.errors import InputError, naming_cells
from cellflow.tl._times import time_grid

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["followed", "simulate"]


@guarded
def simulate(
    adata: AnnData,
    cells: Selection | None = None,
    *,
    times: Sequence[Time] | FloatArray | None = None,
    n_times: int = 50,
    genes: Selection | None = None,
    stochastic: bool = False,
    n_rep: int = 1,
    extrapolate: bool = False,
    random_state: RandomState = 0,
    key: str = DEFAULT,
) -> AnnData:
    """Return trajectories of chosen cells as an AnnData, one row per trajectory and time.

    Each cell is moved forward from its own time, and backward before it, as by
    `cf.tl.trajectories`, which writes the trajectories of all cells into `adata` instead.

    Of an ensemble, paths follow the mean field; `cf.tl.push` has standard errors of the
    states at one time.

    Parameters
    ----------
    adata
        Cells with a fit; it is not changed.
    cells
        A mask, positions or names; all cells by default.
    times, n_times, stochastic, n_rep, extrapolate, random_state
        See `cf.tl.trajectories`; here the grid has 50 times by default.
    genes, key
        See `cf.tl.push`.

    Returns
    -------
    A new AnnData, whose rows are ordered by cell, replicate and time. Its fields are

    - `X`: float32, shape (n_rows, n_genes). Expression decoded from the states.
    - `obsm["X_pca"]`: float32, shape (n_rows, d). States, under the name of the representation.
    - `obs["cf_predicted"]`: bool, shape (n_rows,). True; `cf.tl.flow` writes False for its cells.
    - `obs["hours"]`: float64, shape (n_rows,). The time, under the name and in the form of the
      column that the fit read (numbers, labels such as `"E8.75"`, durations, dates).
    - `obs["cf_predicted_time"]`: float64, shape (n_rows,). The time as a number in the unit of the
      fit.
    - `obs["source_cell"]`: object, shape (n_rows,). Name of the measured cell.
    - `obs["source_time"]`: float64, shape (n_rows,). Its time.
    - `obs["path"]`: int64, shape (n_rows,). Number of the trajectory, from 0.
    - `obs["replicate"]`: int64, shape (n_rows,). Its number among those of the cell, from 0.
    - `obs["t"]`: float64, shape (n_rows,). Time of the state.
    - `obs["step"]`: int64, shape (n_rows,). Number of the time, from 0.
    - `obs["weight"]`: float64, shape (n_rows,). Those of one time sum to one, but for the growth
      since the cell's own time where the fit has it.
    - `obs["extrapolated"]`: bool, shape (n_rows,). Whether the time is outside those of the fit.
    - `uns["cf_prediction"]`: dict. The `times`, the fit's `key`, `time_unit` and `use_rep`, and
      `cellflow_version`; `gene_r2` as of `cf.tl.predict`.

    Raises
    ------
    InputError
        No fit, no such cells or genes, no times, times more than one mean interval outside those of
        the fit without `extrapolate`, or a result above 2 GB.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    IntegrationWarning
        Times outside the observed ones.

    References
    ----------
    As of `cf.tl.trajectories`.

    Examples
    --------
    >>> paths = cf.tl.simulate(adata, ["T0_CT_A01"], times=[0, 24, 48])
    >>> paths.n_obs
    3
    """
    check_arguments(simulate, locals())
    fitted = read_fitted(adata, key)
    grid = time_grid(fitted, times, n_times)
    rows = np.arange(adata.n_obs) if cells is None else cell_rows(adata, cells)
    n_rep = as_count("n_rep", n_rep)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    asked.require_room(len(rows) * n_rep * len(grid))
    found = followed(
        fitted,
        rows,
        grid,
        stochastic=stochastic,
        n_rep=n_rep,
        random_state=random_state,
        extrapolate=extrapolate,
    )
    n = len(rows) * n_rep
    weight = found.moved.weights(np.full(len(rows), 1.0 / n))
    obs = {
        "path": np.repeat(np.arange(n), len(grid)),
        "replicate": np.repeat(np.arange(n) % n_rep, len(grid)),
        "t": np.tile(grid, n),
        "step": np.tile(np.arange(len(grid)), n),
        "weight": weight.T.ravel(),
        "extrapolated": np.tile(found.extrapolated, n),
    }
    states = found.states.reshape(n * len(grid), -1)
    origin = np.repeat(rows, n_rep * len(grid))
    part = Part(obs["t"], states, obs, rows=origin, features=fitted.features(None, origin))
    paths = moved_cells(adata, fitted, asked, [part], {"times": grid}, place=False)
    found.warn()
    return paths


def followed(
    fitted: Fitted,
    rows: IntArray,
    grid: FloatArray,
    *,
    stochastic: bool,
    n_rep: int,
    random_state: RandomState,
    extrapolate: bool,
) -> CellTrajectories:
    """Trajectories of some cells of a fit; see `cellflow.analysis.trajectories`."""
    n_rep = as_count("n_rep", n_rep)
    seed = as_seed(random_state)
    if n_rep > 1 and not stochastic:
        msg = (
            f"n_rep={n_rep} without stochastic=True, which would give {n_rep} equal trajectories."
            " Pass stochastic=True."
        )
        raise InputError(msg)
    with naming_cells(fitted.names[rows]):
        return follow_cells(
            fitted.flow,
            fitted.x[rows],
            fitted.starts[rows],
            grid,
            noise=Noise(n_rep, seed, fitted.noise_keys[rows]) if stochastic else None,
            context=fitted.features(None, rows),
            measured=fitted.x,
            extrapolate=extrapolate,
        )
