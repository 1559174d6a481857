r"""What a transport plan is.

A plan is a matrix :math:`\pi \ge 0` of shape `(n, m)`: :math:`\pi_{ij}` is the mass that goes from
source cell :math:`i` to target cell :math:`j`. Mass is counted in units of the populations, which
have mass one each. A balanced plan has the populations' weights as marginals and total one; an
unbalanced plan may have any positive total, and rows and columns of less mass or none.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Plan", "Side", "conditional_mean"]

Side = Literal["source", "target"]


@runtime_checkable
class Plan(Protocol):
    """Mass between source and target cells."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of source and target cells."""

    @property
    def total(self) -> float:
        """Mass of the plan, in units of a population's mass; one for a balanced plan."""

    @property
    def row_mass(self) -> FloatArray:
        """Mass that leaves each source cell, shape `(n,)`; sums to `total`."""

    @property
    def col_mass(self) -> FloatArray:
        """Mass that reaches each target cell, shape `(m,)`; sums to `total`."""

    @property
    def cost(self) -> float:
        """Mean transport cost per unit of mass."""

    @property
    def gap(self) -> float | None:
        """Certified bound on (cost - optimum) / cost; None where nothing is certified."""

    def sample(self, n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Draw `n` pairs (source rows, target rows) in proportion to mass; each draw is O(1)."""

    def barycentre(self, values: FloatArray, side: Side = "source") -> FloatArray:
        """Mean of the other side's `values` given each cell of `side`.

        With `side="source"`, `values` is `(m, k)` and the result `(n, k)`: where each source cell
        goes on average. Cells without mass get NaN.
        """


def conditional_mean(sums: FloatArray, mass: FloatArray) -> FloatArray:
    """Sums `(n, k)` divided by the mass of each row `(n,)`; NaN where there is no mass."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: FloatArray = sums / mass[:, None]
    return mean
