"""Times that a call is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellflow._numbers import as_count, as_number
from cellflow._typing import FloatArray
from cellflow.adapter.fitted import Fitted
from cellflow.errors import InputError

__all__ = ["require_inside", "time_grid"]


def require_inside(fitted: Fitted, time: object) -> float:
    """Return a time within the observed ones, at which a score is known.

    Raises
    ------
    InputError
        No number, or one before the first or after the last snapshot.
    """
    at = as_number("time", time, remedy=" in the unit of the fit")
    fitted.observed.require(at, "the score")
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
