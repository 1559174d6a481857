"""How likely each cell is under the fitted dynamics, and when it would be most likely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow._arguments import check_arguments
from cellflow._numbers import shown
from cellflow._progress import is_shown
from cellflow._random import as_seed
from cellflow._settings import guarded
from cellflow._typing import FloatArray, RandomState
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT, require_free
from cellflow.adapter.record import record_of
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.adapter.store import amended, opened, sealed
from cellflow.adapter.times import Time
from cellflow.adapter.write import target_of, write
from cellflow.analysis.density import EvolvingDensity, Source, most_likely_time, require_quantile
from cellflow.errors import InputError, MissingKeyError
from cellflow.tl._times import time_grid

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["age", "log_density"]

#: Entry of `uns[key]` with the density of the first snapshot.
_SOURCE = "source_density"


@guarded
def log_density(
    adata: AnnData,
    *,
    source: Source = "nsf",
    alpha: float = 0.01,
    random_state: RandomState = 0,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Say how likely each cell is at its own time, under the fitted dynamics.

    The density of the first snapshot is learned and carried along the flow (Chen et al. 2018),

    .. math:: \log p_t(x) = \log p_{t_0}\big(x(t_0)\big) - \int_{t_0}^t \nabla \cdot v\big(s, x(s)\big)\, ds

    exactly for the fitted field up to 100 dimensions, with an estimated divergence above. Cells of low density are unforeseen:
    a lineage that the first snapshot does not explain, a batch effect, doublets. `cf.tl.density` knows no dynamics; the
    difference of the two is a likelihood ratio.

    It costs one backward pass for every dimension, four times per step of the solver: on one core about 6 seconds for each
    interval between 10,000 cells of 5 dimensions and the first snapshot, and ten times as much for 50 dimensions.

    Parameters
    ----------
    adata
        With a fit, and cells of its first snapshot.
    source
        How the density of the first snapshot is learned: `"nsf"`, `"maf"`, `"realnvp"` or `"glow"`, or `"gmm"` or `"kde"`.
    alpha
        Share of the model's own samples that count as unlikely.
    random_state
        Seed of that density and of the samples.
    key
        Where the fit is.
    overwrite
        Replace what somebody else wrote under the same keys.
    copy
        Return a changed copy and leave `adata` alone.

    Returns
    -------
    None, or the copy. Written are

    - `obs["cf_log_density"]`: nats, in the coordinates of the representation; of a cell without a time, at its inferred one;
    - `obs["cf_ood"]`: whether that is below the quantile `alpha` of 2,000 samples that the model draws at the same time;
    - `uns["cellflow"]["source_density"]`: the density of the first snapshot, for `cf.tl.age`.

    Raises
    ------
    InputError
        No fit, no cells of the first snapshot or fewer than 10, times outside the observed ones; `adata` is as it was.
    IntegrationError
        A state that stops being finite.
    """
    check_arguments(log_density, locals())
    fitted, seed = read_fitted(adata, key), as_seed(random_state)
    require_quantile(alpha)
    keys, times = fitted.keys, fitted.starts
    places = [("obs", keys.log_density), ("obs", keys.out_of_distribution)]
    require_free(adata, keys, places, overwrite=overwrite)
    first = float(fitted.flow.times[0])
    fitted.observed.require(times, "the density")
    snapshots = fitted.cells.snapshots() if fitted.cells.timed.any() else None
    if snapshots is None or snapshots.times[0] != first:
        msg = (
            f"None of these cells is of the first snapshot, at time {first:g}, from which the density is carried on. Pass an "
            "AnnData that holds it, or learn densities without the dynamics: cf.tl.density."
        )
        raise InputError(msg)
    target = target_of(adata, copy=copy)
    density = EvolvingDensity.fitted(fitted.flow, snapshots[0], source=source, random_state=seed)
    log_p = density.log_prob(fitted.x, times)
    distinct, position = np.unique(times, return_inverse=True)
    unlikely = log_p < density.threshold(distinct, alpha=alpha, random_state=seed)[position]
    more = {_SOURCE: sealed(*density.source.state()) | {"alpha": alpha, "random_state": seed}}
    write(
        target,
        {
            "obs": {keys.log_density: log_p, keys.out_of_distribution: unlikely},
            "uns": {keys.uns: amended(adata, keys, places, more)},
        },
    )
    return target if copy else None


