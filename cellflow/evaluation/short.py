"""Hold-outs of one snapshot and one recipe, with a short result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core.frame import Scale
from cellflow.core.population import Snapshots
from cellflow.errors import CellFlowError, InputError
from cellflow.evaluation.comparison import compare
from cellflow.evaluation.folds import Fold
from cellflow.evaluation.holdout import hold_out
from cellflow.evaluation.methods import FlowPredictor
from cellflow.evaluation.names import DEFAULT_PROTOCOL, PREVIOUS, PUBLISHED_PROTOCOL, STRAIGHT
from cellflow.evaluation.rows import Row
from cellflow.evaluation.verdict import judge
from cellflow.evaluation.words import sentence
from cellflow.model.fitting import fit
from cellflow.model.flow import Flow
from cellflow.model.recipes import DEFAULT, Recipe, by_name

__all__ = ["Score", "judge_held_out", "leave_one_out", "score_held_out"]

#: Random halvings of the held-out cells; few cells need more of them.
_SPLITS = 20
#: Protocols that are shown, and what follows the method's name.
_SUFFIX = {str(PUBLISHED_PROTOCOL): "", str(DEFAULT_PROTOCOL): ", two-sided"}


@dataclass(frozen=True)
class Score:
    """How one method did on one held-out snapshot, in short.

    Parameters
    ----------
    time
        The held-out time.
    method
        `"previous snapshot"`, `"OT interpolation"`, `"noise floor"`, or the recipe's name, alone
        for the push of the earlier cells and with `", two-sided"` for both neighbours.
    w1
        Exact Wasserstein distance to all held-out cells, in data coordinates; for the noise floor
        between its two halves, NaN where there is one cell only.
    n_predicted, n_observed
        Sizes of the two clouds. Distances are larger for small clouds; compare equal sizes only.
    seconds
        To predict, training and plans included; not to score.

    Examples
    --------
    >>> from cellflow.training import Training
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> quick = cf.recipes.ot_cfm(training=Training(steps=20))
    >>> scores = cf.evaluation.leave_one_out(snapshots, 1.0, recipe=quick)
    >>> [score.n_observed for score in scores][:2]
    [60, 60]
    """

    time: float
    method: str
    w1: float
    n_predicted: int
    n_observed: int
    seconds: float


@guarded
def leave_one_out(
    snapshots: Snapshots,
    time: float,
    *,
    recipe: Recipe | None = None,
    scale: Scale | None = None,
    random_state: RandomState = 0,
    threads: int = 1,
    progress: bool | None = None,
) -> list[Score]:
    """Fit without one snapshot, predict it, and compare with all of its cells.

    Protocol P1 of the literature's tables (Tong et al. 2020): the real cells of the last snapshot
    before the held-out one are pushed to its time. The model sees nothing of the held-out snapshot,
    its frame included; a representation that was computed on all cells has. `hold_out` does the
    same for many times, seeds and methods, with more metrics.

    Parameters
    ----------
    snapshots
        All populations, in data coordinates.
    time
        Of the snapshot to leave out; one before and one after it must remain.
    recipe
        The method; the default one (`cellflow.recipes.DEFAULT`), if None.
    scale
        Replaces that of the recipe; distances are in data coordinates with any.
    random_state, threads
        Of the fit.
    progress
        Whether to show a progress bar of the training; None shows it on a terminal or in a notebook
        only.

    Returns
    -------
    One `Score` each for: the previous snapshot, OT interpolation, the model's push (P1), the
    model's push and pull together (two-sided), and the noise floor.

    Raises
    ------
    InputError
        No snapshot at this time, or none on one of its sides.

    Examples
    --------
    >>> from cellflow.training import Training
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> quick = cf.recipes.ot_cfm(training=Training(steps=20))
    >>> scores = cf.evaluation.leave_one_out(snapshots, 1.0, recipe=quick)
    >>> scores[0].method
    'previous snapshot'
    """
    fold = Fold(snapshots, time)  # before any work
    recipe = by_name(DEFAULT) if recipe is None else recipe
    flow = fit(
        fold.rest,
        recipe,
        scale=scale,
        random_state=random_state,
        threads=threads,
        progress=progress,
    )
    return score_held_out(flow, snapshots, time)


@guarded
def score_held_out(flow: Flow, snapshots: Snapshots, time: float) -> list[Score]:
    """Compare the prediction of a fit for an unseen snapshot with all of its cells.

    See `leave_one_out`.

    Parameters
    ----------
    flow
        A fit to the other snapshots.
    snapshots
        All populations, in data coordinates.
    time
        Of the snapshot that was left out.

    Returns
    -------
    As `leave_one_out`.

    Raises
    ------
    InputError
        No snapshot at this time, none on one of its sides, or a fit that has seen it.
    CellFlowError
        A prediction that fails.

    Examples
    --------
    >>> from cellflow.training import Training
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> quick = cf.recipes.ot_cfm(training=Training(steps=20))
    >>> flow = cf.fit(snapshots.without(1.0), quick)
    >>> scores = cf.evaluation.score_held_out(flow, snapshots, 1.0)
    """
    fold = Fold(snapshots, time)  # before any work
    if time in flow.times:
        msg = (
            f"The flow was fitted to times {flow.times.tolist()}, so it has seen time {time:g}; fit"
            " without that snapshot."
        )
        raise InputError(msg)
    rows = hold_out(
        [fold],
        methods=[FlowPredictor(flow, flow.seconds)],
        protocols=tuple(_SUFFIX),
        baselines=(PREVIOUS, STRAIGHT),
        metrics=("w1",),
        progress=False,
    ).rows
    for row in rows:
        if row.kind != "floor" and math.isnan(row.scores.values["w1"]):
            msg = (
                f"{row.method} could not be scored at time {time:g}"
                f" ({'; '.join(row.scores.notes)})."
            )
            raise CellFlowError(msg)
    return [_short(row) for row in rows]


def judge_held_out(flows: Mapping[float, Flow], snapshots: Snapshots) -> str:
    """Say whether fits of one recipe are better than OT interpolation.

    Parameters
    ----------
    flows
        By time: a fit to the snapshots of all other times.
    snapshots
        All populations, in data coordinates.

    Returns
    -------
    Plain sentences: two-sided, as `cf.tl.predict` predicts, and P1.

    Raises
    ------
    InputError
        No snapshot at a time, or none on one of its sides.

    Examples
    --------
    >>> from cellflow.training import Training
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> quick = cf.recipes.ot_cfm(training=Training(steps=20))
    >>> flow = cf.fit(snapshots.without(1.0), quick)
    >>> words = cf.evaluation.judge_held_out({1.0: flow}, snapshots)
    """
    rows: list[Row] = []
    for time, flow in flows.items():
        found = hold_out(
            [Fold(snapshots, time)],
            methods=[FlowPredictor(flow, flow.seconds)],
            protocols=tuple(_SUFFIX),
            baselines=(STRAIGHT,),
            metrics=(),
            n_splits=_SPLITS,
            progress=False,
        )
        rows += found.rows
    return "\n".join(sentence(verdict) for verdict in judge(compare(rows)))


def _short(row: Row) -> Score:
    values = row.scores.values
    return Score(
        row.time,
        row.method + _SUFFIX[row.protocol] if row.protocol else row.method,
        values["w1"],
        int(values["n_predicted"]),
        int(values["n_observed"]),
        row.seconds,
    )
