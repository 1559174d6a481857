"""Densities of the snapshots, without a dynamics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import inferred_times
from cellflow.adapter.keys import DEFAULT, Keys, listed, require_free
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.adapter.store import plain, sealed
from cellflow.adapter.write import target_of, write
from cellflow.analysis.snapshots import pooled_density, snapshot_densities
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core._version import __version__
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.densities import Builder, Density, Method

__all__ = ["density"]

#: References without a network, which cannot be conditional.
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
    """Learn the density of every snapshot, and say how likely each cell is in its own.

    No dynamics takes part: cells that are unlikely here are rare states, doublets or artefacts of
    their snapshot, and `cf.tl.log_density` (the same question to a fitted dynamics) is judged
    against these densities.

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
        foresee cells that were held out better than any flow.
    pooled
        Learn one density conditional on time from all snapshots together, instead of an independent
        one for each: for many small snapshots. Flows only.
    use_rep, n_dims, weight_key, force_rep
        See `cf.tl.flow`. Fewer dimensions make a better density: a snapshot of `n` cells says
        little about 50.
    key_added
        Prefix of what is written; see `cf.tl.flow`.
    overwrite
        Replace what somebody else wrote under the same keys.
    random_state
        Seed; two runs with one seed on one machine are identical.
    threads
        Torch threads.
    copy
        Return a changed copy and leave `adata` alone.

    Returns
    -------
    None, or the copy. Written are

    - `obs["cf_snapshot_log_density"]`: nats, in the coordinates of the representation. A cell
      without a time is asked of the snapshot that is nearest to the mean time of its neighbours,
      or, `pooled`, of the density at that time. Most cells have taken part in the fit of their own
      density, so the values are a little too good; `cf.get.density` answers for others.
    - `uns["cf_densities"]`: the densities as plain arrays, which `cf.get.density` returns.

    Raises
    ------
    InputError
        Unusable data, a snapshot of fewer than 10 cells, a column that does not vary in one;
        `adata` is as it was.
    TrainingError
        A likelihood that is not finite.
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
        time_key,
        use_rep=use_rep,
        n_dims=n_dims,
        weight_key=weight_key,
        force_rep=force_rep,
    )
    cells = read(adata, reading)
    places = [("uns", keys.densities), ("obs", keys.snapshot_log_density)]
    require_free(adata, keys, places, overwrite=overwrite, kind="densities")
    target = target_of(adata, copy=copy)
    times = inferred_times(cells)
    snapshots = cells.snapshots()
    if pooled:
        conditional = pooled_density(snapshots, method=method, random_state=seed, threads=n_threads)
        models: dict[str, Density] = {"pooled": conditional}
        log_p = conditional.log_prob(cells.x, times[:, None])
    else:
        densities = snapshot_densities(
            snapshots, method=method, random_state=seed, threads=n_threads
        )
        models = {str(time): model for time, model in densities.items()}
        log_p = _in_nearest(densities, cells.x, times)
    params = {
        **cells.reading.params,
        "time_unit": cells.unit,
        "method": str(next(iter(models.values())).state()[0]["type"]),
        "pooled": pooled,
        "random_state": seed,
    }
    record = {
        "cellflow_version": __version__,
        "kind": "densities",
        "params": plain(params),
        "times": snapshots.times,
        "densities": {name: sealed(*model.state()) for name, model in models.items()},
        "written": listed(keys, places),
    }
    write(target, {"uns": {keys.densities: record}, "obs": {keys.snapshot_log_density: log_p}})
    return target if copy else None


def _in_nearest(densities: Mapping[float, Density], x: FloatArray, times: FloatArray) -> FloatArray:
    """Log-density of each cell in the snapshot that is nearest to its time."""
    nearest = np.argmin(np.abs(times[:, None] - np.array(list(densities))), axis=1)
    log_p = np.empty(len(x))
    for k, model in enumerate(densities.values()):
        log_p[nearest == k] = model.log_prob(x[nearest == k])
    return log_p
