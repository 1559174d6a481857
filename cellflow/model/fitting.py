"""The composition: from snapshots to a fitted flow."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from cellflow.core._arguments import check_arguments
from cellflow.core._devices import choose_device
from cellflow.core._drawing import Drawing
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._threads import as_threads, choose_threads, torch_threads
from cellflow.core._typing import RandomState
from cellflow.core.conditions import scaled_time, shared_conditions
from cellflow.core.frame import Frame, Scale
from cellflow.core.plans import BlockPlan, EdgePlan, Plan
from cellflow.core.population import Clock, Population, Snapshots
from cellflow.couplings import Auto, Coupling
from cellflow.errors import InputError, InputTypeError
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.ladder import Ladder, Moments
from cellflow.model.flow import Flow
from cellflow.model.recipes import DEFAULT, Recipe, by_name, coupling_from, describe
from cellflow.paths import Path
from cellflow.paths.chain import Chains, Table
from cellflow.training import Callback, Stream, train

__all__ = ["Coupled", "couple", "couple_again", "fit"]

#: The time in which noise becomes cells.
_ARTIFICIAL = Clock(0.0, 1.0, 1.0, 1.0)
#: How much more often times near the snapshots are drawn in training (see `Stream`): chosen by the
#: velocities of a cloud in uniform motion and of the myoblasts.
_EMPHASIS = 0.5

logger = logging.getLogger("cellflow")


@dataclass(frozen=True, eq=False)
class Ready:
    """The path of a recipe, the same path prepared on the snapshots and their plans, and the seconds that took."""

    path: Path
    prepared: Path
    seconds: float


@dataclass(frozen=True, eq=False)
class Coupled:
    """The plans between snapshots, for several fits that share them: other seeds, paths or networks.

    Parameters
    ----------
    plans
        One per interval.
    summaries
        What a fit records of each.
    coupling
        Description of the coupling that solved them.
    frame
        The model coordinates that they were solved in.
    ready
        Paths that were prepared on these plans, which fits of other seeds and networks share.
    """

    plans: Sequence[Plan]
    summaries: Mapping[str, Mapping[str, Any]]
    coupling: Mapping[str, Any]
    frame: Frame
    ready: tuple[Ready, ...] = ()

    def seconds(self, recipe: Recipe) -> float:
        """What was spent on plans and on the path of a recipe."""
        known = self._known(recipe)
        return sum(float(s["seconds"]) for s in self.summaries.values()) + (
            0.0 if known is None else known.seconds
        )

    @guarded
    def prepared(self, snapshots: Snapshots, recipe: Recipe) -> Coupled:
        """Return the same plans with the recipe's path prepared on these snapshots, which are in data coordinates."""
        if self._known(recipe) is not None or not recipe.resolved(snapshots.clock).path.tabled:
            return self
        start = time.perf_counter()
        inside = snapshots.moved([self.frame.to_model(p.x) for p in snapshots.populations])
        path = self.path(inside, recipe)
        return replace(
            self, ready=(*self.ready, Ready(recipe.path, path, time.perf_counter() - start))
        )

    @guarded
    def path(self, inside: Snapshots, recipe: Recipe) -> Path:
        """Return the path of a recipe on these plans, prepared now unless it is ready; the snapshots in model coordinates."""
        known = self._known(recipe)
        if known is not None:
            return known.prepared
        with torch_threads(1):
            return recipe.resolved(inside.clock).path.prepared(Chains(inside, self.plans))

    def _known(self, recipe: Recipe) -> Ready | None:
        return next((ready for ready in self.ready if ready.path == recipe.path), None)

    def require_for(self, snapshots: Snapshots, recipe: Recipe, frame: Frame) -> None:
        """Make sure that the plans are those of a recipe on these snapshots.

        Raises
        ------
        InputError
            Another coupling, other sizes, or other model coordinates.
        """
        shapes = [plan.shape for plan in self.plans]
        found = [(len(a), len(b)) for a, b in snapshots.intervals]
        same = frame.shift.shape == self.frame.shift.shape and all(
            np.all(np.abs(a - b) <= 1e-12 * (np.abs(b) + self.frame.scale))
            for a, b in ((frame.shift, self.frame.shift), (frame.scale, self.frame.scale))
        )
        if shapes != found or describe(recipe.coupling) != self.coupling or not same:
            msg = (
                f"`plans` are those of the coupling {dict(self.coupling)} between {shapes} cells;"
                f" the fit has {describe(recipe.coupling)} and {found}"
                f" cells{'' if same else ' in other model coordinates'}. Pass what `couple` returns"
                " for the same snapshots, coupling and scale."
            )
            raise InputError(msg)


