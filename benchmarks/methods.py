"""Methods by name, ours and of other packages; each is a `cellflow.evaluation.Predictor`.

Names are those of recipes (`"ot-cfm"`; `"ot-cfm@500"` takes 500 steps of training), `"path
curved-cfm"` for a recipe's paths without a network, `"straight"` for optimal transport
interpolation without a model, `"previous"` for the cells of the snapshot before, and `"torchcfm"`
(OT-CFM), `"torchcfm i-cfm"`, `"torchcfm ot-cfm"`, `"torchcfm sf2m"`.
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
from cellflow.couplings import Auto
from cellflow.evaluation import Predictor
from cellflow.evaluation.baselines import around, previous_snapshot
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.evaluation.methods import Trained

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


def named(name: str, *, scale: Scale = "none") -> Predictor:
    """Find a method by its name; `scale` is for torchcfm (see `peers.Torchcfm`)."""
    if name.startswith("torchcfm"):
        from peers import Torchcfm

        kind = name.removeprefix("torchcfm").strip() or "ot-cfm"
        return Torchcfm(kind, scale=scale)  # type: ignore[arg-type]
    if name in SEEDLESS:
        return Straight() if name == "straight" else Previous()
    known, _, steps = name.removeprefix("path ").partition("@")
    recipe = recipes.by_name(known)
    if steps:
        training = replace(recipe.training, steps=int(steps))
        recipe = replace(recipe, name=f"{known}@{steps}", training=training)
    return (Bare if name.startswith("path ") else Trained)(recipe)


def seeds(name: str, given: Sequence[int]) -> Sequence[int]:
    """Seeds of a method: the first one only, where it draws nothing."""
    return given[:1] if name in SEEDLESS else given


def configuration(method: Predictor) -> str:
    """A short hash of everything that a result depends on beside data, seed and code."""
    part = describe(getattr(method, "recipe", method))
    text = json.dumps(part, sort_keys=True).encode()
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()[:8]
