"""Leave one snapshot out, and predict the population that the model has not seen."""

from __future__ import annotations

import time as clock
from dataclasses import dataclass

from cellflow._random import as_seed, stream
from cellflow._typing import RandomState
from cellflow.analysis.prediction import Prediction, Source, predict
from cellflow.benchmark.baselines import around, noise_floor, ot_interpolation, previous_snapshot
from cellflow.errors import InputError
from cellflow.fitting import fit
from cellflow.flow import Flow
from cellflow.frame import Scale
from cellflow.metrics import wasserstein
from cellflow.population import Population, Snapshots
from cellflow.recipes import Recipe, ot_cfm

__all__ = ["Score", "leave_one_out", "score_held_out"]

#: Suffix of the row, and the snapshots that the prediction starts from.
_SIDES: dict[str, Source] = {"": "earlier", ", two-sided": "both"}


@dataclass(frozen=True)
class Score:
    """How one method did on one held-out snapshot: a row of the table.

    Parameters
    ----------
    time
        The held-out time.
    method
        `"previous snapshot"`, `"OT interpolation"`, `"noise floor"`, or the recipe's name, alone for the push of the earlier
        cells and with `", two-sided"` for both neighbours.
    w1
        Exact Wasserstein distance to all held-out cells, in data coordinates; for the noise floor between its two halves.
    n_predicted, n_observed
        Sizes of the two clouds; small clouds are far from anything, so compare like with like.
    seconds
        To predict, training and plans included; not to score.
    """

    time: float
    method: str
    w1: float
    n_predicted: int
    n_observed: int
    seconds: float


def leave_one_out(
    snapshots: Snapshots,
    time: float,
    *,
    recipe: Recipe | None = None,
    scale: Scale = "joint",
    random_state: RandomState = 0,
    threads: int = 1,
    progress: bool | None = None,
) -> list[Score]:
    """Fit without one snapshot, predict it, and compare with all of its cells.

    Protocol P1 of the literature's tables (Tong et al. 2020): the real cells of the last snapshot before the held-out one are
    pushed to its time. The model sees nothing of the held-out snapshot, its frame included; a representation that was
    computed on all cells has.

    Parameters
    ----------
    snapshots
        All populations, in data coordinates.
    time
        Of the snapshot to leave out; one before and one after it must remain.
    recipe
        The method; `ot_cfm()` by default.
    scale
        Of the model's frame; distances are in data coordinates whatever it is.
    random_state, threads
        Of the fit.
    progress
        A progress bar of the training; None shows it only to somebody who is watching.

    Returns
    -------
    One `Score` each for: the previous snapshot, transport without a model, the model's push (P1), the model's push and pull
    together, and the noise floor.

    Raises
    ------
    InputError
        No snapshot at this time, or none on one of its sides.
    """
    seed, rest = as_seed(random_state), snapshots.without(time)
    around(rest, time)  # before any work
    recipe = ot_cfm() if recipe is None else recipe
    flow = fit(rest, recipe, scale=scale, random_state=seed, threads=threads, progress=progress)
    return score_held_out(flow, snapshots, time, random_state=seed)


def score_held_out(flow: Flow, snapshots: Snapshots, time: float, *, random_state: RandomState = 0) -> list[Score]:
    """Compare what a fit says about a snapshot that it has not seen with all of its cells; see `leave_one_out`.

    Parameters
    ----------
    flow
        A fit to the other snapshots.
    snapshots
        All populations, in data coordinates.
    time
        Of the snapshot that was left out.
    random_state
        Of the noise floor, and of transport without a model where that has to draw.

    Returns
    -------
    As `leave_one_out`.

    Raises
    ------
    InputError
        No snapshot at this time, none on one of its sides, or a fit that has seen it.
    """
    held_out, seed = snapshots.at(time), as_seed(random_state)
    rest = snapshots.without(time)
    around(rest, time)  # before any work
    if time in flow.times:
        msg = f"The flow was fitted to times {flow.times.tolist()}, so it has seen time {time:g}; fit without that snapshot."
        raise InputError(msg)
    name = str(flow.recipe["name"])

    def score(method: str, predicted: Population | Prediction, seconds: float) -> Score:
        w1 = wasserstein(predicted.x, held_out.x, x_weight=predicted.weight, y_weight=held_out.weight)
        return Score(held_out.time, method, w1, len(predicted.x), len(held_out), seconds)

    rows = [score("previous snapshot", previous_snapshot(rest, time), 0.0)]
    start = clock.perf_counter()
    straight = ot_interpolation(rest, time, stream(seed, 0))
    rows.append(score("OT interpolation", straight, clock.perf_counter() - start))

    for suffix, source in _SIDES.items():
        begun = clock.perf_counter()
        predicted = predict(flow, rest, time, source=source)
        rows.append(score(name + suffix, predicted, flow.seconds + clock.perf_counter() - begun))

    half = len(held_out) // 2
    rows.append(Score(held_out.time, "noise floor", noise_floor(held_out, stream(seed, 1)), half, half, 0.0))
    return rows