@guarded
def couple(
    snapshots: Snapshots, recipe: str | Recipe | None = None, *, scale: Scale = "joint"
) -> Coupled:
    """Solve the plans of a recipe and prepare its path on them, for `fit(..., plans=)`.

    Parameters
    ----------
    snapshots
        At least two populations, in data coordinates.
    recipe
        The method, or its name.
    scale
        Of the model's frame.

    Raises
    ------
    InputError
        One snapshot only, or a recipe that generates and couples nothing.
    CouplingError
        A plan that cannot be had.
    """
    recipe = _recipe(recipe)
    clock = snapshots.clock
    if recipe.generates:
        msg = (
            f"The recipe {recipe.name!r} generates cells from noise and couples nothing; fit it"
            " without plans."
        )
        raise InputError(msg)
    resolved = recipe.resolved(clock)
    frame = Frame.fitted(snapshots, scale)
    inside = snapshots.moved([frame.to_model(p.x) for p in snapshots.populations])
    plans, summaries = _couple(inside, resolved.coupling)
    return Coupled(plans, summaries, describe(resolved.coupling), frame).prepared(snapshots, recipe)


def _recipe(recipe: str | Recipe | None) -> Recipe:
    return by_name(DEFAULT if recipe is None else recipe)


def couple_again(flow: Flow, snapshots: Snapshots) -> list[Plan]:
    """Solve plans as a fit has solved its own: by its coupling, in its model coordinates.

    Parameters
    ----------
    flow
        A fit that moves cells.
    snapshots
        Usually those it was made with, in data coordinates.

    Returns
    -------
    One plan per interval. Those of the fit's own snapshots are its own.

    Raises
    ------
    InputError
        A coupling of somebody's own, of which the fit keeps a description only.
    CouplingError
        A plan that cannot be had.
    """
    coupling = coupling_from(flow.recipe)
    return _couple(
        snapshots.moved([flow.frame.to_model(p.x) for p in snapshots.populations]), coupling
    )[0]


def _couple(
    snapshots: Snapshots, coupling: Coupling
) -> tuple[list[Plan], dict[str, dict[str, Any]]]:
    """Solve every interval's plan, once, on the whole populations; with conditions, on those of each condition."""
    plans = []
    summaries = {}
    for source, target in snapshots.intervals:
        key = f"{source.time}_to_{target.time}"
        start = time.perf_counter()
        if snapshots.n_context == 0:
            plan, choice = _solved(source, target, coupling, key)
        else:
            plan, choice = _solved_inside(source, target, coupling, key)
        plans.append(plan)
        summaries[key] = choice | {
            "n_source": len(source),
            "n_target": len(target),
            "cost": plan.cost,
            "gap": plan.gap,
            "seconds": time.perf_counter() - start,
        }
    return plans, summaries


def _solved(
    source: Population, target: Population, coupling: Coupling, key: str
) -> tuple[Plan, dict[str, Any]]:
    """One plan, with the coupling that solved it and why it was chosen."""
    reason = "as the recipe says"
    if isinstance(coupling, Auto):
        coupling, reason = coupling.choose(len(source), len(target), source.x.shape[1])
    plan = coupling(source, target)
    logger.info(
        "plan %s: %s (%s), cost %.4g, gap %s",
        key,
        type(coupling).__name__,
        reason,
        plan.cost,
        plan.gap,
    )
    return plan, {"coupling": describe(coupling), "reason": reason}


def _solved_inside(
    source: Population, target: Population, coupling: Coupling, key: str
) -> tuple[Plan, dict[str, Any]]:
    """A plan inside each condition, weighted by the share of the condition among the source cells."""
    plans = []
    rows = []
    columns = []
    conditions = {}
    for k, (_, here, there) in enumerate(shared_conditions(source, target)):
        name = str(k)  # in the order of `shared_conditions`; features may be too many for a name
        plan, choice = _solved(
            source.part(here), target.part(there), coupling, f"{key}, condition {name}"
        )
        plans.append(plan)
        rows.append(here)
        columns.append(there)
        conditions[name] = choice | {
            "n_source": len(here),
            "n_target": len(there),
            "cost": plan.cost,
            "gap": plan.gap,
        }
    shares = np.array([source.weight[here].sum() for here in rows])
    joined = BlockPlan((len(source), len(target)), plans, rows, columns, shares)
    return joined, {
        "coupling": describe(coupling),
        "reason": "inside each condition",
        "conditions": conditions,
    }


