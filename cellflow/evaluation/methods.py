"""Predictors: what a hold-out compares, ours or of other packages."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cellflow.analysis.prediction import Side, predict
from cellflow.core.frame import Scale
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, InputTypeError
from cellflow.evaluation.arguments import several
from cellflow.evaluation.names import PROTOCOLS, Protocols
from cellflow.model.fitting import Coupled, fit
from cellflow.model.flow import Flow
from cellflow.model.recipes import Recipe, by_name, describe

__all__ = [
    "FlowPredictor",
    "Predictor",
    "Trained",
    "as_methods",
    "description",
]


@runtime_checkable
class Predictor(Protocol):
    """Anything with a name that predicts a population from the others.

    Examples
    --------
    >>> class Last:
    ...     name = "last snapshot"
    ...     def __call__(self, rest, time, *, random_state):
    ...         before = [p for p in rest.populations if p.time < time][-1]
    ...         return {"P1": before}
    >>> isinstance(Last(), cf.evaluation.Predictor)
    True
    """

    @property
    def name(self) -> str:
        """Name in the table."""

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Learn from the snapshots `rest`; return populations at `time` by protocol."""


@dataclass(frozen=True)
class Trained:
    """A recipe as a predictor: fit, then predict by every protocol.

    Parameters
    ----------
    recipe
        What is fitted.
    threads
        Torch threads of a fit.
    """

    recipe: Recipe
    threads: int = 1

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.recipe.name

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Fit, and predict by all protocols."""
        return self.fitted(rest, random_state=random_state)(rest, time, random_state=random_state)

    def fitted(
        self, rest: Snapshots, *, random_state: int, plans: Coupled | None = None
    ) -> FlowPredictor:
        """Fit, with plans that were solved before, if any."""
        flow = fit(
            rest,
            self.recipe,
            random_state=random_state,
            plans=plans,
            threads=self.threads,
            progress=False,
        )
        shared = 0.0 if plans is None else plans.seconds(self.recipe)
        return FlowPredictor(flow, flow.seconds + shared)


@dataclass(frozen=True, eq=False)
class FlowPredictor:
    """A fitted flow as a predictor; the caller checks that it has not seen the held-out snapshot.

    Parameters
    ----------
    flow
        A fit.
    seconds
        Time of the fit, plans included.
    """

    flow: Flow
    seconds: float

    @property
    def name(self) -> str:
        """Name of the recipe that it was fitted by."""
        return str(self.flow.recipe["name"])

    def __call__(
        self,
        rest: Snapshots,
        time: float,
        *,
        random_state: int,  # noqa: ARG002 (as every predictor)
    ) -> Mapping[str, Population]:
        """Predict by all protocols."""
        return {protocol: self.predicted(rest, time, protocol)[0] for protocol in PROTOCOLS}

    def predicted(
        self, rest: Snapshots, time: float, protocol: Protocols
    ) -> tuple[Population, float]:
        """Predict by one protocol; returns the population, and seconds of fit and prediction."""
        begun = clock.perf_counter()
        first = float(rest.times[0])
        sources: dict[Protocols, Side] = {"P1": "earlier", "P2": first, "two-sided": "both"}
        source = sources[protocol]
        cells = predict(self.flow, rest, time, source=source)
        seconds = self.seconds + clock.perf_counter() - begun
        return Population(cells.x, time, cells.weight), seconds


def as_methods(methods: object, *, scale: Scale | None = None, threads: int = 1) -> list[Predictor]:
    """Return predictors from names of recipes, `Recipe`s, predictors, or one of these alone.

    `scale` replaces that of every recipe.

    Raises
    ------
    InputTypeError
        Something else.
    InputError
        None at all, an unknown name, a name twice, or a recipe that moves no cells.
    """
    made: list[Predictor] = []
    for method in several(methods):
        if isinstance(method, str | Recipe):
            recipe = by_name(method, scale=scale)
            if recipe.generates:
                msg = (
                    f"The method {recipe.name!r} makes cells from noise and moves none, so it"
                    " predicts no held-out snapshot. Expected a recipe that moves cells; omit it."
                )
                raise InputError(msg)
            made.append(Trained(recipe, threads))
        elif (
            isinstance(method, type)
            or not isinstance(method, Predictor)
            or not isinstance(method.name, str)
        ):
            msg = (
                f"The method {method!r} is of type {type(method).__name__}; expected the name of a"
                " recipe, a Recipe, or an object with a `name` that is called as (rest, time, *,"
                " random_state) and returns populations by protocol."
            )
            raise InputTypeError(msg)
        else:
            made.append(method)
    names = [method.name for method in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not made or twice:
        found = f"name {twice[0]!r} more than once" if twice else "are empty"
        msg = (
            f"The methods {found}; expected at least one, each of a name of its own. A Recipe is"
            " renamed by replace(name=)."
        )
        raise InputError(msg)
    return made


def description(method: Predictor) -> Any:
    """All that a method is, as plain values: of a recipe everything, else name, type and fields."""
    if isinstance(method, Trained):
        return describe(method)
    constants: dict[str, Any] = {}
    if is_dataclass(method):
        constants = {f.name: _plain(getattr(method, f.name)) for f in fields(method)}
    return {
        "type": f"{type(method).__module__}.{type(method).__qualname__}",
        "name": method.name,
        "constants": constants,
    }


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return describe(value)
