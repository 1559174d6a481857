"""Unpaired translation between two groups of cells, with checks of its quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._random import as_seed, stream
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.metrics import c2st, wasserstein

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = [
    "Checks",
    "check_translation",
    "displacement",
    "fit_translation",
    "moved_over",
    "require_enough",
    "round_trip_error",
]

#: Smallest number of cells of a group whose halves can be compared.
_LEAST = 40
#: Most cells of a group that a check uses.
_LOOKED_AT = 2000
# First keys of the random streams.
_HALVES = 0
_LOOKS = 1


@dataclass(frozen=True)
class Checks:
    """Measures of the quality of a translation.

    Distances and the classifier are of held-out cells: a second flow is fitted on a random half of
    each group and judged on the other halves. The translation itself was fitted on all cells and
    should do no worse.

    Parameters
    ----------
    w1_before, w1_after
        Wasserstein distance of the held-out source cells to the held-out target cells, before and
        after translation.
    w1_floor
        Between the two halves of the target: what a perfect translation would reach.
    c2st, c2st_standard_error
        Accuracy of a classifier that tells translated held-out source cells from held-out target
        cells: 0.5 where it cannot.
    displacement
        Mean distance that a source cell is moved.
    displacement_null
        The same for one random half of the source translated into the other, which is due to
        sampling alone. A displacement that is not well above it says nothing.
    displacement_others
        Mean displacement of the cells of other groups under the map, relative to that of the
        source: where it is near 1, the map moves all cells alike, not only those of the source.
    round_trip
        Mean distance between a source cell and itself translated there and back, relative to the
        spread of the source.
    """

    w1_before: float
    w1_after: float
    w1_floor: float
    c2st: float
    c2st_standard_error: float
    displacement: float
    displacement_null: float
    round_trip: float
    displacement_others: Mapping[str, float] = field(default_factory=dict)


def fit_translation(
    source: Population, target: Population, fit: Callable[[Snapshots], FittedDynamics]
) -> FittedDynamics:
    """Fit the flow between two groups: the source at time 0, the target at time 1.

    Parameters
    ----------
    source, target
        Cells in data coordinates; their own times do not matter.
    fit
        `snapshots -> FittedDynamics`, such as `cellflow.fit`.
    """
    return fit(Snapshots((_at(source, 0.0), _at(target, 1.0))))


def require_enough(source: Population, target: Population) -> None:
    """Make sure that half of each group can be held out.

    Raises
    ------
    InputError
        A group of fewer than 40 cells that count.
    """
    for name, group in (("source", source), ("target", target)):
        n = int((group.weight > 0).sum())
        if n < _LEAST:
            msg = (
                f"The {name} has {n} cells; expected at least {_LEAST}, so that half of them can be"
                " held out. Join groups."
            )
            raise InputError(msg)


def moved_over(flow: FittedDynamics, x: FloatArray, *, back: bool = False) -> FloatArray:
    """Translate cells `(n, d)` from the source to the target, or back."""
    start, end = (1.0, 0.0) if back else (0.0, 1.0)
    moved: FloatArray = flow.simulate(x, start, [end]).x[0]
    return moved


def displacement(flow: FittedDynamics, x: FloatArray) -> FloatArray:
    """Distance that each cell of `x (n, d)` is translated, shape `(n,)`."""
    return np.asarray(np.linalg.norm(moved_over(flow, x) - x, axis=1))


def round_trip_error(flow: FittedDynamics, x: FloatArray) -> float:
    """Mean distance between cells `(n, d)` and their round trip, relative to their spread.

    A flow can be solved backward, so this is the error of the solver alone. The spread is the root
    mean square distance from the mean.
    """
    x = np.asarray(x, dtype=np.float64)
    returned = moved_over(flow, moved_over(flow, x), back=True)
    spread = float(np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()))
    return float(np.linalg.norm(returned - x, axis=1).mean()) / (spread or 1.0)


def check_translation(
    flow: FittedDynamics,
    source: Population,
    target: Population,
    fit: Callable[[Snapshots], FittedDynamics],
    *,
    others: Mapping[str, FloatArray] | None = None,
    random_state: RandomState = 0,
) -> Checks:
    """Check a translation without pairs of cells; fits two more flows.

    Parameters
    ----------
    flow
        What `fit_translation` returned for these groups.
    source, target, fit
        What it was made from.
    others
        Cells `(n, d)` of unrelated groups by name. Of every group, up to 2,000 cells are used.
    random_state
        Seed of the halves.

    Raises
    ------
    InputError
        A group of fewer than 40 cells that count.
    """
    require_enough(source, target)
    seed = as_seed(random_state)
    seen, held = _halves(source, seed, 0)
    target_seen, target_held = _halves(target, seed, 1)
    arrived = replace(held, x=moved_over(fit_translation(seen, target_seen, fit), held.x))
    null = fit_translation(seen, held, fit)
    own = _mean_displacement(flow, source)
    alike = c2st(
        arrived.x,
        target_held.x,
        x_weight=arrived.weight,
        y_weight=target_held.weight,
        random_state=seed,
    )
    unrelated = {
        name: _few(Population(x, 0.0), seed, 2 + k)
        for k, (name, x) in enumerate((others or {}).items())
    }
    return Checks(
        w1_before=_w1(held, target_held, seed),
        w1_after=_w1(arrived, target_held, seed),
        w1_floor=_w1(target_seen, target_held, seed),
        c2st=alike.accuracy,
        c2st_standard_error=alike.standard_error,
        displacement=own,
        displacement_null=_mean_displacement(null, seen),
        round_trip=round_trip_error(flow, source.x),
        displacement_others=(
            {k: _mean_displacement(flow, x) / own for k, x in unrelated.items()} if own > 0 else {}
        ),
    )


def _at(group: Population, time: float) -> Population:
    """The cells at an artificial time, without what belongs to their own."""
    return Population(group.x, time, group.weight, group.index)


def _halves(group: Population, seed: int, k: int) -> tuple[Population, Population]:
    """Two random halves of the cells that count."""
    alive = stream(seed, _HALVES, k).permutation(np.flatnonzero(group.weight > 0))
    middle = len(alive) // 2
    return group.part(np.sort(alive[:middle])), group.part(np.sort(alive[middle:]))


def _few(group: Population, seed: int, k: int) -> Population:
    """Up to 2,000 random cells."""
    return group.part(np.sort(stream(seed, _LOOKS, k).permutation(len(group))[:_LOOKED_AT]))


def _w1(x: Population, y: Population, seed: int) -> float:
    x = _few(x, seed, 0)
    y = _few(y, seed, 1)
    return wasserstein(x.x, y.x, x_weight=x.weight, y_weight=y.weight)


def _mean_displacement(flow: FittedDynamics, group: Population) -> float:
    return float(np.average(displacement(flow, group.x), weights=group.weight))
