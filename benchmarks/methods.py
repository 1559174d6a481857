"""Methods by name, ours and of other packages; each is a `cellflow.evaluation.Predictor`.

Names are those of recipes (`"ot-cfm"`; `"ot-cfm@500"` takes 500 steps of training), `"path
curved-cfm"` for a recipe's paths without a network, `"straight"` for optimal transport
interpolation without a model, `"previous"` for the cells of the snapshot before, and `"torchcfm"`
(OT-CFM), `"torchcfm i-cfm"`, `"torchcfm ot-cfm"`, `"torchcfm sf2m"`. What a recipe assumes about
growth follows a plus: `"curved-cfm+auto"` or `"+learn"` chooses by inner hold-outs, `"+tau=1"` or
`"+tau=1,epsilon=0.01"` relaxes the marginals by options of `Unbalanced`, `"+mass"` keeps the plan
balanced and learns the growth that the sizes of the populations imply.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from cellflow.recipes import Recipe, describe

from cellflow import recipes
from cellflow.core.frame import Scale
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Auto, Unbalanced
from cellflow.evaluation import Predictor
from cellflow.evaluation.assumptions import Growth, as_growth
from cellflow.evaluation.baselines import around, previous_snapshot
from cellflow.evaluation.growth import choose_growth
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.evaluation.methods import Trained
from cellflow.model.fitting import fit
from cellflow.model.flow import Flow

#: Methods that draw nothing, so that one seed is enough.
SEEDLESS = ("straight", "previous")


@dataclass(frozen=True)
class Straight:
    """Exact transport between the neighbours: a cell on every edge, in order of source cells."""

    name: str = "straight"

    def __call__(
        self,
        rest: Snapshots,
        time: float,
        *,
        random_state: int,  # noqa: ARG002 (one signature)
    ) -> Mapping[str, Population]:
        """Interpolate along the plan."""
        source, target = around(rest, time)
        plan = Auto()(source, target)
        order = np.lexsort((plan.j, plan.i))
        i = plan.i[order]
        j = plan.j[order]
        s = (time - source.time) / (target.time - source.time)
        return {"P1": Population((1 - s) * source.x[i] + s * target.x[j], time, plan.mass[order])}


@dataclass(frozen=True)
class Bare:
    """A recipe's paths without its network."""

    recipe: Recipe

    @property
    def name(self) -> str:
        """Name of the recipe after `path`."""
        return f"path {self.recipe.name}"

    def __call__(
        self,
        rest: Snapshots,
        time: float,
        *,
        random_state: int,  # noqa: ARG002 (one signature)
    ) -> Mapping[str, Population]:
        """Interpolate between the pairs of the plan along the paths."""
        return {"P1": path_interpolation(rest, time, self.recipe)}


@dataclass(frozen=True)
class Previous:
    """The cells of the snapshot before, unmoved."""

    name: str = "previous"

    def __call__(
        self,
        rest: Snapshots,
        time: float,
        *,
        random_state: int,  # noqa: ARG002 (one signature)
    ) -> Mapping[str, Population]:
        """Return the snapshot before."""
        return {"P1": previous_snapshot(rest, time)}


@dataclass(frozen=True)
class Fits:
    """A recipe with what it assumes about growth.

    Parameters
    ----------
    recipe
        The method; with growth, if one assumption is given by hand.
    growth
        `"none"` for the recipe as it is, else a choice by inner hold-outs.
    name
        Of the recipe and of the assumption, as it was asked for.
    """

    recipe: Recipe
    growth: Growth
    name: str

    def chosen(self, snapshots: Snapshots, *, random_state: int) -> tuple[Recipe, str, Snapshots]:
        """The recipe that is fitted, its assumption, and the snapshots as it sees them."""
        if self.growth == "none":
            return self.recipe, self.name.partition("+")[2] or "none", snapshots
        choice = choose_growth(
            snapshots, self.recipe, self.growth, random_state=random_state, progress=False
        )
        return choice.best.recipe, choice.best.name, choice.best.snapshots(snapshots)

    def fitted(self, snapshots: Snapshots, *, random_state: int) -> tuple[Flow, str]:
        """A fit, and what it assumes about growth."""
        recipe, assumption, seen = self.chosen(snapshots, random_state=random_state)
        return fit(seen, recipe, random_state=random_state, progress=False), assumption

    def predicted(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> tuple[Mapping[str, Population], str]:
        """Predictions by all protocols, and what is assumed about growth."""
        recipe, assumption, seen = self.chosen(rest, random_state=random_state)
        return Trained(recipe)(seen, time, random_state=random_state), assumption

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Choose, fit, and predict by all protocols."""
        return self.predicted(rest, time, random_state=random_state)[0]


def fits(name: str) -> Fits:
    """A recipe by its name, with what it assumes about growth."""
    known, _, growth = name.partition("+")
    recipe = trained(known)
    if growth in ("auto", "learn", "prior"):
        return Fits(recipe, as_growth(growth), name)
    if growth == "mass":
        recipe = recipe.with_growth()
    elif growth:
        options = dict(part.split("=") for part in growth.split(","))
        coupling = Unbalanced(**{key: float(value) for key, value in options.items()})
        recipe = recipe.with_growth(coupling)
    return Fits(replace(recipe, name=name), "none", name)


def trained(name: str) -> Recipe:
    """A recipe by its name, with its steps of training."""
    known, _, steps = name.partition("@")
    recipe = recipes.by_name(known)
    if not steps:
        return recipe
    return replace(recipe, name=name, training=replace(recipe.training, steps=int(steps)))


def named(name: str, *, scale: Scale = "none") -> Predictor:
    """Find a method by its name; `scale` is for torchcfm (see `peers.Torchcfm`)."""
    if name.startswith("torchcfm"):
        from peers import Torchcfm

        kind = name.removeprefix("torchcfm").strip() or "ot-cfm"
        return Torchcfm(kind, scale=scale)  # type: ignore[arg-type]
    if name in SEEDLESS:
        return Straight() if name == "straight" else Previous()
    if name.startswith("path "):
        return Bare(fits(name.removeprefix("path ")).recipe)
    return fits(name) if "+" in name else Trained(trained(name))


def seeds(name: str, given: Sequence[int]) -> Sequence[int]:
    """Seeds of a method: the first one only, where it draws nothing."""
    return given[:1] if name in SEEDLESS else given


def configuration(method: Predictor) -> str:
    """A short hash of everything that a result depends on beside data, seed and code."""
    part = describe(getattr(method, "recipe", method))
    text = json.dumps(part, sort_keys=True).encode()
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()[:8]
