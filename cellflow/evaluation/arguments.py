"""Arguments of a hold-out: one value or several, checked before any work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cellflow.core._random import as_seed
from cellflow.errors import InputError, closest
from cellflow.evaluation.names import PROTOCOLS, Protocols

__all__ = ["as_names", "as_protocols", "as_seeds", "several"]


def several(value: object) -> list[Any]:
    """Values of an argument that takes one value or several."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    one = isinstance(value, str) or not isinstance(value, Iterable)
    return [value] if one else list(value)  # type: ignore[call-overload] # an Iterable


def as_names(argument: str, value: object, known: Iterable[str]) -> tuple[str, ...]:
    """Return names in the order of the known ones; one alone may be given as text.

    Raises
    ------
    InputError
        An unknown name.
    """
    names = list(known)
    given = several(value)
    for name in given:
        if name not in names:
            msg = f"{argument}={value!r}: {name!r} is none of {names}{closest(name, names)}."
            raise InputError(msg)
    return tuple(name for name in names if name in given)


def as_protocols(protocols: object) -> tuple[Protocols, ...]:
    """Return the argument `protocols` in the order of `PROTOCOLS`.

    Raises
    ------
    InputError
        None at all, or an unknown one.
    """
    as_names("protocols", protocols, PROTOCOLS)
    given = several(protocols)
    if not given:
        msg = f"protocols is empty; expected some of {list(PROTOCOLS)}."
        raise InputError(msg)
    return tuple(p for p in PROTOCOLS if p in given)


def as_seeds(seeds: object) -> tuple[int, ...]:
    """Return the argument `seeds`: one seed, or several that differ.

    Raises
    ------
    InputError
        No seed, or a value that is no seed.
    """
    given = several(seeds)
    if not given:
        msg = "seeds is empty; expected at least one seed, such as (0,)."
        raise InputError(msg)
    return tuple(dict.fromkeys(as_seed(s) for s in given))
