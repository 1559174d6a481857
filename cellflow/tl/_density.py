"""Densities of the snapshots, without a dynamics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.fit_times import inferred_times
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.places import listed, require_free
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.adapter.store import plain, sealed
from cellflow.adapter.write import target_of, write
from cellflow.analysis.snapshots import densities_of_cells
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core._version import __version__
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.densities import Builder, Method

__all__ = ["density"]

#: Methods without a network, which cannot be conditional.
_REFERENCES = ("gmm", "kde")


@guarded
def density(
    adata: AnnData,
    time_key: str,
    *,
    method: Method | Builder = "nsf",
    pooled: bool = False,
    use_rep: str = "X_pca",
    n_dims: int | None = None,
    weight_key: str | None = None,
    force_rep: bool = False,
    key_added: str = DEFAULT,
    overwrite: bool = False,
    random_state: RandomState = 0,
    threads: int = 1,
    copy: bool = False,
) -> AnnData | None:
    """Learn the density of every snapshot, and write the log-density of each cell in its own.

    No dynamics is used. Cells that are unlikely here are rare states, doublets or artefacts of
    their snapshot. `cf.tl.log_density`, the density under a fitted dynamics, is judged against
    these densities.

    Parameters
    ----------
    adata
        Cells with a representation and times.
    time_key
        Column of `adata.obs`; see `cf.tl.flow`.
    method
        A normalizing flow, `"nsf"`, `"maf"`, `"realnvp"` or `"glow"`; a reference without a
        network, `"gmm"` (Gaussian mixture) or `"kde"` (Gaussian kernels); or a class of flows with
        options, such as `partial(NSF, bins=16)`. Below some two hundred cells per snapshot, kernels
        predict held-out cells better than any flow.
    pooled
        Learn one density conditional on time from all snapshots together, instead of an independent
        one for each: for many small snapshots. Flows only.
    use_rep, n_dims, weight_key, force_rep, key_added
        See `cf.tl.flow`. Fewer dimensions make a better density: `n` cells say little about 50.
    overwrite, random_state, threads, copy
        See `cf.tl.flow`; `threads` is a number.

    Returns
    -------
    None, or the copy. Written are

    - `obs["cf_snapshot_log_density"]`: float64, shape (n_obs,). In nats, in the coordinates of the
      representation. A cell without a time is evaluated in the snapshot nearest to the mean time of
      its neighbours, or with `pooled` at that time. Most cells took part in the fit of their own
      density, so the values are a little too high; `cf.get.density` evaluates other cells.
    - `uns["cf_densities"]`: dict. The densities as plain arrays, which `cf.get.density` returns.

    Raises
    ------
    InputError
        Unusable data, a snapshot of fewer than 10 cells, a column without variation in a snapshot;
        `adata` is unchanged.
    TrainingError
        A likelihood that is not finite.

    See Also
    --------
    cellflow.get.density, cellflow.tl.log_density

    References
    ----------
    Durkan et al., Neural spline flows, NeurIPS 2019; Papamakarios et al., Masked autoregressive
    flow for density estimation, NeurIPS 2017; Dinh et al., Density estimation using Real NVP, ICLR
    2017; Kingma and Dhariwal, Glow, NeurIPS 2018.

    Examples
    --------
    >>> cf.tl.density(adata, "hours", n_dims=3)
    >>> sorted(cf.get.density(adata))
    [0.0, 24.0, 48.0, 72.0]
    """
    check_arguments(density, locals())
    keys = Keys(key_added)
    seed = as_seed(random_state)
    n_threads = as_count("threads", threads)
    if pooled and method in _REFERENCES:
        msg = (
            f"pooled=True with method={method!r}, which cannot be conditional on time; pass"
            " method='nsf', or pooled=False."
        )
        raise InputError(msg)
    reading = Reading(
        time_key, use_rep=use_rep, n_dims=n_dims, weight_key=weight_key, force_rep=force_rep
    )
    cells = read(adata, reading)
    places = [("uns", keys.densities), ("obs", keys.snapshot_log_density)]
    require_free(adata, keys, places, overwrite=overwrite, kind="densities")
    target = target_of(adata, copy=copy)
    models, log_p = densities_of_cells(
        cells.snapshots(),
        cells.x,
        inferred_times(cells),
        pooled=pooled,
        method=method,
        random_state=seed,
        threads=n_threads,
    )
    params = cells.reading.params | {"pooled": pooled, "random_state": seed}
    learned = str(next(iter(models.values())).state()[0]["type"])
    params |= {"time_unit": cells.unit, "method": learned}
    record = {
        "cellflow_version": __version__,
        "kind": "densities",
        "params": plain(params),
        "times": cells.snapshots().times,
        "densities": {name: sealed(*model.state()) for name, model in models.items()},
        "written": listed(keys, places),
    }
    write(target, {"uns": {keys.densities: record}, "obs": {keys.snapshot_log_density: log_p}})
    return target if copy else None
