"""Arguments that are single numbers: checked, or refused by name."""

from __future__ import annotations

import math
from typing import SupportsFloat, SupportsIndex, cast

import numpy as np

from cellflow.errors import InputError

__all__ = ["as_count", "as_number"]


def as_count(name: str, value: object, *, least: int = 1, remedy: str = "") -> int:
    """Return an integer argument.

    Raises
    ------
    InputError
        No integer (booleans are none), or one below `least`.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least:
        return int(cast("SupportsIndex", value))
    expected = "a positive integer" if least == 1 else f"an integer of at least {least}"
    msg = f"{name}={value!r}; expected {expected}{remedy}."
    raise InputError(msg)


def as_number(name: str, value: object, *, above: float = -math.inf, remedy: str = "") -> float:
    """Return a real, finite argument.

    Raises
    ------
    InputError
        No finite number (booleans and text are none), or one that is not above `above`.
    """
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        number = float(cast("SupportsFloat", value))
        if math.isfinite(number) and number > above:
            return number
    expected = "a finite number" if above == -math.inf else f"a finite number above {above:g}"
    msg = f"{name}={value!r}; expected {expected}{remedy}."
    raise InputError(msg)
