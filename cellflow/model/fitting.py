"""The composition: from snapshots to a fitted flow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch

from cellflow.core._arguments import check_arguments
from cellflow.core._devices import choose_device
from cellflow.core._drawing import Drawing
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._threads import as_threads, choose_threads, torch_threads
from cellflow.core._typing import RandomState
from cellflow.core.frame import Frame, Scale
from cellflow.core.plans import Plan
from cellflow.core.population import Snapshots
from cellflow.errors import InputError, InputTypeError
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.ladder import Ladder, Moments
from cellflow.model.coupled import NOISE_TIME, Coupled, beside_noise, couple, couple_again
from cellflow.model.description import describe
from cellflow.model.flow import Flow
from cellflow.model.recipe import Recipe
from cellflow.model.recipes import DEFAULT, by_name
from cellflow.paths import Path
from cellflow.paths.chain import Chains, Table
from cellflow.training import Callback, Stream, train

__all__ = ["Coupled", "couple", "couple_again", "fit"]

#: How much more often times near the snapshots are drawn in training (see `Stream`): chosen by the
#: velocities of a cloud in uniform motion and of the myoblasts.
_EMPHASIS = 0.5


class _Problem(NamedTuple):
    """What a recipe is trained on."""

    recipe: Recipe  # resolved
    inside: Snapshots  # in model coordinates
    coupled: Coupled  # with the plans of `inside`
    path: Path  # prepared
    pairs: Sequence[Plan] | Sequence[Table]  # drawn from, one per interval


@guarded
def fit(
    snapshots: Snapshots,
    recipe: str | Recipe | None = None,
    *,
    scale: Scale | None = None,
    random_state: RandomState = 0,
    plans: Coupled | None = None,
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
    threads
        Torch threads; `"auto"` times one against all and records its choice.
    device
        `"cpu"`, `"cuda"`, `"cuda:0"`, ..., or `"auto"`.
    progress
        A progress bar; None shows it only in a terminal or a notebook.
    callback
        Called as `callback(step, loss)` at every record.

    Returns
    -------
    The fitted `Flow`.

    Raises
    ------
    InputError
        One snapshot only, or an argument that is not usable.
    CouplingError
        A plan could not be computed.
    TrainingError
        A loss that is not finite.
    """
    check_arguments(fit, locals())
    start = time.perf_counter()
    # Arguments first: a plan may take minutes.
    _require_types(snapshots, plans, callback)
    seed = as_seed(random_state)
    place = choose_device(device)
    wanted = as_threads(threads)
    chosen = by_name(DEFAULT if recipe is None else recipe, scale=scale)
    problem = _problem(snapshots, chosen, plans, progress=progress)
    recipe = problem.recipe
    stream = _stream(problem, seed, place)
    dynamics = _untrained(problem, stream, seed).to(place)
    n_threads = _n_threads(wanted, dynamics, stream, recipe, seed)
    trains = partial(train, seed=seed, progress=progress, callback=callback)
    with torch_threads(n_threads):
        trained, history = trains(dynamics, stream, recipe.objectives, recipe.training)
    return Flow(
        dynamics=trained.eval(),
        frame=problem.coupled.frame,
        clock=problem.coupled.clock,
        times=snapshots.times,
        recipe=describe(recipe),
        plans={key: dict(summary) for key, summary in problem.coupled.summaries.items()},
        history=history,
        seed=seed,
        threads=n_threads,
        seconds=time.perf_counter() - start,
        n_context=problem.inside.n_context,
        generates=recipe.generates,
    )


def _require_types(snapshots: object, plans: object, callback: object) -> None:
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
    if callback is not None and not callable(callback):
        msg = f"callback={callback!r}; expected a function of the step and the loss, or None."
        raise InputTypeError(msg)


def _problem(
    snapshots: Snapshots, recipe: Recipe, plans: Coupled | None, *, progress: bool | None
) -> _Problem:
    """Couple the snapshots, or take the plans that there are, and prepare the path."""
    if recipe.generates and "score" in recipe.heads:
        msg = (
            f"The recipe {recipe.name!r} generates cells from noise; expected no score. Fit it with"
            " another method."
        )
        raise InputError(msg)
    if recipe.generates and plans is not None:
        msg = (
            f"plans= with the recipe {recipe.name!r}, which generates cells from noise and couples"
            " nothing; omit plans=."
        )
        raise InputError(msg)
    clock = NOISE_TIME if recipe.generates else snapshots.clock
    recipe = recipe.resolved(clock)
    frame = Frame.fitted(snapshots, recipe.scale)
    inside = frame.snapshots_to_model(snapshots)
    if recipe.generates:
        inside, plans = beside_noise(inside, recipe, frame)
    elif plans is None:
        plans = couple(snapshots, recipe, progress=progress)
    else:
        plans.require_for(inside, recipe, frame)
    path = plans.path(inside, recipe)
    pairs: Sequence[Plan] | Sequence[Table] = plans.plans
    if recipe.path.tabled or recipe.grows:
        pairs = Chains(inside, plans.plans, growing=recipe.grows).tables
    return _Problem(recipe, inside, plans, path, pairs)


def _stream(problem: _Problem, seed: int, place: torch.device) -> Stream:
    """The training points; heads beside the velocity get fresh randomness for their objectives."""
    recipe = problem.recipe
    # Velocities of a bridge have no bound at its ends, and more points there would be more noise.
    uniform = recipe.sigma or recipe.generates
    return Stream(
        problem.inside,
        problem.pairs,
        problem.path,
        batch_size=recipe.training.batch_size,
        validation=recipe.training.validation,
        seed=seed,
        emphasis=0.0 if uniform else _EMPHASIS,
        fresh=len(recipe.networks) > 1,
        device=place,
    )


def _untrained(problem: _Problem, stream: Stream, seed: int) -> Dynamics:
    """The networks of a recipe with their first weights."""
    recipe = problem.recipe
    inside = problem.inside
    ladder = None
    moments = None
    if "score" in recipe.networks:
        ladder = recipe.ladder or Ladder.fitted(inside)
        noise = max(stream.path_variance(), ladder.smallest**2)
        moments = Moments.fitted(inside, noise=noise)
    with Drawing(seed):
        return Dynamics.built(
            inside.n_dims,
            problem.coupled.clock,
            recipe.networks,
            ladder=ladder,
            moments=moments,
            along=recipe.along,
            n_context=inside.n_context,
            sigma=recipe.sigma,
        )


def _n_threads(
    threads: int | Literal["auto"], dynamics: Dynamics, stream: Stream, recipe: Recipe, seed: int
) -> int:
    """The number of threads; `"auto"` times the losses of one batch."""
    sample = stream.block(0).rows(0, recipe.training.batch_size)
    with Drawing(seed):
        return choose_threads(
            threads, lambda: sum(loss(dynamics, sample) for loss in recipe.objectives.values())
        )
