"""Descendants of cell types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from cellflow.errors import InputTypeError

__all__ = ["Lineage", "allowed", "named"]

#: Descendants of each type, or the one descendant.
Lineage: TypeAlias = "Mapping[str, str | Iterable[str]]"


def allowed(labels: Sequence[str], lineage: Lineage | None) -> np.ndarray:
    """Whether type `j` is type `i` or one of its descendants, shape `(k, k)`."""
    children = named(lineage)
    reached = np.eye(len(labels), dtype=bool)
    position = {label: k for k, label in enumerate(labels)}
    for label, k in position.items():
        seen = {label}
        waiting = [label]
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child not in seen:
                    seen.add(child)
                    waiting.append(child)
        reached[k, [position[name] for name in seen if name in position]] = True
    return reached


def named(lineage: Lineage | None) -> dict[str, tuple[str, ...]]:
    """Return the descendants that were given of each type, as text.

    Raises
    ------
    InputTypeError
        It is no mapping from types to types.
    """
    if lineage is None:
        return {}
    if not isinstance(lineage, Mapping):
        msg = (
            f"lineage is of type {type(lineage).__name__}; expected the descendants of each type, "
            "such as {'parent': ['left', 'right']}."
        )
        raise InputTypeError(msg)
    made = {}
    for parent, given in lineage.items():
        if not isinstance(given, str) and not isinstance(given, Iterable):
            msg = f"lineage[{parent!r}] is {given!r}; expected a list of types."
            raise InputTypeError(msg)
        children = [given] if isinstance(given, str) else given
        made[str(parent)] = tuple(str(child) for child in children)
    return made
