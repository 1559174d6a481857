"""Times beyond the observed ones: allowed, and said."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from cellflow.adapter.fitted import Fitted
from cellflow.errors import IntegrationWarning

__all__ = ["warn_outside"]


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
