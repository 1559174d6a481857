"""Entries that several results have in their record."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from cellflow.adapter.fitted import Fitted
from cellflow.analysis.observed import Observed, growth
from cellflow.core._typing import FloatArray

__all__ = ["about_condition", "about_extrapolation"]


def about_condition(fitted: Fitted, features: FloatArray | None) -> dict[str, Any]:
    """The values of a condition with features `(c,)`, and whether the fit has cells of it."""
    if features is None:
        return {}
    return {
        "condition": fitted.values(features),
        "condition_measured": fitted.measured(features),
    }


def about_extrapolation(
    observed: Observed, times: npt.ArrayLike, states: FloatArray, measured: FloatArray
) -> dict[str, Any]:
    """Whether times are outside the observed ones, and if so the growth of the states there."""
    extrapolated = len(observed.outside(times)) > 0
    grown = growth(states, measured) if extrapolated else None
    return {"extrapolated": extrapolated} | ({} if grown is None else {"growth": grown})
