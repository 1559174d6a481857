"""The composition: from snapshots to a fitted flow."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Literal

import torch

from cellflow.core._arguments import check_arguments
from cellflow.core._devices import choose_device
from cellflow.core._drawing import Drawing
from cellflow.core._halves import degrees_of
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._threads import as_threads, choose_threads, torch_threads
from cellflow.core._typing import RandomState
from cellflow.core.frame import Scale
from cellflow.core.population import Snapshots
from cellflow.errors import InputError, InputTypeError
from cellflow.fields.dynamics import Dynamics, averaged
from cellflow.model.coupled import Coupled, couple, couple_again
from cellflow.model.description import describe
from cellflow.model.flow import Ensemble, Flow
from cellflow.model.problem import problems_of, untrained
from cellflow.model.recipe import Recipe
from cellflow.model.recipes import DEFAULT, by_name
from cellflow.training import Callback, Source, train

__all__ = ["Coupled", "couple", "couple_again", "fit"]


@guarded
def fit(
    snapshots: Snapshots,
    recipe: str | Recipe | None = None,
    *,
    scale: Scale | None = None,
    random_state: RandomState = 0,
    plans: Coupled | None = None,
    n_members: int = 1,
    threads: int | Literal["auto"] = 1,
    device: torch.device | str = "cpu",
    progress: bool | None = None,
    callback: Callback | None = None,
) -> Flow:
    """Learn a continuous dynamics from snapshots.

    The plans between consecutive snapshots are solved once on the whole populations; training then
    regresses on points of paths between paired cells, and no transport is solved in the loop.

    Parameters
    ----------
    snapshots
        At least two populations, in data coordinates; for a recipe that generates, one will do.
    recipe
        The method, or its name; `recipes.DEFAULT` by default.
    scale
        Replaces that of the recipe.
    random_state
        Seed of the run; two runs with one seed on one machine are identical.
    plans
        What `couple` returned for the same snapshots, coupling and scale; None solves them here.
    n_members
        Flows to fit: of more than one, the result is an `Ensemble` of flows on halves of the cells,
        trained as one network on a smaller batch each. An ensemble of five takes less than twice
        the time of one flow.
    threads
        Torch threads; `"auto"` times one against all and records its choice.
    device
        `"cpu"`, `"cuda"`, `"cuda:0"`, ..., or `"auto"`.
    progress
        Progress bars over plans, paths and training; None shows them only in a terminal or a
        notebook.
    callback
        Called as `callback(step, loss)` at every record.

    Returns
    -------
    The fitted `Flow`, or `Ensemble`.

    Raises
    ------
    InputError
        One snapshot only, plans of the whole populations for an ensemble, or another argument that
        is not usable.
    CouplingError
        A plan could not be computed.
    TrainingError
        A loss that is not finite.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> flow = cf.fit(snapshots, "ot-cfm")
    >>> flow.velocity(snapshots[0].x, 0.0).shape
    (60, 2)
    """
    check_arguments(fit, locals())
    start = time.perf_counter()
    # Arguments first: a plan may take minutes.
    _require_types(snapshots, plans, callback, n_members)
    seed = as_seed(random_state)
    place = choose_device(device)
    wanted = as_threads(threads)
    chosen = by_name(DEFAULT if recipe is None else recipe, scale=scale)
    problems = problems_of(snapshots, chosen, plans, n_members, seed, progress=progress)
    first = problems[0]
    source, dynamics = untrained(problems, seed, place)
    n_threads = _n_threads(wanted, dynamics, source, first.recipe, seed)
    trains = partial(train, seed=seed, progress=progress, callback=callback)
    with torch_threads(n_threads):
        trained, history = trains(dynamics, source, first.recipe.objectives, first.recipe.training)
    values: dict[str, Any] = {
        "dynamics": averaged(trained, n_members).eval(),
        "frame": first.coupled.frame,
        "clock": first.coupled.clock,
        "times": snapshots.times,
        "recipe": describe(chosen.resolved(first.coupled.clock)),
        "plans": {key: dict(summary) for key, summary in first.coupled.summaries.items()},
        "history": history,
        "seed": seed,
        "threads": n_threads,
        "seconds": time.perf_counter() - start,
        "n_context": first.inside.n_context,
        "generates": chosen.generates,
    }
    return _flow(values, snapshots, n_members)


def _flow(values: dict[str, Any], snapshots: Snapshots, n_members: int) -> Flow:
    """A flow of these values, or an ensemble."""
    if n_members == 1:
        return Flow(**values)
    degrees = degrees_of(snapshots, n_members)
    return Ensemble(**values, n_members=n_members, degrees=degrees)


def _require_types(snapshots: object, plans: object, callback: object, n_members: object) -> None:
    if not isinstance(snapshots, Snapshots):
        msg = (
            f"snapshots is of type {type(snapshots).__name__}; expected Snapshots. For an AnnData,"
            " call cf.tl.flow."
        )
        raise InputTypeError(msg)
    if plans is not None and not isinstance(plans, Coupled):
        msg = (
            f"plans is of type {type(plans).__name__}; expected what cellflow.model.fitting.couple"
            " returns, or None."
        )
        raise InputTypeError(msg)
    if as_count("n_members", n_members) > 1 and plans is not None:
        msg = (
            f"plans= with n_members={n_members}: members are fitted on halves of the cells, each"
            " with plans of its own. Omit plans=."
        )
        raise InputError(msg)
    if callback is not None and not callable(callback):
        msg = f"callback={callback!r}; expected a function of the step and the loss, or None."
        raise InputTypeError(msg)


def _n_threads(
    threads: int | Literal["auto"], dynamics: Dynamics, source: Source, recipe: Recipe, seed: int
) -> int:
    """The number of threads; `"auto"` times the losses of one batch."""
    sample = next(iter(source.batches()))
    with Drawing(seed):
        return choose_threads(
            threads, lambda: sum(loss(dynamics, sample) for loss in recipe.objectives.values())
        )