def _beside_noise(snapshots: Snapshots) -> tuple[Snapshots, list[Plan]]:
    """All cells at the end of an artificial time, each with a place in the noise at its start; time becomes a feature."""
    share = np.array([p.mass for p in snapshots.populations])
    cells = snapshots.populations
    weight = np.concatenate([s * p.weight for s, p in zip(share / share.sum(), cells, strict=True)])
    features = [np.full((len(p), 1), scaled_time(p.time, snapshots.times)) for p in cells]
    context = np.concatenate(
        [
            f if p.context is None else np.hstack([f, p.context])
            for f, p in zip(features, cells, strict=True)
        ]
    )
    x = np.concatenate([p.x for p in cells])
    # The path does not look at where it starts. A place for each cell lets a share of the cells be
    # kept for validation.
    noise = Population(np.zeros_like(x), _ARTIFICIAL.start, weight, context=context)
    each = np.arange(len(x))
    plan = EdgePlan((len(x), len(x)), each, each, weight, cost=0.0)
    return Snapshots((noise, Population(x, _ARTIFICIAL.stop, weight, context=context))), [plan]


@guarded
def fit(
    snapshots: Snapshots,
    recipe: str | Recipe | None = None,
    *,
    scale: Scale = "joint",
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
        Of the model's frame, see `Frame.fitted`.
    random_state
        Seed of the run; two runs with one seed on one machine are identical.
    plans
        What `couple` returned for the same snapshots, coupling and scale; None solves them here.
    threads
        Torch threads; `"auto"` times one against all and records its choice.
    device
        `"cpu"`, `"cuda"`, `"cuda:0"`, ..., or `"auto"`.
    progress
        A progress bar; None shows it only to somebody who is watching.
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
        A plan that cannot be had.
    TrainingError
        A loss that is not finite.
    """
    check_arguments(fit, locals())
    start = time.perf_counter()
    # Arguments first: a plan may take minutes.
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
    seed = as_seed(random_state)
    place = choose_device(device)
    threads = as_threads(threads)
    recipe = _recipe(recipe)
    if recipe.generates and recipe.score is not None:
        msg = (
            f"The recipe {recipe.name!r} generates cells from noise; expected no score. Fit it with"
            " another method."
        )
        raise InputError(msg)
    clock = _ARTIFICIAL if recipe.generates else snapshots.clock
    given = recipe
    recipe = recipe.resolved(clock)
    frame = Frame.fitted(snapshots, scale)
    inside = snapshots.moved([frame.to_model(p.x) for p in snapshots.populations])
    summaries: dict[str, dict[str, Any]] = {}
    solved: Sequence[Plan]
    pairs: Sequence[Plan] | Sequence[Table]
    if recipe.generates:
        inside, solved = _beside_noise(inside)
    elif plans is None:
        solved, summaries = _couple(inside, recipe.coupling)
    else:
        plans.require_for(inside, recipe, frame)
        solved = plans.plans
        summaries = {key: dict(summary) for key, summary in plans.summaries.items()}

    training = recipe.training
    path = recipe.path
    pairs = solved
    chains = Chains(inside, solved)
    pairs = chains.tables if path.tabled else solved
    with torch_threads(1):
        path = path.prepared(chains) if plans is None else plans.path(inside, given)
    stream = Stream(
        inside,
        pairs,
        path,
        batch_size=training.batch_size,
        validation=training.validation,
        seed=seed,
        # Velocities of a bridge have no bound at its ends, and more points there would be more
        # noise.
        emphasis=0.0 if recipe.sigma or recipe.generates else _EMPHASIS,
        fresh=recipe.score is not None,
        device=place,
    )
    ladder = None if recipe.score is None else recipe.ladder or Ladder.fitted(inside)
    with Drawing(seed):
        dynamics = Dynamics.built(
            inside.n_dims,
            clock,
            field=recipe.field,
            score=recipe.score,
            ladder=ladder,
            moments=(
                None
                if ladder is None
                else Moments.fitted(inside, noise=max(stream.path_variance(), ladder.smallest**2))
            ),
            n_context=inside.n_context,
            sigma=recipe.sigma,
        ).to(place)
    sample = stream.block(0).rows(0, training.batch_size)
    with Drawing(seed):
        n_threads = choose_threads(
            threads, lambda: sum(o(dynamics, sample) for o in recipe.objectives.values())
        )
    with torch_threads(n_threads):
        trained, history = train(
            dynamics,
            stream,
            recipe.objectives,
            training,
            seed=seed,
            progress=progress,
            callback=callback,
        )
    return Flow(
        dynamics=trained.eval(),
        frame=frame,
        clock=clock,
        times=snapshots.times,
        recipe=describe(recipe),
        plans=summaries,
        history=history,
        seed=seed,
        threads=n_threads,
        seconds=time.perf_counter() - start,
        n_context=inside.n_context,
    )
