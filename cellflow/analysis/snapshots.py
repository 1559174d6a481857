"""The density of every snapshot by itself: what the dynamics' density is judged against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._random import as_seed, stream
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core.population import Snapshots
from cellflow.errors import InputError

if TYPE_CHECKING:
    from cellflow.densities import Builder, Density, Method

__all__ = ["densities_of_cells", "pooled_density", "snapshot_densities"]


def snapshot_densities(
    snapshots: Snapshots,
    *,
    method: Method | Builder = "nsf",
    random_state: RandomState = 0,
    threads: int = 1,
) -> dict[float, Density]:
    """Learn an independent density for each snapshot.

    Parameters
    ----------
    snapshots
        At least 10 cells each.
    method, threads
        See `cellflow.densities.fit_density`.
    random_state
        Split by snapshot.

    Returns
    -------
    Densities by time, in the coordinates of the snapshots.

    Raises
    ------
    InputError
        A snapshot that no density can be learned from, or an unknown method.
    """
    from cellflow.densities import fit_density, require_learnable

    for population in snapshots.populations:
        try:
            require_learnable(population.x, weight=population.weight)
        except InputError as cause:
            msg = f"The snapshot at time {population.time:g} has no density of its own: {cause}"
            raise InputError(msg) from cause
    seed = as_seed(random_state)
    return {
        population.time: fit_density(
            population.x,
            method=method,
            weight=population.weight,
            random_state=int(stream(seed, k).integers(2**63)),
            threads=threads,
        )
        for k, population in enumerate(snapshots.populations)
    }


def pooled_density(
    snapshots: Snapshots,
    *,
    method: Method | Builder = "nsf",
    random_state: RandomState = 0,
    threads: int = 1,
) -> Density:
    """Learn one density conditional on time from all snapshots, weighted by their numbers of cells.

    Parameters
    ----------
    snapshots
        At least 10 cells in all.
    method
        A flow; see `cellflow.densities.fit_density`.
    random_state, threads
        See there.

    Returns
    -------
    A density whose context is the time, `(n, 1)`.
    """
    from cellflow.densities import fit_density

    parts = [(p.x, len(p) * p.weight, np.full((len(p), 1), p.time)) for p in snapshots.populations]
    x, weight, time = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return fit_density(
        x, method=method, weight=weight, context=time, random_state=random_state, threads=threads
    )


def densities_of_cells(
    snapshots: Snapshots,
    x: FloatArray,
    times: FloatArray,
    *,
    pooled: bool,
    method: Method | Builder = "nsf",
    random_state: RandomState = 0,
    threads: int = 1,
) -> tuple[dict[str, Density], FloatArray]:
    """Learn the densities of the snapshots, and evaluate cells `x (n, d)` at their times `(n,)`.

    Returns
    -------
    The densities by time as text, and the log-density of each cell in that of the nearest snapshot,
    in nats, shape `(n,)`; `pooled`, the one density `"pooled"`, evaluated at each cell's time.
    """
    learn = pooled_density if pooled else snapshot_densities
    found = learn(snapshots, method=method, random_state=random_state, threads=threads)
    if not isinstance(found, dict):
        return {"pooled": found}, found.log_prob(x, times[:, None])
    nearest = np.argmin(np.abs(times[:, None] - np.array(list(found))), axis=1)
    log_p = np.empty(len(x))
    for k, model in enumerate(found.values()):
        log_p[nearest == k] = model.log_prob(x[nearest == k])
    return {str(time): model for time, model in found.items()}, log_p
