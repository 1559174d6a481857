"""Times that a call is asked for: beyond the observed ones the flow goes on and says so; what only cells can tell stops."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cellflow._numbers import as_count, as_number
from cellflow._typing import FloatArray
from cellflow.adapter.fitted import Fitted
from cellflow.errors import InputError, IntegrationWarning

__all__ = ["outside", "require_inside", "time_grid", "warn_outside"]


def require_inside(fitted: Fitted, time: object) -> float:
    """Return a time within the observed ones.

    Raises
    ------
    InputError
        No number, or one before the first or after the last snapshot.
    """
    at = as_number("time", time, remedy=" in the unit of the fit")
    first, last = fitted.flow.times[0], fitted.flow.times[-1]
    if not first <= at <= last:
        msg = f"time={at:g} lies outside the observed times, {first:g} to {last:g}; the score knows those only."
        raise InputError(msg)
    return at


def time_grid(fitted: Fitted, times: Sequence[float] | FloatArray | None, n_times: int, *, least: int = 1) -> FloatArray:
    """Return the times that were asked for, ascending and each once; or `n_times` even ones over the observed span.

    Raises
    ------
    InputError
        Fewer than `least` different ones, or one that is no finite number.
    """
    if times is None:
        return np.linspace(fitted.flow.times[0], fitted.flow.times[-1], as_count("n_times", n_times, least=max(2, least)))
    try:
        grid = np.unique(np.asarray(times, dtype=np.float64))
    except (TypeError, ValueError) as cause:
        msg = f"times={times!r}; expected numbers, in the unit of the fit."
        raise InputError(msg) from cause
    if grid.size < least or not np.isfinite(grid).all():
        msg = f"times={times!r}; expected at least {least} different and finite. Pass n_times= for an even grid."
        raise InputError(msg)
    return grid


def outside(fitted: Fitted, times: npt.ArrayLike) -> FloatArray:
    """Return those times that lie outside the observed ones, shape `(k,)`."""
    asked = np.atleast_1d(np.asarray(times, dtype=np.float64))
    beyond: FloatArray = asked[(asked < fitted.flow.times[0]) | (asked > fitted.flow.times[-1])]
    return beyond


def warn_outside(fitted: Fitted, times: npt.ArrayLike, *, stacklevel: int = 3) -> None:
    """Say when times lie outside the observed ones; for the end of a call, so that an error is the only thing said."""
    beyond = outside(fitted, times)
    if len(beyond):
        first, last = fitted.flow.times[0], fitted.flow.times[-1]
        msg = (
            f"Time {beyond[np.argmax(np.abs(beyond - (first + last) / 2))]:g} lies outside the observed times, {first:g} to "
            f"{last:g}; the velocity field is extrapolated there, without data to say whether it holds."
        )
        warnings.warn(msg, IntegrationWarning, stacklevel=stacklevel)
