"""Types of the arguments of a public call, checked against its annotations first."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from cellflow.core._numbers import is_integer, is_number, shown
from cellflow.errors import InputTypeError

__all__ = ["check_arguments"]


class _Kind(NamedTuple):
    """Values that one word of an annotation accepts, and their description in messages."""

    words: str
    fits: Callable[[object], bool]


def _are_names(value: object) -> bool:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return False
    return all(isinstance(name, str) for name in value)


#: By the word in an annotation. An argument with any other word in its annotation is checked where
#: it is used.
_KINDS = {
    "str": _Kind("text", lambda value: isinstance(value, str)),
    "bool": _Kind("True or False", lambda value: isinstance(value, bool | np.bool_)),
    "int": _Kind("an integer", is_integer),
    "float": _Kind("a number", is_number),
    "None": _Kind("None", lambda value: value is None),
    "Sequence[str]": _Kind("a list of texts", _are_names),
    "os.PathLike[str]": _Kind("a path", lambda value: isinstance(value, os.PathLike)),
    "Scale": _Kind("text", lambda value: isinstance(value, str)),
}


def check_arguments(call: Callable[..., object], values: Mapping[str, object]) -> None:
    """Make sure that the arguments of a call are of the types that its annotations name.

    Parameters
    ----------
    call
        A public function; its annotations are text, as `from __future__ import annotations` leaves
        them.
    values
        Its arguments by name: `locals()` in its first line.

    Raises
    ------
    InputTypeError
        Names the argument, what came, and what is expected.

    Examples
    --------
    >>> def draw(n: int, *, color: str | None = None) -> None: ...
    >>> draw.__annotations__ = {"n": "int", "color": "str | None"}
    >>> check_arguments(draw, {"n": 3, "color": 0.5})
    Traceback (most recent call last):
        ...
    cellflow.errors.InputTypeError: color=0.5 (of type float); expected text or None.
    """
    for name, kinds in _checked(call):
        if not any(kind.fits(values[name]) for kind in kinds):
            words = list(dict.fromkeys(kind.words for kind in kinds))
            expected = " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
            msg = (
                f"{name}={shown(values[name])} (of type {type(values[name]).__name__}); expected"
                f" {expected}."
            )
            raise InputTypeError(msg)


@cache
def _checked(call: Callable[..., object]) -> tuple[tuple[str, tuple[_Kind, ...]], ...]:
    """Arguments of a call whose annotations consist of known words."""
    found = []
    for name, parameter in inspect.signature(call).parameters.items():
        words = str(parameter.annotation).split(" | ")
        if all(word in _KINDS for word in words):
            found.append((name, tuple(_KINDS[word] for word in words)))
    return tuple(found)
