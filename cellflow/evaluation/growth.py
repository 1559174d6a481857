"""Choice of an assumption about growth by inner hold-outs, without a network."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.core._progress import is_shown
from cellflow.core._random import as_seed, stream, systematic
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core.frame import Frame
from cellflow.core.plans import Plan
from cellflow.core.population import Population, Snapshots
from cellflow.evaluation.assumptions import Assumption, Growth, as_growth, assumptions
from cellflow.evaluation.baselines import previous_snapshot
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.metrics import energy_distance, wasserstein
from cellflow.model.coupled import Coupled, solve_plans
from cellflow.model.recipes import Recipe, describe

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GrowthChoice", "choose_growth", "table"]

logger = logging.getLogger("cellflow")

#: The relaxation where no snapshot can be held out.
_TAU = 0.3
#: Cells of a snapshot in the comparison; of larger ones so many are drawn.
_CELLS = 1000
#: Assumptions whose scores differ by less than this share are equally good: smaller differences
#: come and go with the snapshot that is held out.
_MARGIN = 0.05
#: Distances below this are rounding; the spread of the cells is about one.
_LEAST = 1e-6
#: Points of a comparison, in repeated draws of the smaller snapshot's size, and the most draws.
_POINTS = 1000
_DRAWS = 10


class Score(NamedTuple):
    """An assumption at an inner time: distances relative to those of the first assumption."""

    name: str
    time: float
    w1_ratio: float
    energy_ratio: float


@dataclass(frozen=True)
class GrowthChoice:
    """An assumption about growth, and why it was chosen.

    Parameters
    ----------
    best
        The assumption.
    reason
        Why, in words.
    tried
        All assumptions.
    scores
        All comparisons.
    """

    best: Assumption
    reason: str
    tried: tuple[Assumption, ...]
    scores: tuple[Score, ...] = ()


@guarded
def choose_growth(
    snapshots: Snapshots,
    recipe: Recipe,
    growth: Growth = "auto",
    *,
    random_state: RandomState = 0,
    progress: bool | None = None,
) -> GrowthChoice:
    r"""Choose what is assumed about growth by how well inner snapshots are interpolated.

    Each inner snapshot is left out, the plan between its neighbours is solved under each
    assumption, and the cells before it are moved along the paths of the recipe with their masses,
    without a network. The score of an assumption is the geometric mean, over inner times and over
    W1 and energy distance, of the ratio to the first assumption. The simplest one within
    five percent of the best is chosen, in the order none, mass, prior, and relaxations from the
    largest to the smallest; with `"auto"`, of those that are worse than the first one by more than
    five percent at no inner time. Of snapshots above 1,000 cells, so many are drawn.

    Parameters
    ----------
    snapshots
        In data coordinates.
    recipe
        The method.
    growth
        `"none"`, `"prior"`, `"learn"` (the best relaxation) or `"auto"` (all of these).
    random_state
        Of the draws.
    progress
        Whether to show a progress bar; None shows it on a terminal or in a notebook only.

    Raises
    ------
    InputError
        An assumption that these snapshots or this recipe do not allow.
    """
    tried = assumptions(recipe, snapshots, as_growth(growth))
    if len(tried) == 1:
        return GrowthChoice(tried[0], "as asked for", tuple(tried))
    if len(snapshots) < 3:
        return _unjudged(tried, len(snapshots))
    small = _reduced(snapshots, recipe, as_seed(random_state))
    scores = _scores(small, tried, progress=progress)
    means = {a.name: _mean(a.name, scores) for a in tried}
    limit = 1.0 + _MARGIN if growth == "auto" else math.inf
    harmless = [tried[0], *(a for a in tried[1:] if _worst(a.name, scores) <= limit)]
    lowest = min(means[a.name] for a in harmless)
    best = next(a for a in harmless if means[a.name] <= lowest * (1.0 + _MARGIN))
    listed = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    n = len(snapshots) - 2
    reason = (
        f"{n} inner snapshot{'s' * (n > 1)} held out; distance relative to {tried[0].name}"
        f" (below 1 is better): {listed}"
    )
    logger.info("growth: %s (%s)", best.name, reason)
    return GrowthChoice(best, reason, tuple(tried), tuple(scores))


def _unjudged(tried: Sequence[Assumption], n: int) -> GrowthChoice:
    """The choice where no inner snapshot can be held out."""
    chosen = tried[0]
    if chosen.name not in {"none", "mass"}:
        chosen = next(a for a in tried if a.name == f"tau={_TAU:g}")
    reason = f"{n} snapshots: no inner one can be held out, so that no assumption can be compared"
    return GrowthChoice(chosen, reason, tuple(tried))


def _reduced(snapshots: Snapshots, recipe: Recipe, seed: int) -> Snapshots:
    """At most `_CELLS` cells of each snapshot, in model coordinates."""
    inside = Frame.fitted(snapshots, recipe.scale).snapshots_to_model(snapshots)
    few = []
    for k, p in enumerate(inside.populations):
        if len(p) <= _CELLS or p.context is not None:  # every condition keeps its cells
            few.append(p)
            continue
        order = stream(seed, k).permutation(len(p))
        rows = np.sort(order[systematic(p.weight[order], _CELLS, stream(seed, k, 1))])
        few.append(replace(p.part(rows), weight=np.full(_CELLS, 1.0 / _CELLS)))
    return Snapshots(tuple(few))


def _scores(
    snapshots: Snapshots, tried: Sequence[Assumption], *, progress: bool | None
) -> list[Score]:
    """Every assumption at every inner time, relative to the first."""
    from tqdm import tqdm

    scores: list[Score] = []
    first: dict[float, tuple[float, float]] = {}
    inner = snapshots.times[1:-1].tolist()
    with tqdm(
        total=len(tried) * len(inner), desc="growth", unit="plan", disable=not is_shown(progress)
    ) as bar:
        for assumption in tried:
            seen = assumption.snapshots(snapshots)
            solve = _Solved(assumption.recipe)
            for time in inner:
                found = _distances(
                    solve.interpolated(seen, time),
                    seen.at(time),
                    len(previous_snapshot(seen, time)),
                )
                relative = first.setdefault(time, found)
                ratios = [_ratio(a, b) for a, b in zip(found, relative, strict=True)]
                scores.append(Score(assumption.name, time, *ratios))
                bar.update()
    return scores


def _ratio(value: float, first: float) -> float:
    """Ratio of two distances in model coordinates; what is below rounding is equal."""
    return max(value, _LEAST) / max(first, _LEAST)


def _mean(name: str, scores: Sequence[Score]) -> float:
    """Geometric mean of all ratios of an assumption; infinite where none is a number."""
    ratios = np.array([r for s in scores if s.name == name for r in (s.w1_ratio, s.energy_ratio)])
    known = ratios[np.isfinite(ratios) & (ratios > 0)]
    return float(np.exp(np.log(known).mean())) if len(known) else math.inf


def _worst(name: str, scores: Sequence[Score]) -> float:
    """The largest mean of an assumption at one inner time."""
    times = dict.fromkeys(s.time for s in scores)
    return max(_mean(name, [s for s in scores if s.time == time]) for time in times)


@dataclass(eq=False)
class _Solved:
    """Interpolations of a recipe around several times; a plan between two snapshots is solved once.

    Parameters
    ----------
    recipe
        The method.
    plans
        Plan and its summary by the times of both snapshots.
    """

    recipe: Recipe
    plans: dict[tuple[float, float], Plan] = field(default_factory=dict)

    def interpolated(self, snapshots: Snapshots, time: float) -> Population:
        """The population at a held-out time, from snapshots in model coordinates."""
        rest = snapshots.without(time)
        recipe = replace(self.recipe.resolved(rest.clock), scale="none")
        plans = []
        for ends in rest.intervals:
            key = (ends[0].time, ends[1].time)
            if key not in self.plans:
                # Of candidates: the log at INFO has the plans of the fit only.
                solved = solve_plans(Snapshots(ends), recipe.coupling, level=logging.DEBUG)
                self.plans[key] = solved[0][0]
            plans.append(self.plans[key])
        frame = Frame.fitted(rest, "none")
        coupled = Coupled(plans, {}, describe(recipe.coupling), frame, rest.clock)
        return path_interpolation(rest, time, recipe, plans=coupled, from_source=True)


def _distances(predicted: Population, held_out: Population, n_before: int) -> tuple[float, float]:
    """W1 and energy distance at equal numbers of cells, means over draws."""
    n = min(n_before, len(held_out))
    draws = range(min(_DRAWS, -(-_POINTS // n)))
    pairs = [(_drawn(predicted, n, k, 0), _drawn(held_out, n, k, 1)) for k in draws]
    measures: tuple[Callable[..., float], ...] = (wasserstein, energy_distance)
    w1, energy = (float(np.mean([measure(x, y) for x, y in pairs])) for measure in measures)
    return w1, energy


def _drawn(population: Population, n: int, draw: int, side: int) -> np.ndarray:
    order = stream(draw, side, 0).permutation(len(population))
    rng = stream(draw, side, 1)
    return population.x[order[systematic(population.weight[order], n, rng)]]


def table(choice: GrowthChoice) -> pd.DataFrame:
    """One row per assumption and inner time, with its ratios and whether it was chosen."""
    import pandas as pd

    rows = pd.DataFrame([score._asdict() for score in choice.scores])
    return rows.assign(best=rows["name"] == choice.best.name)
