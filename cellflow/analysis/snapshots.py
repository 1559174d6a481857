"""The density of every snapshot by itself: what the dynamics' density is judged against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._random import as_seed, stream
from cellflow.core._typing import RandomState
from cellflow.core.population import Snapshots
from cellflow.errors import InputError

if TYPE_CHECKING:
    from cellflow.densities import Builder, Density, Method

__all__ = ["pooled_density", "snapshot_densities"]


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
