"""Times beyond the observed ones: allowed for the flow, and said; refused where only cells can tell."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from cellflow._numbers import as_number
from cellflow.adapter.fitted import Fitted
from cellflow.errors import InputError, IntegrationWarning

__all__ = ["require_inside", "warn_outside"]


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


def warn_outside(fitted: Fitted, times: npt.ArrayLike) -> bool:
    """Say when times lie outside the observed ones; returns whether they do."""
    asked = np.atleast_1d(np.asarray(times, dtype=np.float64))
    first, last = fitted.flow.times[0], fitted.flow.times[-1]
    outside = asked[(asked < first) | (asked > last)]
    if len(outside):
        msg = (
            f"Time {outside[np.argmax(np.abs(outside - (first + last) / 2))]:g} lies outside the observed times, {first:g} to "
            f"{last:g}; the velocity field is extrapolated there, without data to say whether it holds."
        )
        warnings.warn(msg, IntegrationWarning, stacklevel=3)
    return bool(len(outside))
