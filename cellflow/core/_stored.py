"""Stored models: every value is checked before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from cellflow.core._numbers import is_integer, is_number, shown
from cellflow.core._typing import FloatArray
from cellflow.errors import ModelFileError

__all__ = ["Stored", "require_weights"]


class Stored:
    """Configuration and arrays of a stored model, read one by one; errors name the entry.

    Parameters
    ----------
    what
        What messages call the model: `"model"`, `"density"`.
    config, arrays
        Plain values and arrays by name, from a file of unknown origin.

    Raises
    ------
    ModelFileError
        No mapping, or an array that holds no numbers.
    """

    def __init__(self, what: str, config: object, arrays: object) -> None:
        self.what = what
        self.config = self.mapping("config", config)
        self.arrays = {
            str(name): self._numbers(name, value)
            for name, value in self.mapping("arrays", arrays).items()
        }

    def fail(self, detail: object) -> NoReturn:
        """Say what is wrong."""
        msg = (
            f"The {self.what}'s configuration and arrays do not fit together ({detail}); fit it"
            " again or restore the file."
        )
        raise ModelFileError(msg)

    def mapping(self, name: str, value: object) -> Mapping[str, Any]:
        """Return a value that is a mapping."""
        if not isinstance(value, Mapping):
            self.fail(f"{name} is of type {type(value).__name__}, expected a mapping")
        return value

    def value(self, name: str) -> Any:
        """Return an entry of the configuration."""
        if name not in self.config:
            self.fail(f"{name} is missing")
        return self.config[name]

    def count(self, name: str, value: object, *, least: int = 0, most: float = math.inf) -> int:
        """Return a value that is an integer within limits."""
        if not is_integer(value) or not least <= value <= most:
            limit = "" if most == math.inf else f" and at most {most:g}"
            self.fail(f"{name} is {shown(value)}, expected an integer of at least {least}{limit}")
        return int(value)

    def number(
        self, name: str, value: object, *, least: float = -math.inf, above: float = -math.inf
    ) -> float:
        """Return a value that is a finite number within limits."""
        try:
            number = float(value) if is_number(value) else math.nan
        except OverflowError:
            number = math.nan
        if not math.isfinite(number) or number < least or number <= above:
            limit = (
                f" of at least {least:g}"
                if least > -math.inf
                else f" above {above:g}"
                if above > -math.inf
                else ""
            )
            self.fail(f"{name} is {shown(value)}, expected a finite number{limit}")
        return number

    def flag(self, name: str, value: object) -> bool:
        """Return a value that is true or false."""
        if not isinstance(value, bool):
            self.fail(f"{name} is {shown(value)}, expected true or false")
        return value

    def text(self, name: str, value: object) -> str:
        """Return a value that is text."""
        if not isinstance(value, str):
            self.fail(f"{name} is {shown(value)}, expected text")
        return value

    def array(
        self,
        name: str,
        shape: Sequence[int | None],
        *,
        finite: bool = True,
        positive: bool = False,
        increasing: bool = False,
    ) -> FloatArray:
        """Return an array of a given shape; None stands for any length of at least one."""
        if name not in self.arrays:
            self.fail(f"{name} is missing")
        found = self.arrays[name]
        fits = found.ndim == len(shape) and all(
            n > 0 if wanted is None else n == wanted
            for n, wanted in zip(found.shape, shape, strict=True)
        )
        if not fits:
            expected = ", ".join("any" if n is None else str(n) for n in shape)
            self.fail(f"{name} has shape {found.shape}, expected ({expected})")
        if finite and not np.isfinite(found).all():
            self.fail(f"{name} has {int((~np.isfinite(found)).sum())} values that are not finite")
        if positive and not (found > 0).all():
            self.fail(f"{name} has values that are not positive")
        if increasing and not (np.diff(found) > 0).all():
            self.fail(f"{name} does not increase strictly")
        return found

    def under(self, prefix: str) -> dict[str, FloatArray]:
        """Return the arrays whose names start with a prefix, without it."""
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }

    def _numbers(self, name: object, value: object) -> FloatArray:
        """Return a copy in memory, in the byte order of this machine."""
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            self.fail(f"{name} has dtype {array.dtype}, expected numbers")
        return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def require_weights(
    state: Stored,
    prefix: str,
    expected: Mapping[str, tuple[tuple[int, ...], bool]],
    names: Iterable[str] | None = None,
) -> None:
    """Make sure that the arrays under a prefix are the weights of a network, all finite.

    Parameters
    ----------
    state
        Of the model.
    prefix
        Of their names.
    expected
        Shape, and whether it holds real numbers, by name without the prefix.
    names
        Arrays that are meant to be weights, without the prefix; all under it by default.

    Raises
    ------
    ModelFileError
        Another name, another shape, integers for real numbers, or values that are not finite.
    """
    found = state.under(prefix) if names is None else names
    missing = sorted(set(expected) - set(found))
    foreign = sorted(set(found) - set(expected))
    if missing or foreign:
        more = f", {prefix}{foreign[0]} is none of its weights" if foreign else ""
        lacks = f"{prefix}{missing[0]} is missing" if missing else ""
        state.fail(f"{lacks}{more}".removeprefix(", "))
    for name, (shape, real) in expected.items():
        array = state.array(prefix + name, shape)
        if (array.dtype.kind == "f") != real:
            state.fail(f"{prefix}{name} has dtype {array.dtype}")
