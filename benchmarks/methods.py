"""Methods by name, ours and others', all called the same way: `(rest, time, *, random_state) -> {protocol: Population}`.

Names are those of recipes (`"ot-cfm"`; `"ot-cfm@500"` takes 500 steps of training), `"path
curved-cfm"` for a recipe's paths without a network, `"straight"` for optimal transport
interpolation without a model, `"previous"` for the cells of the snapshot before, and `"torchcfm"`
(OT-CFM), `"torchcfm i-cfm"`, `"torchcfm ot-cfm"`, `"torchcfm sf2m"`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from cellflow.recipes import Recipe, describe

from cellflow import recipes
from cellflow.analysis.prediction import Source, predict
from cellflow.core.frame import Scale
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Auto
from cellflow.evaluation.baselines import around, previous_snapshot
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.model.fitting import fit

_SOURCES: dict[str, Source] = {"P1": "earlier", "two-sided": "both"}


class Method(Protocol):
    """Predicts a snapshot that it has not seen."""

    @property
    def name(self) -> str:
        """As tables have it."""

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Predict the cells at `time` from the other snapshots, in one or more protocols."""


@dataclass(frozen=True)
class Ours:
    """A recipe with its defaults: fitted, pushed (P1), rolled out from the first snapshot (P2), and two-sided."""

    recipe: Recipe

    @property
    def name(self) -> str:
        """Of the recipe."""
        return self.recipe.name

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Fit without a snapshot and predict it."""
        flow = fit(rest, self.recipe, random_state=random_state, progress=False)
        found = {}
        for protocol, source in [*_SOURCES.items(), ("P2", float(rest.times[0]))]:
            predicted = predict(flow, rest, time, source=source)
            found[protocol] = Population(predicted.x, time, predicted.weight)
        return found


@dataclass(frozen=True)
class Straight:
    """Exact transport between the neighbours, no model: a cell on every edge of the plan, in the order of the source cells."""

    name: str = "straight"

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
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
        """The recipe's, marked."""
        return f"path {self.recipe.name}"

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Put the pairs of the plan where the paths are at `time`."""
        return {"P1": path_interpolation(rest, time, self.recipe)}


@dataclass(frozen=True)
class Previous:
    """The cells of the snapshot before, unmoved."""

    name: str = "previous"

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Predict that nothing happens."""
        return {"P1": previous_snapshot(rest, time)}


def named(name: str, *, scale: Scale = "none") -> Method:
    """Find a method by its name; `scale` is the coordinates that torchcfm sees (see `peers.Torchcfm`)."""
    if name.startswith("torchcfm"):
        from peers import Torchcfm

        return Torchcfm(name.removeprefix("torchcfm").strip() or "ot-cfm", scale=scale)  # type: ignore[arg-type]
    if name in ("straight", "previous"):
        return Straight() if name == "straight" else Previous()
    known, _, steps = name.removeprefix("path ").partition("@")
    recipe = recipes.by_name(known)
    if steps:
        recipe = replace(
            recipe, name=f"{known}@{steps}", training=replace(recipe.training, steps=int(steps))
        )
    return (Bare if name.startswith("path ") else Ours)(recipe)


def configuration(method: Method) -> str:
    """A short hash of everything that a method's results depend on beside data, seed and code."""
    part = describe(getattr(method, "recipe", method))
    return hashlib.sha1(
        json.dumps(part, sort_keys=True).encode(), usedforsecurity=False
    ).hexdigest()[:8]
