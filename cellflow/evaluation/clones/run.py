"""Plans and fits of every fold of clones, and the fates that they predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cellflow.core._typing import BoolArray, FloatArray, IntArray
from cellflow.core.population import Snapshots
from cellflow.evaluation.assumptions import Assumption, Growth
from cellflow.evaluation.clones.cells import ClonalCells, Observations
from cellflow.evaluation.clones.choice import (
    Strength,
    choose_strength,
    plans_of,
    strength_of,
    with_clones,
)
from cellflow.evaluation.clones.fates import (
    clones_of_neighbours,
    flow_fates,
    majority,
    nearest_labels,
    of_neighbours,
    plan_fates,
)
from cellflow.evaluation.clones.plans import Shared, chance, precision, shared_of
from cellflow.evaluation.clones.scores import Method
from cellflow.evaluation.growth import choose_growth
from cellflow.model.fitting import couple, fit
from cellflow.model.recipes import Recipe

__all__ = [
    "CHANCE",
    "CLONES",
    "LABELS",
    "MAJORITY",
    "Folds",
    "Found",
    "Prepared",
    "Setting",
    "baselines",
    "predicted",
    "prepared",
]

#: Baselines.
LABELS = Method("nearest labelled cells", "baseline")
CLONES = Method("clones of the nearest cells", "baseline")
MAJORITY = Method("shares of all cells", "baseline")
CHANCE = Method("independent pairs", "baseline")
#: What predicts fates by a method: its plans, the same as a mean over the nearest cells, its flow.
PLANS = "plans"
AROUND = "plans of the nearest cells"
FLOW = "flow"


@dataclass(frozen=True)
class Setting:
    """What is predicted, and how.

    Parameters
    ----------
    recipe
        The method.
    growth
        What it assumes about growth; chosen without any clone.
    strengths
        Strengths of the coupling to choose from; see `choose_strength`.
    until
        Last time at which cells have barcodes; None for all times.
    network
        Whether the flow is fitted, beside the plans.
    n_neighbors
        Neighbours that vote; None for the square root of the number of cells.
    seed
        Of the fits.
    """

    recipe: Recipe
    growth: Growth
    strengths: tuple[Strength, ...]
    until: float | None
    network: bool
    n_neighbors: int | None
    seed: int


@dataclass(eq=False)
class Found:
    """Predictions for the observed cells, and how much mass stays in its clone.

    Parameters
    ----------
    shares
        By method, `(m, n_labels)`.
    inside
        By method, one array for each interval; see `precision`.
    strengths
        Chosen strength of each fold; empty for baselines.
    """

    shares: dict[Method, FloatArray] = field(default_factory=dict)
    inside: dict[Method, list[FloatArray]] = field(default_factory=dict)
    strengths: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Folds:
    """Clones of each fold, with what is scored in it.

    Parameters
    ----------
    cells
        The cells.
    fold
        Number of the fold in which each clone is hidden, `(n_clones,)`.
    """

    cells: ClonalCells
    fold: IntArray

    @property
    def n(self) -> int:
        """How many."""
        return int(self.fold.max()) + 1

    @property
    def observations(self) -> Observations:
        """Of all folds."""
        return self.cells.observations

    def seen(self, k: int) -> BoolArray:
        """Clones that may be seen where fold `k` is hidden."""
        return np.asarray(self.fold != k)

    def hidden(self, k: int) -> IntArray:
        """Rows of the observations whose clone is hidden in fold `k`."""
        return np.flatnonzero(self.fold[self.observations.clone] == k)

    def shared(self, interval: int) -> Shared:
        """Pairs of a cell and a clone whose precision is measured."""
        return shared_of(self.cells, interval)

    @property
    def n_intervals(self) -> int:
        """How many intervals there are."""
        return len(self.cells.snapshots) - 1


def baselines(folds: Folds, n_neighbors: int | None) -> Found:
    """Predictions without a plan."""
    cells = folds.cells
    rows = folds.observations.cell
    found = Found()
    found.shares[LABELS] = nearest_labels(cells, n_neighbors)[rows]
    found.shares[MAJORITY] = majority(cells)[rows]
    by_clones = np.empty((len(rows), len(cells.names)))
    for k in range(folds.n):
        here = folds.hidden(k)
        by_clones[here] = clones_of_neighbours(cells, folds.seen(k), n_neighbors)[rows[here]]
    found.shares[CLONES] = by_clones
    found.inside[CHANCE] = [chance(cells, folds.shared(i)) for i in range(folds.n_intervals)]
    return found


class _Solved(NamedTuple):
    """Predictions by the plans of one fold, and by its fit."""

    shares: dict[str, FloatArray]  # of all cells, by what predicts
    inside: list[FloatArray]  # precision in each interval


@dataclass(frozen=True, eq=False)
class Prepared:
    """A method, and what it predicts without clones.

    Parameters
    ----------
    setting
        The method.
    choice
        What it assumes about growth.
    plain
        Its predictions without clones.
    """

    setting: Setting
    choice: Assumption
    plain: _Solved


def prepared(cells: ClonalCells, setting: Setting) -> Prepared:
    """Choose what a method assumes about growth, and predict without clones."""
    bare = cells.uninformed
    choice = choose_growth(
        bare, setting.recipe, setting.growth, random_state=setting.seed, progress=False
    ).best
    plain = _solved(cells, choice.snapshots(bare), choice.recipe, setting)
    return Prepared(setting, choice, plain)


def predicted(
    folds: Folds,
    method: Prepared,
    name: str,
    rng: np.random.Generator,
    tick: Callable[[str], None] = lambda _: None,
) -> Found:
    """Predictions of one method, without clones and with those of the other folds.

    Parameters
    ----------
    folds
        The cells and their folds.
    method
        The method.
    name
        What its rows are called.
    rng
        Of the choice of strengths.
    tick
        Called with a text after all plans and fits of a fold.
    """
    cells = folds.cells
    setting = method.setting
    found = Found()
    _take(found, folds, method.plain, name, None)
    for k in range(folds.n):
        seen = folds.seen(k)
        strength = choose_strength(
            cells, seen, method.choice, setting.strengths, setting.until, rng
        )  # fmt: skip
        recipe = with_clones(method.choice.recipe, strength)
        found.strengths.append(strength_of(recipe))
        informed = method.choice.snapshots(cells.informed(seen, setting.until))
        _take(found, folds, _solved(cells, informed, recipe, setting), name, k)
        tick(f"{name}, fold {k + 1}")
    return found


def _solved(cells: ClonalCells, snapshots: Snapshots, recipe: Recipe, setting: Setting) -> _Solved:
    """Solve the plans of a recipe, fit it where that is asked for, and predict all cells."""
    flow = None
    if setting.network:
        coupled = couple(snapshots, recipe, progress=False)
        solved = coupled.plans
        flow = fit(
            snapshots, recipe, random_state=setting.seed, plans=coupled, progress=False
        )  # fmt: skip
    else:
        solved = plans_of(snapshots, recipe)
    shares = {PLANS: plan_fates(cells, solved)}
    shares[AROUND] = of_neighbours(shares[PLANS], cells.snapshots, setting.n_neighbors)
    if flow is not None:
        shares[FLOW] = flow_fates(cells, flow)
    inside = [
        precision(cells, plan, shared_of(cells, interval)) for interval, plan in enumerate(solved)
    ]
    return _Solved(shares, inside)


def _take(found: Found, folds: Folds, solved: _Solved, name: str, k: int | None) -> None:
    """Keep what is scored in fold `k`; everything where no clone was seen."""
    informed = k is not None
    there = folds.observations
    rows = np.arange(len(there)) if k is None else folds.hidden(k)
    for what, shares in solved.shares.items():
        method = Method(f"{name}: {what}", "model", informed)
        own = found.shares.setdefault(method, np.full((len(there), shares.shape[1]), np.nan))
        own[rows] = shares[there.cell[rows]]
    kept = found.inside.setdefault(
        Method(f"{name}: {PLANS}", "model", informed),
        [np.full(len(values), np.nan) for values in solved.inside],
    )
    for interval, values in enumerate(solved.inside):
        clone = folds.shared(interval).clone
        hidden = np.ones(len(clone), dtype=bool) if k is None else folds.fold[clone] == k
        kept[interval][hidden] = values[hidden]
