"""What a benchmark compares: anything that predicts a population it has not seen."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np

from cellflow.analysis.prediction import predict
from cellflow.core.frame import Scale
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, InputTypeError, closest
from cellflow.model.fitting import Coupled, fit
from cellflow.model.flow import Flow
from cellflow.model.recipes import Recipe, by_name, describe

__all__ = [
    "PROTOCOLS",
    "Fitted",
    "Method",
    "Protocols",
    "Trained",
    "as_methods",
    "as_protocols",
    "description",
]

#: How a held-out population is predicted from cells of the others: `"P1"` pushes the real cells of
#: the last snapshot before it (the published tables), `"P2"` rolls the cells of the first snapshot
#: out, `"two-sided"` pushes the snapshot before and pulls the one after, weighted by closeness in
#: time.
Protocols: TypeAlias = Literal["P1", "P2", "two-sided"]
PROTOCOLS: tuple[Protocols, ...] = get_args(Protocols)


@runtime_checkable
class Method(Protocol):
    """Anything with a name that predicts a population from the others; it need not be ours."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Learn from the snapshots `rest`, and predict the population at `time`: one for each protocol that it can."""


@dataclass(frozen=True)
class Trained:
    """A recipe of cellflow as a method: fit, then predict by every protocol.

    Parameters
    ----------
    recipe
        What is fitted.
    scale
        Of the model's frame.
    threads
        Torch threads of a fit.
    """

    recipe: Recipe
    scale: Scale = "joint"
    threads: int = 1

    @property
    def name(self) -> str:
        """The recipe's."""
        return self.recipe.name

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Fit, and predict by all protocols."""
        return self.fitted(rest, random_state=random_state)(rest, time, random_state=random_state)

    def fitted(self, rest: Snapshots, *, random_state: int, plans: Coupled | None = None) -> Fitted:
        """Fit; with plans that are there, if any."""
        flow = fit(
            rest,
            self.recipe,
            scale=self.scale,
            random_state=random_state,
            plans=plans,
            threads=self.threads,
            progress=False,
        )
        return Fitted(flow, flow.seconds + (0.0 if plans is None else plans.seconds(self.recipe)))


@dataclass(frozen=True, eq=False)
class Fitted:
    """A flow that is there as a method; whether it has seen the held-out snapshot is for the caller to know.

    Parameters
    ----------
    flow
        What was fitted.
    seconds
        What it took, plans included.
    """

    flow: Flow
    seconds: float

    @property
    def name(self) -> str:
        """The name of the recipe that it was fitted by."""
        return str(self.flow.recipe["name"])

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Predict by all protocols."""
        return {protocol: self.predicted(rest, time, protocol)[0] for protocol in PROTOCOLS}

    def predicted(
        self, rest: Snapshots, time: float, protocol: Protocols
    ) -> tuple[Population, float]:
        """Predict by one protocol; returns the population and the seconds it took, those of the fit included."""
        begun = clock.perf_counter()
        first = float(rest.times[0])
        source = {"P1": "earlier", "P2": first, "two-sided": "both"}[protocol]
        cells = predict(self.flow, rest, time, source=source)  # type: ignore[arg-type] # one of the three, each a Source
        seconds = self.seconds + clock.perf_counter() - begun
        return Population(cells.x, time, cells.weight), seconds


def as_methods(methods: object, *, scale: Scale = "joint", threads: int = 1) -> list[Method]:
    """Return methods from what a caller may give: names of recipes, `Recipe`s, objects with a name, or one of these alone.

    Raises
    ------
    InputTypeError
        Something that is no method.
    InputError
        None at all, a name that is taken twice or is no recipe's, or a recipe that moves no cells.
    """
    given = (
        list(methods)
        if isinstance(methods, Sequence) and not isinstance(methods, str)
        else [methods]
    )
    made: list[Method] = []
    for method in given:
        if isinstance(method, str | Recipe):
            recipe = by_name(method)
            if recipe.generates:
                msg = (
                    f"The method {recipe.name!r} makes cells from noise and moves none, so it"
                    " predicts no held-out snapshot. Expected a recipe that moves cells; omit it."
                )
                raise InputError(msg)
            made.append(Trained(recipe, scale, threads))
        elif (
            isinstance(method, type)
            or not isinstance(method, Method)
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


def as_protocols(protocols: object) -> tuple[Protocols, ...]:
    """Return protocols in the order of `PROTOCOLS`; one alone may be given as text.

    Raises
    ------
    InputError
        None at all, or one that there is not.
    """
    given = (
        [protocols]
        if isinstance(protocols, str)
        else list(protocols)
        if isinstance(protocols, Sequence)
        else [protocols]
    )
    for protocol in given:
        if protocol not in PROTOCOLS:
            msg = (
                f"protocols={protocols!r}: {protocol!r} is none of"
                f" {list(PROTOCOLS)}{closest(protocol, PROTOCOLS)}."
            )
            raise InputError(msg)
    if not given:
        msg = f"protocols is empty; expected some of {list(PROTOCOLS)}."
        raise InputError(msg)
    return tuple(p for p in PROTOCOLS if p in given)


def description(method: Method) -> Any:
    """What tells a method from others, as plain values: of a recipe all of it, of a foreign object name, type and fields."""
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
