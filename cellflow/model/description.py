"""Recipes as plain values, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from cellflow import couplings, fields, objectives, paths
from cellflow.couplings import Coupling
from cellflow.errors import InputError
from cellflow.fields.ladder import Ladder
from cellflow.model.networks import imported_network
from cellflow.model.recipe import Head, Recipe
from cellflow.training import Training

__all__ = [
    "coupling_from",
    "current",
    "describe",
    "from_description",
    "generates",
    "unknown_networks",
]

_FAMILIES = (couplings, paths, fields, objectives)
_OTHERS = {"Head": Head, "Ladder": Ladder, "Recipe": Recipe, "Training": Training}


def describe(part: object) -> Any:
    """Turn a recipe, or a part of one, into plain dicts, lists, numbers and strings for provenance.

    A class or function that is not part of cellflow is described by its name and by `class`, its
    import path `"module:name"`.

    Examples
    --------
    >>> describe(paths.Linear(smoothing=0.2))
    {'type': 'Linear', 'smoothing': 0.2}
    """
    if isinstance(part, partial):
        described = {key: describe(value) for key, value in part.keywords.items()}
        return {**describe(part.func), **described}
    if isinstance(part, type | FunctionType):
        name = part.__name__
        known = any(name in f.__all__ and getattr(f, name) is part for f in _FAMILIES)
        own = {} if known else {"class": f"{part.__module__}:{part.__qualname__}"}
        return {"type": name, **own}
    if is_dataclass(part):
        return {
            "type": type(part).__name__,
            **{f.name: describe(getattr(part, f.name)) for f in _settings(part)},
        }
    if isinstance(part, Mapping):
        return {str(key): describe(value) for key, value in part.items()}
    if isinstance(part, np.generic):
        return part.item()
    if part is None or isinstance(part, bool | int | float | str):
        return part
    if isinstance(part, tuple | list):
        return [describe(item) for item in part]
    return {"type": type(part).__name__}


def _settings(part: Any) -> list[dataclasses.Field]:
    """Fields of a dataclass or its class, without those that hold data."""
    return [field for field in dataclasses.fields(part) if field.repr]


def from_description(described: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `describe` described, of parts that cellflow knows.

    Raises
    ------
    InputError
        A part that is not cellflow's, and no network whose module is imported.

    Examples
    --------
    >>> from cellflow.recipes import ot_cfm
    >>> from_description(describe(ot_cfm(smoothing=0.2))).path
    Linear(smoothing=0.2)
    """
    recipe = _made(current(described))
    if not isinstance(recipe, Recipe):
        msg = f"These values describe a {type(recipe).__name__}, not a recipe."
        raise InputError(msg)
    return recipe


def coupling_from(described: Mapping[str, Any]) -> Coupling:
    """Return the coupling of the recipe that `describe` described; its other parts may be unknown.

    Raises
    ------
    InputError
        A coupling that is not cellflow's.

    Examples
    --------
    >>> from cellflow.recipes import ot_cfm
    >>> coupling_from(describe(ot_cfm(coupling=couplings.Exact())))
    Exact(max_cells=8000)
    """
    made: Coupling = _made(described["coupling"])
    return made


def generates(described: Mapping[str, Any]) -> bool:
    """Whether a described recipe generates; False for a path that is not cellflow's."""
    try:
        return bool(_made(described["path"]).generates)
    except (AttributeError, InputError, TypeError):
        return False


def current(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a description in the present layout; 0.1 had `field`, `objectives` and `score`."""
    if "heads" in described or "field" not in described:
        return described
    rest = {k: v for k, v in described.items() if k not in {"field", "objectives", "score"}}
    networks = {"velocity": described["field"], "score": described.get("score")}
    losses = described.get("objectives")
    default = {"velocity": {"type": "velocity_matching"}}
    losses = losses if isinstance(losses, Mapping) else default
    heads = {
        name: {
            "type": "Head",
            "network": networks.get(name),
            "objective": losses.get(name),
            "along": None,
        }
        for name in {**networks, **losses}
        if name != "score" or networks["score"] is not None
    }
    return {**rest, "heads": heads, "scale": "joint"}


def unknown_networks(recipe: Recipe) -> list[str]:
    """Name the parts of a recipe's networks that a description does not bring back.

    Examples
    --------
    >>> from cellflow.recipes import ot_cfm
    >>> unknown_networks(ot_cfm())
    []
    """
    return [name for network in recipe.networks.values() for name in _unknown(network)]


def _unknown(part: object) -> Iterator[str]:
    """Names in a network's builder that neither cellflow nor an import path brings back."""
    if isinstance(part, partial):
        yield from _unknown(part.func)
        for value in part.keywords.values():
            yield from _unknown(value)
        if part.args:
            yield f"partial with unnamed arguments {part.args!r}"
    elif isinstance(part, tuple | list):
        for value in part:
            yield from _unknown(value)
    elif not (part is None or isinstance(part, bool | int | float | str | np.generic)):
        name = str(getattr(part, "__name__", type(part).__name__))
        known = name in fields.__all__ and getattr(fields, name) is part
        if not known and imported_network(describe(part).get("class")) is not part:
            yield name


def _made(described: Any) -> Any:
    """The inverse of `describe`."""
    if isinstance(described, list):
        return tuple(_made(item) for item in described)
    if not isinstance(described, Mapping):
        return described
    parts = {key: _made(value) for key, value in described.items() if key not in {"type", "class"}}
    if "type" not in described:
        return parts
    name = described["type"]
    kind: Any = _OTHERS.get(name)
    if "class" in described:
        kind = imported_network(described["class"])
    else:
        for family in _FAMILIES:
            kind = getattr(family, name) if name in family.__all__ else kind
    if kind is None:
        where = f" ({described['class']})" if "class" in described else ""
        msg = (
            f"The recipe has a part of type {name!r}{where}, which is not cellflow's. Expected its"
            " parts, or a network whose module is imported: import it first."
        )
        raise InputError(msg)
    if isinstance(kind, type) and is_dataclass(kind):
        if len(_settings(kind)) < len(dataclasses.fields(kind)):
            msg = (
                f"The recipe has a {name} ({parts}) of data that a fit does not keep. Expected the"
                f" same {name} again, where a call has an argument for it."
            )
            raise InputError(msg)
        return kind(**parts)
    return partial(kind, **parts) if parts else kind
