"""What a coupling is, and what couplings share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans import Plan
from cellflow.core.population import Population

__all__ = ["Cloud", "Coupling", "cloud", "with_sigma"]


@runtime_checkable
class Coupling(Protocol):
    """How much mass goes from which source cell to which target cell: `(source, target) -> Plan`.

    The plan's mass is in units of the populations' mass; it need not be balanced. Costs are squared
    Euclidean distances between positions: scale the coordinates before, not the cost after.

    Examples
    --------
    >>> from cellflow.core.plans import EdgePlan
    >>> class InOrder:
    ...     def __call__(self, source, target):
    ...         rows = np.arange(len(source))
    ...         return EdgePlan((len(rows), len(rows)), rows, rows, source.weight, cost=0.0)
    >>> recipe = cf.recipes.ot_cfm(coupling=InOrder())
    """

    def __call__(self, source: Population, target: Population) -> Plan:
        """Couple two whole populations, of any sizes and weights."""


class Cloud(NamedTuple):
    """The cells of a population that carry mass, ready for a solver."""

    rows: IntArray
    x: FloatArray
    weight: FloatArray


def cloud(population: Population, centre: FloatArray) -> Cloud:
    """Cells of positive weight, their positions in float64 relative to `centre`."""
    rows = np.flatnonzero(population.weight > 0)
    weight = population.weight[rows]
    return Cloud(rows, population.x[rows].astype(np.float64) - centre, weight / weight.sum())


def with_sigma(coupling: Coupling, sigma: float) -> Coupling:
    """Replace `sigma="auto"` of a coupling, and of one that it wraps."""
    changed: dict[str, Any] = {}
    if getattr(coupling, "sigma", None) == "auto":
        changed["sigma"] = sigma
    for name in ("coupling", "inner"):
        wrapped = getattr(coupling, name, None)
        if isinstance(wrapped, Coupling):
            changed[name] = with_sigma(wrapped, sigma)
    if not changed:
        return coupling
    return replace(coupling, **changed)  # type: ignore[type-var] # a dataclass
