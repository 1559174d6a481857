"""Times in the arguments of a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.adapter.units import Time
from cellflow.core._numbers import as_count, shown
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, InputTypeError

__all__ = ["Times", "asked_times", "require_inside", "time_grid"]

#: Steps of a default grid in each interval between snapshots, and the least number of its times.
_STEPS = 4
_FEWEST = 16
#: One time, or several.
Times: TypeAlias = "Time | Sequence[Time] | FloatArray"


def asked_times(fitted: Fitted, time: Times) -> tuple[FloatArray, bool]:
    """Return the times that are asked for, in their order, and whether it is a list.

    Raises
    ------
    InputError
        None, one that is no time, or one twice.
    """
    if isinstance(time, str | Mapping) or not isinstance(time, Iterable) or np.ndim(time) == 0:  # type: ignore[arg-type] # of labels, too
        return np.array([fitted.time(time)]), False
    listed = [fitted.time(value) for value in time]
    if not listed:
        msg = f"time={shown(time)} holds no time; expected one, or a list of some."
        raise InputError(msg)
    again = [at for at, n in Counter(listed).items() if n > 1]
    if again:
        msg = (
            f"time={shown(time)} names the time {again[0]:g} more than once. Expected each once:"
            " for several draws, call it with another random_state= each."
        )
        raise InputError(msg)
    return np.array(listed), True


def require_inside(fitted: Fitted, time: object) -> float:
    """Return a time within the observed ones, at which a score is known.

    Raises
    ------
    InputError
        No number, or one before the first or after the last snapshot.
    """
    at = fitted.time(time)
    fitted.observed.require(at, "the score")
    return at


def time_grid(
    fitted: Fitted,
    times: Sequence[Time] | FloatArray | None,
    n_times: int | None,
    *,
    least: int = 1,
) -> FloatArray:
    """Return the given times, increasing and each once, or `n_times` even ones from first to last.

    With `n_times=None` there are four steps to an interval between snapshots, and 16 times at
    least: straight lines between the states then leave the paths by half a percent of their length
    (the median cell, measured on two data sets of 3 to 8 snapshots).

    Raises
    ------
    InputError
        Fewer than `least` different ones, or one that is no finite number.
    """
    if times is None:
        if n_times is None:
            n_times = max(_FEWEST, _STEPS * (len(fitted.flow.times) - 1) + 1)
        # A state of every cell at every time.
        n = as_count("n_times", n_times, least=max(2, least), each=4 * fitted.x.shape[1])
        return np.linspace(fitted.flow.times[0], fitted.flow.times[-1], n)
    several = isinstance(times, Iterable) and not isinstance(times, str | Mapping)
    if not several or np.ndim(times) > 1:  # type: ignore[arg-type] # of labels, too
        msg = (
            f"times={shown(times)}; expected a list of numbers in the unit of the fit, or of labels"
            " such as 'day 3'."
        )
        raise InputTypeError(msg)
    grid = np.unique(np.array([fitted.time(time, "times") for time in times], dtype=np.float64))
    if grid.size < least:
        msg = (
            f"times={shown(times)}; expected at least {least} different. Pass n_times= for an even"
            " grid."
        )
        raise InputError(msg)
    return grid
