"""Means and variances of two clouds."""

from __future__ import annotations

import numpy as np

from cellflow.core._clouds import Statistic, Two
from cellflow.errors import InputError

__all__ = ["mean_distance", "spread_ratio"]


def mean_distance(two: Two) -> Statistic:
    """Distance between the means, and its derivatives (zero where the means are one)."""
    # Relative to one point, so that means far from the origin lose nothing.
    origin = two.y[0]
    x = two.x - origin
    y = two.y - origin
    step = two.a @ x - two.b @ y
    length = float(np.linalg.norm(step))
    direction = step / length if length > 0.0 else step
    return Statistic(length, x @ direction, -(y @ direction))


def spread_ratio(two: Two) -> Statistic:
    """Trace of the covariance of x over that of y, and its derivatives.

    Raises
    ------
    InputError
        All cells of `y` are at one position.
    """
    from_mean = [((z - w @ z) ** 2).sum(axis=1) for z, w in ((two.x, two.a), (two.y, two.b))]
    if (two.y == two.y[0]).all():
        msg = (
            "All cells of `y` are at one position; expected cells that vary, for a ratio of"
            " variances."
        )
        raise InputError(msg)
    spread = float(two.b @ from_mean[1])
    ratio = float(two.a @ from_mean[0]) / spread
    return Statistic(ratio, from_mean[0] / spread, -ratio * from_mean[1] / spread)
