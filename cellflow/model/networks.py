"""Networks from their description, with classes that are the user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias

from torch import nn

from cellflow import fields
from cellflow.core._numbers import is_integer
from cellflow.core._stored import Stored
from cellflow.errors import ModelFileError
from cellflow.fields.base import Builder

__all__ = ["Network", "Networks", "imported_network"]

#: Network classes of the user's own by name.
Networks: TypeAlias = Mapping[str, Callable[..., nn.Module]]


def imported_network(path: object) -> type[nn.Module] | None:
    """The network class of an import path `"module:name"`, where its module is imported already.

    Nothing is imported and no code runs, because the path may come from a file of unknown origin.
    """
    module, _, name = str(path).partition(":")
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = vars(found).get(part) if isinstance(found, ModuleType | type) else None
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        return None
    own = (found.__module__, found.__qualname__) == (module, name)
    return found if own else None


@dataclass(frozen=True)
class Network:
    """A described network."""

    kind: Callable[..., nn.Module]
    options: Mapping[str, Any]  # of the class: values and other networks
    own: bool  # whether the class is not cellflow's

    @classmethod
    def of(cls, stored: Stored, where: str, spec: object, own: Networks) -> Network:
        """Find the classes of a description: passed by name, cellflow's, or imported."""
        described = stored.mapping(where, spec)
        name = stored.text(f"{where}.type", described.get("type"))
        known = fields.__all__ if "class" not in described else ()
        kind = own.get(name)
        if kind is None and name in known:
            kind = getattr(fields, name)
        elif kind is None and "class" in described:
            kind = imported_network(described["class"])
        if kind is None:
            raise _unknown(name, described.get("class"))
        options = {
            key: cls.of(stored, f"{where}.{key}", value, own)
            if isinstance(value, Mapping)
            else value
            for key, value in described.items()
            if key not in {"type", "class"}
        }
        return cls(kind, options, name in own or "class" in described)

    @property
    def light(self) -> bool:
        """Whether it can be made without memory, as networks of cellflow can."""
        inner = (value.light for value in self.options.values() if isinstance(value, Network))
        return not self.own and all(inner)

    def builder(self, stored: Stored, n_weights: int) -> Builder:
        """The builder that was described; sizes are compared with the number of weights first."""
        options = {}
        for key, value in self.options.items():
            if is_integer(value) and not self.own:
                # Widths, depths and numbers of features all are below the number of weights.
                stored.count(key, value, most=n_weights)
            options[key] = value.builder(stored, n_weights) if isinstance(value, Network) else value
        return partial(self.kind, **options)


def _unknown(name: str, where: object) -> ModelFileError:
    """The error for a network whose class is not there."""
    module = str(where).partition(":")[0]
    imports = "" if where is None else f"import {module} first, or "
    msg = (
        f"The flow was fitted with a network {name!r} that cellflow does not have"
        f"{'' if where is None else f' ({where})'}; {imports}pass fields={{{name!r}: YourClass}}."
    )
    return ModelFileError(msg)
