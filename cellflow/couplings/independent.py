"""The independent coupling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.plan import ProductPlan
from cellflow.population import Population

__all__ = ["Independent"]


@dataclass(frozen=True)
class Independent:
    """Every source cell may become every target cell, in proportion to their weights."""

    def __call__(self, source: Population, target: Population) -> ProductPlan:
        """Couple two populations; costs no time."""
        a, b = source.weight, target.weight
        x, y = source.x.astype(np.float64), target.x.astype(np.float64)
        centre = b @ y
        x, y = x - centre, y - centre
        cost = a @ np.einsum("ij,ij->i", x, x) + b @ np.einsum("ij,ij->i", y, y) - 2.0 * (a @ x) @ (b @ y)
        return ProductPlan(a, b, cost=float(max(cost, 0.0)))
