"""Times beyond the observed ones: allowed for the flow, and said; refused where only cells can tell."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from cellflow._numbers import as_number
from cellflow._typing import FloatArray
from cellflow.adapter.fitted import Fitted
from cellflow.errors import InputError, IntegrationWarning

__all__ = ["outside", "require_inside", "warn_outside"]


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
