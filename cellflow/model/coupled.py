"""The plans between snapshots, with the paths that are prepared on them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._settings import guarded
from cellflow.core._threads import torch_threads
from cellflow.core.conditions import scaled_time
from cellflow.core.frame import Frame, Scale
from cellflow.core.plans import EdgePlan, Plan
from cellflow.core.population import Clock, Population, Snapshots
from cellflow.errors import InputError
from cellflow.model.base import FittedDynamics
from cellflow.model.description import coupling_from, describe
from cellflow.model.recipe import Recipe
from cellflow.model.recipes import DEFAULT, by_name
from cellflow.model.solving import solve_plans
from cellflow.paths import Path
from cellflow.paths._layers import prepare
from cellflow.paths.chain import Chains

__all__ = [
    "NOISE_TIME",
    "Coupled",
    "beside_noise",
    "couple",
    "couple_again",
    "couple_in",
    "solve_plans",
]

#: The time in which noise becomes cells.
NOISE_TIME = Clock(0.0, 1.0, 1.0, 1.0)


class PreparedPath(NamedTuple):
    """A path of a resolved recipe, the same with its constants, and the seconds that these took."""

    path: Path
    grows: bool  # whether its pairs carry mass that grows
    prepared: Path
    seconds: float


@dataclass(frozen=True, eq=False, repr=False)
class Coupled(Compact):
    """The plans between snapshots, shared by fits with other seeds, paths or networks."""

    plans: Sequence[Plan]  # one per interval
    summaries: Mapping[str, Mapping[str, Any]] = field(repr=False)  # what a fit records of each
    coupling: Mapping[str, Any]  # description of the coupling that solved them
    frame: Frame  # the model coordinates that they were solved in
    clock: Clock  # of the snapshots
    # Prepared on these plans, shared by the same fits.
    paths: tuple[PreparedPath, ...] = field(default=(), repr=False)

    def seconds(self, recipe: Recipe) -> float:
        """Seconds that the plans and the preparation of the path of a recipe took."""
        known = self._known(recipe.resolved(self.clock))
        solving = sum(float(s["seconds"]) for s in self.summaries.values())
        return solving + (0.0 if known is None else known.seconds)

    @guarded
    def prepared(
        self, snapshots: Snapshots, recipe: Recipe, *, progress: bool | None = False
    ) -> Coupled:
        """Return the same plans with a recipe's path prepared on snapshots in data coordinates."""
        recipe = recipe.resolved(self.clock)
        if self._known(recipe) is not None or not recipe.path.tabled:
            return self
        start = time.perf_counter()
        path = self.path(self.frame.snapshots_to_model(snapshots), recipe, progress=progress)
        made = PreparedPath(recipe.path, recipe.grows, path, time.perf_counter() - start)
        return replace(self, paths=(*self.paths, made))

    @guarded
    def path(self, inside: Snapshots, recipe: Recipe, *, progress: bool | None = False) -> Path:
        """Return the prepared path of a recipe on snapshots in model coordinates."""
        recipe = recipe.resolved(self.clock)
        known = self._known(recipe)
        if known is not None:
            return known.prepared
        with torch_threads(1):
            chains = Chains(inside, self.plans, growing=recipe.grows)
            return prepare(recipe.path, chains, progress=progress)

    def _known(self, resolved: Recipe) -> PreparedPath | None:
        wanted = (resolved.path, resolved.grows)
        return next((known for known in self.paths if (known.path, known.grows) == wanted), None)

    def require_for(self, snapshots: Snapshots, recipe: Recipe, frame: Frame) -> None:
        """Make sure that the plans are those of a recipe on these snapshots.

        Raises
        ------
        InputError
            Another coupling, other sizes, or other model coordinates.
        """
        coupling = describe(recipe.resolved(snapshots.clock).coupling)
        shapes = [plan.shape for plan in self.plans]
        found = [(len(a), len(b)) for a, b in snapshots.intervals]
        same = frame.shift.shape == self.frame.shift.shape and all(
            np.all(np.abs(a - b) <= 1e-12 * (np.abs(b) + self.frame.scale))
            for a, b in ((frame.shift, self.frame.shift), (frame.scale, self.frame.scale))
        )
        if shapes != found or coupling != self.coupling or not same:
            msg = (
                f"`plans` are those of the coupling {dict(self.coupling)} between {shapes} cells;"
                f" the fit has {coupling} and {found}"
                f" cells{'' if same else ' in other model coordinates'}. Pass what `couple` returns"
                " for the same snapshots, coupling and scale."
            )
            raise InputError(msg)


@guarded
def couple(
    snapshots: Snapshots,
    recipe: str | Recipe | None = None,
    *,
    scale: Scale | None = None,
    progress: bool | None = None,
) -> Coupled:
    """Solve the plans of a recipe and prepare its path on them, for `fit(..., plans=)`.

    Parameters
    ----------
    snapshots
        At least two populations, in data coordinates.
    recipe
        The method, or its name.
    scale
        Replaces the recipe's.
    progress
        Progress bars over the plans and over the parts of the path, which name the solver of each
        plan before it starts; None shows them only in a terminal or a notebook.

    Raises
    ------
    InputError
        One snapshot only, or a recipe that generates and couples nothing.
    CouplingError
        A plan could not be computed.
    """
    recipe = by_name(DEFAULT if recipe is None else recipe, scale=scale)
    recipe = recipe.resolved(snapshots.clock)
    if recipe.generates:
        msg = (
            f"The recipe {recipe.name!r} generates cells from noise and couples nothing; fit it"
            " without plans."
        )
        raise InputError(msg)
    return couple_in(Frame.fitted(snapshots, recipe.scale), snapshots, recipe, progress=progress)


def couple_in(
    frame: Frame, snapshots: Snapshots, recipe: Recipe, *, progress: bool | None
) -> Coupled:
    """Solve the plans of a resolved recipe in given model coordinates; see `couple`."""
    inside = frame.snapshots_to_model(snapshots)
    plans, summaries = solve_plans(inside, recipe.coupling, progress=progress)
    solved = Coupled(plans, summaries, describe(recipe.coupling), frame, snapshots.clock)
    return solved.prepared(snapshots, recipe, progress=progress)


@guarded
def couple_again(flow: FittedDynamics, snapshots: Snapshots) -> list[Plan]:
    """Solve plans as a fit solved its own: by its coupling, in its model coordinates.

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
        A coupling that is not cellflow's, of which the fit keeps a description only.
    CouplingError
        A plan could not be computed.
    """
    return solve_plans(flow.frame.snapshots_to_model(snapshots), coupling_from(flow.recipe))[0]


def beside_noise(snapshots: Snapshots, recipe: Recipe, frame: Frame) -> tuple[Snapshots, Coupled]:
    """The data of a recipe that generates: noise at time 0, all cells at time 1, row by row.

    The snapshots are in model coordinates. Their time becomes the first feature of a cell.
    """
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
    # The path does not depend on its start. A row for each cell lets a share of the cells be kept
    # for validation.
    noise = Population(np.zeros_like(x), NOISE_TIME.start, weight, context=context)
    each = np.arange(len(x))
    plan = EdgePlan((len(x), len(x)), each, each, weight, cost=0.0)
    inside = Snapshots((noise, Population(x, NOISE_TIME.stop, weight, context=context)))
    return inside, Coupled([plan], {}, describe(recipe.coupling), frame, NOISE_TIME)
