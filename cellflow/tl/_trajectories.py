"""Every cell moved through time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.decoding import Genes, asked_genes
from cellflow.adapter.fingerprint import rows_hash
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT, require_free
from cellflow.adapter.moved import moved_cells
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.adapter.store import amended
from cellflow.adapter.times import Time
from cellflow.adapter.write import target_of, write
from cellflow.analysis.following import follow, follow_noisily
from cellflow.analysis.observed import growth
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, shown
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray, RandomState
from cellflow.errors import InputError, naming_cells
from cellflow.tl._times import time_grid

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.simulation import Trajectories

__all__ = ["trajectories"]

#: States above this many bytes are refused.
_LIMIT = 2 * 1024**3


@guarded
def trajectories(
    adata: AnnData,
    *,
    times: Sequence[Time] | FloatArray | None = None,
    n_times: int = 50,
    cells: Selection | None = None,
    genes: Selection | None = None,
    stochastic: bool = False,
    n_rep: int = 1,
    extrapolate: bool = False,
    random_state: RandomState = 0,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    """Follow every cell forward from its own time and backward before it, over one grid of times.

    A cell whose time was inferred is followed from the nearest step of the solver. Of a fit with
    conditions, every cell stays in its own.

    Parameters
    ----------
    adata
        With a fit.
    times
        Times of the grid, as numbers in the unit of the fit or as labels such as `"day 3"`; sorted.
        By default `n_times` equal steps from the first to the last snapshot.
    n_times
        Size of the default grid.
    cells
        Follow these only (a mask, positions or names) and return their paths as an AnnData of their
        own, one row per cell and time; `adata` is not changed then.
    genes
        With `cells`, genes to decode: names, positions or a mask, returned in their order; all by
        default, none with `[]`.
    stochastic
        Follow the diffusion with the same marginals instead of the flow, `n_rep` times from every
        cell; needs a fit with a score (`score=True`, or `method="sf2m"`).
    n_rep
        Paths of each cell; more than one needs `stochastic`.
    extrapolate
        Follow cells to any time. By default at most one mean interval between snapshots beyond the
        times of the fit: farther out, the fitted field is arbitrary, and the states that it reaches
        grow without bound.
    random_state
        Seed of the noise; a cell's paths do not depend on the other cells, nor on the order of the
        rows.
    key
        Where the fit is.
    overwrite
        Replace what somebody else wrote under the same key.
    copy
        Return a changed copy and leave `adata` alone.

    Returns
    -------
    None, or the copy, or with `cells` the paths: `obs["path", "replicate", "t", "step", "source_cell", "source_time",
    "weight", "extrapolated"]`, expression decoded to genes in `X` and how well each can be decoded in `var`. Written are

    - `obsm["cf_trajectory"]`, shape `(n_obs, n_times * d)`: the states of a cell one after the
      other in one row, which other tools and other languages read. `cf.get.trajectories` returns
      them as `(n_obs, n_times, d)`.
    - `uns["cellflow"]["trajectory_times"]`; `["trajectory_shape"]`, which is `(n_times, d)`; and
      `["trajectory_extrapolated"]`, which of these times are outside those of the fit;
    - of stochastic ones `obsm["cf_trajectory_samples"]`, shape `(n_obs, n_rep * n_times * d)`, with
      entries of the same names that start with `trajectory_samples`; see
      `cf.get.trajectory_samples`.

    Raises
    ------
    InputError
        No fit, no times, times more than one mean interval outside those of the fit without
        `extrapolate`, or states above 2 GB; `adata` is as it was.
    IntegrationError
        A state that stops being finite.

    Warns
    -----
    IntegrationWarning
        Times outside the observed ones.
    """
    check_arguments(trajectories, locals())
    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    n_rep = as_count("n_rep", n_rep)
    if n_rep > 1 and not stochastic:
        msg = (
            f"n_rep={n_rep} without stochastic=True, which would give {n_rep} equal paths. Pass"
            " stochastic=True."
        )
        raise InputError(msg)
    if genes is not None and cells is None:
        msg = (
            f"genes={shown(genes)} without cells=: only paths of chosen cells come back with genes."
            " Pass cells= too, or omit it."
        )
        raise InputError(msg)
    grid = time_grid(fitted, times, n_times)
    rows = np.arange(adata.n_obs) if cells is None else cell_rows(adata, cells)
    if len(rows) == 0:
        msg = f"cells={shown(cells)} chooses no cell; pass at least one, or None for all."
        raise InputError(msg)
    name = fitted.keys.trajectory
    entry = "trajectory"
    if stochastic:
        name = fitted.keys.trajectory_samples
        entry = "trajectory_samples"
    place = ("obsm", name)
    if cells is None:
        require_free(adata, fitted.keys, [place], overwrite=overwrite)
    _require_room(len(rows) * n_rep, len(grid), fitted.flow.n_dims)
    asked = None
    if cells is not None:
        asked = asked_genes(adata, fitted.flow.decoder, genes, key)
        asked.require_room(len(rows) * n_rep * len(grid))
    x = fitted.x[rows]
    starts = fitted.starts[rows]
    context = fitted.features(None, rows)
    observed = fitted.observed
    observed.require_reached(np.append(starts, grid), extrapolate=extrapolate)
    with naming_cells(adata.obs_names[rows]):
        if stochastic:
            keys = fitted.noise_keys[rows]
            moved = follow_noisily(
                fitted.flow, x, starts, grid, n_rep=n_rep, seed=seed, keys=keys, context=context
            )
        else:
            moved = follow(fitted.flow, x, starts, grid, context=context)
    states = moved.x.transpose(1, 0, 2)
    if stochastic:
        states = states.reshape(len(rows), n_rep, *states.shape[1:])
    beyond = np.isin(grid, observed.outside(grid))
    grown = (
        growth(states[..., beyond, :].reshape(-1, states.shape[-1]), fitted.x)
        if beyond.any()
        else None
    )
    if asked is not None:
        paths = _as_cells(
            adata,
            fitted,
            asked,
            np.repeat(rows, n_rep),
            moved,
            n_rep,
        )
        observed.warn(np.append(starts, grid), grown)
        return paths
    target = target_of(adata, copy=copy)
    observed.warn(
        np.append(starts, grid), grown
    )  # before the writing: where warnings are errors, it does not happen
    more = {
        f"{entry}_times": grid,
        f"{entry}_shape": np.array(states.shape[1:]),
        f"{entry}_extrapolated": beyond,
    }
    record = amended(adata, fitted.keys, [place], more, made_for={name: rows_hash(fitted.x)})
    write(
        target, {"obsm": {name: states.reshape(adata.n_obs, -1)}, "uns": {fitted.keys.uns: record}}
    )
    return target if copy else None


def _require_room(n: int, n_times: int, d: int) -> None:
    size = n * n_times * d * 4
    if size > _LIMIT:
        msg = (
            f"Trajectories of {n:,} cells at {n_times} times in {d} dimensions take"
            f" {size / 1024**3:.1f} GB; expected at most {_LIMIT / 1024**3:.0f} GB. Pass fewer"
            " times, or cells= to follow some of them."
        )
        raise InputError(msg)


def _as_cells(
    adata: AnnData,
    fitted: Fitted,
    genes: Genes,
    rows: IntArray,
    moved: Trajectories,
    n_rep: int,
) -> AnnData:
    grid = moved.times
    k, n = moved.x.shape[:2]
    weight = moved.weights(np.full(len(rows), 1.0 / max(n, 1)))
    obs = {
        "path": np.repeat(np.arange(n), k),
        "replicate": np.repeat(np.arange(n) % n_rep, k),
        "t": np.tile(grid, n),
        "step": np.tile(np.arange(k), n),
        "weight": weight.T.ravel(),
        "extrapolated": np.tile(np.isin(grid, fitted.observed.outside(grid)), n),
    }
    return moved_cells(
        adata,
        fitted,
        genes,
        moved.x.transpose(1, 0, 2).reshape(n * k, -1),
        np.repeat(rows, k),
        obs,
        {"times": grid},
    )