@guarded
def age(
    adata: AnnData,
    *,
    cells: Selection | None = None,
    times: Sequence[Time] | FloatArray | None = None,
    n_times: int = 11,
    key: str = DEFAULT,
    overwrite: bool = False,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Write the time at which each cell is most likely: :math:`\arg\max_t \log p_t(x)`.

    A cell that is ahead of its snapshot gets a later time, one that lags behind an earlier one. The maximum is taken over a
    grid of times and refined by the parabola through the best of them and its neighbours.

    For cells that took part in the fit this is mostly memory: the flow has passed through each of them at its time. Put some
    aside (leave their times missing) before you believe an age.

    Every time of the grid is a solve of its own from that time back to the first snapshot, so this costs about `n_times / 2`
    times as much as following all cells through all snapshots with `cf.tl.log_density`. Choose cells where there are many.

    Parameters
    ----------
    adata
        With a fit, and with the density of its first snapshot, which `cf.tl.log_density` learns.
    cells
        A mask, positions or names; all by default. The others get NaN.
    times
        The grid, at least three times inside the observed ones; sorted. By default `n_times` equal steps over them.
    n_times
        Size of the default grid.
    key
        Where the fit is.
    overwrite
        Replace what somebody else wrote under the same key.
    progress
        A progress bar over the grid; None shows it only to somebody who is watching.
    copy
        Return a changed copy and leave `adata` alone.

    Returns
    -------
    None, or the copy. Written is `obs["cf_age"]`, in the unit of the fit.

    Raises
    ------
    InputError
        No fit or no density, no cells, a grid that is too short or leaves the observed times; `adata` is as it was.
    IntegrationError
        A state that stops being finite.
    """
    check_arguments(age, locals())
    from tqdm import tqdm

    from cellflow.densities import from_state

    fitted = read_fitted(adata, key)
    place = ("obs", fitted.keys.age)
    require_free(adata, fitted.keys, [place], overwrite=overwrite)
    rows = np.arange(adata.n_obs) if cells is None else cell_rows(adata, cells)
    if len(rows) == 0:
        msg = f"cells={shown(cells)} chooses no cell; pass at least one, or None for all."
        raise InputError(msg)
    grid = time_grid(fitted, times, n_times, least=3)
    fitted.observed.require(grid, "the density")
    record = record_of(adata, fitted.keys)
    if _SOURCE not in record:
        call = "cf.tl.log_density(adata)" if key == DEFAULT else f"cf.tl.log_density(adata, key={key!r})"
        msg = f"adata.uns[{key!r}] holds no {_SOURCE!r}, the density that is carried on. Learn it first: {call}."
        raise MissingKeyError(msg)
    where = f"adata.uns[{key!r}][{_SOURCE!r}]"
    stored = from_state(*opened(record[_SOURCE], where, again="cf.tl.log_density"))
    density = EvolvingDensity(fitted.flow, stored, float(fitted.flow.times[0]))
    target = target_of(adata, copy=copy)
    bar = tqdm(grid, desc="age", unit="time", disable=not is_shown(progress))
    log_p = np.column_stack([density.log_prob(fitted.x[rows], float(t)) for t in bar])
    ages = np.full(adata.n_obs, np.nan)
    ages[rows] = most_likely_time(log_p, grid)
    write(target, {"obs": {fitted.keys.age: ages}, "uns": {fitted.keys.uns: amended(adata, fitted.keys, [place], {})}})
    return target if copy else None
