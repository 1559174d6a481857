"""Log-density of each cell in the density of its snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.snapshots import pooled_density, snapshot_densities
from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots

if TYPE_CHECKING:
    from cellflow.densities import Builder, Density, Method

__all__ = ["pooled_densities", "separate_densities"]


def separate_densities(
    snapshots: Snapshots,
    x: FloatArray,
    times: FloatArray,
    *,
    method: Method | Builder,
    random_state: int,
    threads: int,
) -> tuple[dict[str, Density], FloatArray]:
    """Learn a density for each snapshot, and evaluate each cell in the nearest snapshot.

    Parameters
    ----------
    snapshots, method, random_state, threads
        See `cellflow.analysis.snapshots.snapshot_densities`.
    x
        Positions of cells, shape `(n, d)`.
    times
        Their times, shape `(n,)`.

    Returns
    -------
    The densities by time as text, and the log-densities in nats, shape `(n,)`.
    """
    densities = snapshot_densities(
        snapshots, method=method, random_state=random_state, threads=threads
    )
    nearest = np.argmin(np.abs(times[:, None] - np.array(list(densities))), axis=1)
    log_p = np.empty(len(x))
    for k, model in enumerate(densities.values()):
        log_p[nearest == k] = model.log_prob(x[nearest == k])
    return {str(time): model for time, model in densities.items()}, log_p


def pooled_densities(
    snapshots: Snapshots,
    x: FloatArray,
    times: FloatArray,
    *,
    method: Method | Builder,
    random_state: int,
    threads: int,
) -> tuple[dict[str, Density], FloatArray]:
    """Learn one density conditional on time, and evaluate each cell at its time.

    The arguments are those of `separate_densities`; the name of the density is `"pooled"`.
    """
    density = pooled_density(snapshots, method=method, random_state=random_state, threads=threads)
    return {"pooled": density}, density.log_prob(x, times[:, None])
