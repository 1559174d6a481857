"""Choice of how far barcodes are trusted in a coupling, on clones that may be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from cellflow.core._typing import BoolArray
from cellflow.core.plans import Plan
from cellflow.core.population import Snapshots
from cellflow.couplings import Lineage
from cellflow.evaluation.assumptions import Assumption
from cellflow.evaluation.clones.cells import ClonalCells
from cellflow.evaluation.clones.fates import of_neighbours, plan_fates
from cellflow.evaluation.clones.measures import Truth, calibrated_brier
from cellflow.model.fitting import couple
from cellflow.model.recipes import Recipe
from cellflow.paths import Linear

__all__ = ["Strength", "choose_strength", "plans_of", "strength_of", "with_clones"]

#: `couplings.Lineage.strength`; None for that of the recipe.
Strength: TypeAlias = "float | None"
#: Parts of the seen clones, of which each is hidden in turn.
_N_PARTS = 3


def with_clones(recipe: Recipe, strength: Strength) -> Recipe:
    """Return the recipe with a coupling that is informed by clones; see `couplings.Lineage`.

    A recipe that has one already keeps its other arguments.
    """
    if strength is not None:
        return recipe.with_lineage(strength)
    return recipe if isinstance(recipe.coupling, Lineage) else recipe.with_lineage()


def plans_of(snapshots: Snapshots, recipe: Recipe) -> Sequence[Plan]:
    """Solve the plans of a recipe, without preparing its path, which may take much longer."""
    return couple(snapshots, replace(recipe, path=Linear()), progress=False).plans


def strength_of(recipe: Recipe) -> float:
    """The strength of a recipe with clones."""
    assert isinstance(recipe.coupling, Lineage)
    return float(recipe.coupling.strength)


def choose_strength(
    cells: ClonalCells,
    seen: BoolArray,
    assumed: Assumption,
    strengths: tuple[Strength, ...],
    until: float | None,
    rng: np.random.Generator,
) -> Strength:
    """Choose the strength by clones that may be seen, a third of which is hidden in turn.

    The strength with the smallest calibrated Brier score of the hidden thirds is chosen, predicted
    by the plans of the nearest cells; no network is fitted. Of a single strength nothing is chosen.

    Parameters
    ----------
    cells
        The cells.
    seen
        Which clones may be seen, `(n_clones,)`.
    assumed
        The recipe, with what it assumes about growth.
    strengths
        What to choose from.
    until
        See `ClonalCells.informed`.
    rng
        Of the thirds.
    """
    if len(strengths) == 1:
        return strengths[0]
    place = rng.permutation(cells.unit.max() + 1) % _N_PARTS
    part = place[cells.unit]
    there = cells.observations.part(seen[cells.observations.clone])
    truth = Truth(cells.counts[there.clone], (0, 1), cells.shares, part[there.clone])
    found = np.zeros((len(strengths), len(there), len(cells.names)))
    for k in range(_N_PARTS):
        inside = assumed.snapshots(cells.informed(seen & (part != k), until))
        hidden = np.flatnonzero(part[there.clone] == k)
        for n, strength in enumerate(strengths):
            plans = plans_of(inside, with_clones(assumed.recipe, strength))
            shares = of_neighbours(plan_fates(cells, plans), cells.snapshots)
            found[n, hidden] = shares[there.cell[hidden]]
    ones = np.ones((1, len(there)))
    scores = [float(calibrated_brier(shares, truth, ones)[0]) for shares in found]
    return strengths[int(np.argmin(scores))]
