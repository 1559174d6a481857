"""Interpolation along the paths of a method, without its network."""

from __future__ import annotations

import numpy as np
import torch

from cellflow.core._settings import guarded
from cellflow.core.plans import mass_at
from cellflow.core.population import Pairs, Population, Snapshots
from cellflow.errors import InputError
from cellflow.evaluation.baselines import around
from cellflow.model.fitting import Coupled, couple
from cellflow.model.recipes import Recipe, by_name
from cellflow.paths.chain import chained

__all__ = ["path_interpolation"]


@guarded
def path_interpolation(
    snapshots: Snapshots,
    time: float,
    recipe: str | Recipe,
    *,
    plans: Coupled | None = None,
    from_source: bool = False,
) -> Population:
    """Interpolate between the pairs of a plan along a method's paths, without a network.

    The difference to the method itself is the effect of its network. Noise, time warp and width of
    the paths are left out.

    Parameters
    ----------
    snapshots
        The populations, in data coordinates; one at `time` itself must not be among them.
    time
        Strictly inside the observed times.
    recipe
        The method, or its name.
    plans
        Of the recipe on these snapshots (`couple`); None solves them.
    from_source
        With growth: use the pairs that were drawn by their source cells only, as cells that are
        pushed forward. What grows from cells of hardly any mass then is missing.

    Returns
    -------
    As many cells as the larger neighbouring snapshot has; with growth twice as many, weighted by
    their masses.

    Raises
    ------
    InputError
        A time that has no snapshot on both sides, or one itself; plans of another coupling or of
        other snapshots.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> cf.evaluation.path_interpolation(snapshots.without(1.0), 1.0, "ot-cfm").time
    1.0
    """
    source, target = around(snapshots, time)
    if time in snapshots.times:
        msg = (
            f"There is a snapshot at time {time:g} itself, which the paths would end at; pass"
            f" snapshots.without({time:g})."
        )
        raise InputError(msg)
    solved = couple(snapshots, recipe, progress=False) if plans is None else plans
    inside = solved.frame.snapshots_to_model(snapshots)
    chosen = by_name(recipe)
    solved.require_for(inside, chosen, solved.frame)
    path = solved.path(inside, chosen)
    _, tables = chained(inside, solved.plans, growing=chosen.grows)
    k = int(np.flatnonzero(snapshots.times == source.time)[0])
    a = inside[k]
    b = inside[k + 1]
    table = tables[k]
    used = np.arange(len(table.row))
    if from_source and table.by_source is not None:
        used = np.flatnonzero(table.by_source)
    n = len(used)
    pairs = Pairs(
        torch.from_numpy(a.x[table.plan.i[used]]),
        torch.from_numpy(b.x[table.plan.j[used]]),
        torch.full((n,), source.time, dtype=torch.float64),
        torch.full((n,), target.time, dtype=torch.float64),
        row=torch.from_numpy(table.row[used]),
    )
    x = path.mean(torch.full((n,), float(time), dtype=torch.float64), pairs).numpy()
    weight = table.plan.mass[used]
    if table.log_ratio is not None:
        share = (time - source.time) / (target.time - source.time)
        log_ratio = table.log_ratio[used]
        weight = weight * (np.exp(share * log_ratio) if from_source else mass_at(log_ratio, share))
    return Population(solved.frame.to_data(x), float(time), weight)
