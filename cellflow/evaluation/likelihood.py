"""Likelihood of held-out cells under the dynamics, beside densities of single snapshots."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cellflow.analysis.density import EvolvingDensity, SourceKind
from cellflow.analysis.snapshots import snapshot_densities
from cellflow.core._numbers import as_number
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import IntArray, RandomState
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.metrics import negative_log_likelihood
from cellflow.model.fitting import fit
from cellflow.model.recipes import Recipe, ot_cfm

__all__ = ["Likelihood", "held_out_nll", "split"]

# First keys of the random streams.
_SPLIT = 0
_FIT = 1
_DENSITY = 2


@dataclass(frozen=True)
class Likelihood:
    """Likelihood of the held-out cells of one snapshot under one method.

    Parameters
    ----------
    time
        Of the snapshot.
    method
        The recipe's name for the dynamics, or `"<density>, each snapshot"`.
    nll
        Mean negative log-likelihood, nats, in data coordinates.
    per_dim
        The same over the number of dimensions.
    standard_error
        Of the mean, over cells.
    n
        Number of held-out cells.

    Examples
    --------
    >>> from cellflow.training import Training
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> quick = cf.recipes.ot_cfm(training=Training(steps=20))
    >>> found = cf.evaluation.held_out_nll(snapshots, recipe=quick, density="gmm")
    >>> found[0].n
    12
    """

    time: float
    method: str
    nll: float
    per_dim: float
    standard_error: float
    n: int


@guarded
def held_out_nll(
    snapshots: Snapshots,
    *,
    recipe: Recipe | None = None,
    share: float = 0.2,
    density: SourceKind = "nsf",
    random_state: RandomState = 0,
    threads: int = 1,
) -> list[Likelihood]:
    """Hold out cells of every snapshot, fit to the others, and score the dynamics' density on them.

    Beside it stands an independent density of each snapshot, fitted to the same cells; the
    difference is the price of one continuous dynamics through all snapshots. Both share the density
    of the first snapshot, so they agree there.

    Parameters
    ----------
    snapshots
        All populations, in data coordinates.
    recipe
        The method; `ot_cfm()` by default.
    share
        Share of the cells of each snapshot that are held out, above 0 and below 1.
    density
        Method of the densities, see `cellflow.densities.fit_density`.
    random_state, threads
        Of the split and of the fits.

    Returns
    -------
    Two rows for each snapshot.

    Raises
    ------
    InputError
        A share that leaves a snapshot with nothing on one side.

    Examples
    --------
    >>> from cellflow.training import Training
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> quick = cf.recipes.ot_cfm(training=Training(steps=20))
    >>> found = cf.evaluation.held_out_nll(snapshots, recipe=quick, density="gmm")
    >>> found[0].method
    'ot-cfm'
    """
    seed = as_seed(random_state)
    recipe = ot_cfm() if recipe is None else recipe
    train, test = split(snapshots, share, stream(seed, _SPLIT))
    independent = snapshot_densities(
        train, method=density, random_state=_seed(seed, _DENSITY), threads=threads
    )
    flow = fit(train, recipe, random_state=_seed(seed, _FIT), threads=threads, progress=False)
    first = float(train.times[0])
    evolving = EvolvingDensity(flow, independent[first], first)
    name = density if isinstance(density, str) else "density"

    rows = []
    for cells in test.populations:
        scored = {
            recipe.name: evolving.log_prob(cells.x, cells.time),
            f"{name}, each snapshot": independent[cells.time].log_prob(cells.x),
        }
        for method, log_p in scored.items():
            nll = negative_log_likelihood(log_p, snapshots.n_dims, weight=cells.weight)
            rows.append(Likelihood(cells.time, method, *nll, len(cells)))
    return rows


def split(
    snapshots: Snapshots, share: float, rng: np.random.Generator
) -> tuple[Snapshots, Snapshots]:
    """Hold out a share of the cells of every snapshot; returns the other cells and those.

    Raises
    ------
    InputError
        A share that is not between 0 and 1, or that leaves a snapshot with nothing on one side.
    """
    as_number("share", share, above=0.0)
    parts: list[tuple[Population, Population]] = []
    for population in snapshots.populations:
        n_aside = round(share * len(population))
        if not 0 < n_aside < len(population):
            msg = (
                f"share={share:g} sets {n_aside} of the {len(population)} cells at time"
                f" {population.time:g} aside; expected some, and not all. Pass a share between 0"
                " and 1, or leave that snapshot out."
            )
            raise InputError(msg)
        order = rng.permutation(len(population))
        parts.append(
            (
                _only(population, np.sort(order[n_aside:])),
                _only(population, np.sort(order[:n_aside])),
            )
        )
    kept, aside = zip(*parts, strict=True)
    return Snapshots(kept), Snapshots(aside)


def _only(population: Population, rows: IntArray) -> Population:
    return replace(
        population,
        x=population.x[rows],
        weight=population.weight[rows],
        index=population.index[rows],
    )


def _seed(seed: int, key: int) -> int:
    return int(stream(seed, key).integers(2**63))
