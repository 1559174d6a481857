"""Cells some of whose genes are given values, in the representation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["Edit"]


@dataclass(frozen=True, eq=False)
class Edit:
    r"""Genes that are given values, and how the state of a cell follows.

    With loadings :math:`W`, the mean :math:`m` and the response :math:`R`, a cell :math:`x` of
    which the genes are given the values :math:`y` becomes

    .. math:: x' = x + R\,(y - m - W x), \qquad W R = 1

    so that its genes are decoded to :math:`y`.

    Parameters
    ----------
    mean
        Expression of the genes at the origin of the representation, shape `(k,)`.
    loadings
        Shape `(k, d)`.
    response
        Change of the state for each unit of each gene, shape `(d, k)`.
    value
        Expression of the genes in each cell afterwards, shape `(n, k)`.
    """

    mean: FloatArray
    loadings: FloatArray
    response: FloatArray
    value: FloatArray

    def decoded(self, x: FloatArray) -> FloatArray:
        """Expression of the genes in states `(n, d)`, shape `(n, k)`."""
        return np.asarray(self.mean + np.asarray(x, dtype=np.float64) @ self.loadings.T)

    def applied(self, x: FloatArray) -> FloatArray:
        """States `(n, d)` with the values of the genes; a gene that has its value stays as is."""
        change = self.value - self.decoded(x)
        return np.asarray(np.asarray(x, dtype=np.float64) + change @ self.response.T)

    def some(self, rows: IntArray) -> Edit:
        """The edit of some of the cells."""
        return Edit(self.mean, self.loadings, self.response, self.value[rows])

    @property
    def nothing(self) -> Edit:
        """An edit of as many genes that changes no cell, and holds nothing."""
        parts = (self.mean, self.loadings, self.response, self.value)
        return Edit(*(np.zeros_like(part) for part in parts))

    def held(self, flow: Flow) -> Flow:
        """The dynamics in which the genes keep their values."""
        return flow.held(self.loadings, self.response) if self.loadings.any() else flow
