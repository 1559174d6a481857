"""Transport between the shadows of two clouds on random lines."""

from __future__ import annotations

import numpy as np

from cellflow.core._clouds import Statistic, Two
from cellflow.core._random import stream
from cellflow.transport.exact import solve_line

__all__ = ["sliced"]


def sliced(two: Two, *, p: int, n_projections: int, seed: int) -> Statistic:
    """Mean over directions of the least mean cost between the projections, and its derivatives."""
    directions = stream(seed).standard_normal((n_projections, two.x.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    value = 0.0
    u = np.zeros(len(two.x))
    v = np.zeros(len(two.y))
    for direction in directions:
        on_line = solve_line(two.x @ direction, two.y @ direction, two.a, two.b, p=p)
        value += on_line.value
        u += on_line.u
        v += on_line.v
    return Statistic(value / n_projections, u / n_projections, v / n_projections)
