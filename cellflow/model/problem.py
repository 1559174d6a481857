"""What is trained for each member of a fit: coupled snapshots, training points, networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from cellflow.core._drawing import Drawing
from cellflow.core._halves import halves
from cellflow.core._random import stream
from cellflow.core.frame import Frame
from cellflow.core.plans import Plan
from cellflow.core.population import Snapshots
from cellflow.couplings import Given
from cellflow.errors import InputError
from cellflow.fields.dynamics import Dynamics, joined
from cellflow.fields.ladder import Ladder, Moments
from cellflow.model.coupled import NOISE_TIME, Coupled, beside_noise, couple_in
from cellflow.model.recipe import Recipe
from cellflow.paths import Path
from cellflow.paths.chain import Chains, Table
from cellflow.training import Several, Stream

__all__ = ["Problem", "problems_of", "untrained"]

#: How much more often times near the snapshots are drawn in training (see `Stream`): chosen by the
#: velocities of a cloud in uniform motion and of the myoblasts.
_EMPHASIS = 0.5
#: Points of a batch for each member of an ensemble, as a share of those of one flow.
_MEMBER_BATCH = 0.25


class Problem(NamedTuple):
    """What a recipe is trained on."""

    recipe: Recipe  # resolved
    inside: Snapshots  # in model coordinates
    coupled: Coupled  # with the plans of `inside`
    path: Path  # prepared
    pairs: Sequence[Plan] | Sequence[Table]  # drawn from, one per interval


def problems_of(
    snapshots: Snapshots,
    recipe: Recipe,
    plans: Coupled | None,
    n_members: int,
    seed: int,
    *,
    progress: bool | None,
) -> list[Problem]:
    """The problem of each member, all in the same model coordinates."""
    frame = Frame.fitted(snapshots, recipe.scale)
    if n_members == 1:
        return [_problem(snapshots, frame, recipe, plans, progress=progress)]
    if isinstance(getattr(recipe.coupling, "coupling", recipe.coupling), Given):
        msg = (
            f"n_members={n_members} with given plans: members are fitted on halves of the cells,"
            " each with plans of its own. Pass n_members=1."
        )
        raise InputError(msg)
    batch = 2 * round(0.5 * _MEMBER_BATCH * recipe.training.batch_size) or 2
    # The gradients of all members are clipped as one vector, of the mean of their losses.
    clip = recipe.training.clip / math.sqrt(n_members)
    small = replace(recipe, training=replace(recipe.training, batch_size=batch, clip=clip))
    parts = halves(snapshots, n_members, seed)
    return [_problem(part, frame, small, None, progress=progress) for part in parts]


def _problem(
    snapshots: Snapshots,
    frame: Frame,
    recipe: Recipe,
    plans: Coupled | None,
    *,
    progress: bool | None,
) -> Problem:
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
    inside = frame.snapshots_to_model(snapshots)
    if recipe.generates:
        inside, plans = beside_noise(inside, recipe, frame)
    elif plans is None:
        plans = couple_in(frame, snapshots, recipe, progress=progress)
    else:
        plans.require_for(inside, recipe, frame)
    path = plans.path(inside, recipe, progress=progress)
    pairs: Sequence[Plan] | Sequence[Table] = plans.plans
    if recipe.path.tabled or recipe.grows:
        pairs = Chains(inside, plans.plans, growing=recipe.grows).tables
    return Problem(recipe, inside, plans, path, pairs)


def _stream(problem: Problem, seed: int, place: torch.device) -> Stream:
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


def untrained(
    problems: Sequence[Problem], seed: int, place: torch.device
) -> tuple[Stream | Several, Dynamics]:
    """The training points, and the networks with their first weights, one for all members."""
    seeds = [seed] if len(problems) == 1 else _seeds(seed, len(problems))
    streams = [_stream(p, s, place) for p, s in zip(problems, seeds, strict=True)]
    noise = float(np.mean([stream.path_variance() for stream in streams]))
    with Drawing(seed):
        members = [_networks(problem, problems[0].inside, noise) for problem in problems]
    source = streams[0] if len(streams) == 1 else Several(streams)
    return source, joined(members).to(place)


def _seeds(seed: int, n: int) -> list[int]:
    """Seeds of the draws of each member."""
    return [int(number) for number in stream(seed, 0).integers(2**63, size=n)]


def _networks(problem: Problem, inside: Snapshots, path_variance: float) -> Dynamics:
    """The networks of one member; ladder and moments of a score are those of the first."""
    recipe = problem.recipe
    ladder = None
    moments = None
    if "score" in recipe.networks:
        ladder = recipe.ladder or Ladder.fitted(inside)
        moments = Moments.fitted(inside, noise=max(path_variance, ladder.smallest**2))
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
