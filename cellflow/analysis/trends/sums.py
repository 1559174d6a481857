"""Sums over paths that means and variances of genes are made of, without cells by genes by times.

Expression is linear in the state, so the mean and the variance of any gene over the paths follow
from the mean `(d,)` and the covariance `(d, d)` of the states at each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from cellflow.analysis.trends.paths import Stretch
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Sums"]

#: Genes that are multiplied together.
_GENES = 256


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the cells of one snapshot at the times at which they stand for the population.

    Parameters
    ----------
    total
        Mass of all cells, shape `(T,)`.
    weight, square, off
        Sum of the masses of each trend, of their squares, and of those that lead to where no cell
        was measured, shape `(T, c)`.
    move
        Mass times the change of position since the cell's own time, shape `(T, c, d)`.
    x, xx
        Mass times position, and times its square, about the origin, shapes `(T, c, d)` and
        `(T, c, d, d)`; the second has no entries where no spread is asked for.
    y
        Mass times the measured expression of the cells, shape `(T, c, g)`.
    ee
        Mass times the squared residual of the decoder, shape `(T, c, g)`; no entries where no
        spread is asked for.
    """

    total: FloatArray
    weight: FloatArray
    square: FloatArray
    off: FloatArray
    move: FloatArray
    x: FloatArray
    xx: FloatArray
    y: FloatArray
    ee: FloatArray

    @classmethod
    def zeros(cls, n_times: int, n_trends: int, d: int, g: int, *, spread: bool) -> Self:
        """Of no cells."""
        small = (n_times, n_trends)
        square = d if spread else 0
        return cls(
            np.zeros(n_times),
            np.zeros(small),
            np.zeros(small),
            np.zeros(small),
            np.zeros((*small, d)),
            np.zeros((*small, d)),
            np.zeros((*small, square, square)),
            np.zeros((*small, g)),
            np.zeros((*small, g if spread else 0)),
        )

    def add(
        self,
        stretch: Stretch,
        part: FloatArray,
        expression: FloatArray,
        residual: FloatArray | None,
        origin: FloatArray,
    ) -> None:
        """Add some cells: their part in each trend `(n, c)`, expression and residuals `(n, g)`."""
        at = stretch.at
        self.total[at] += stretch.mass.sum(axis=1)
        weight = stretch.mass[:, :, None] * part  # (m, n, c)
        self.weight[at] += weight.sum(axis=1)
        self.square[at] += (weight**2).sum(axis=1)
        self.off[at] += np.einsum("mnc,mn->mc", weight, stretch.off)
        for place, k in enumerate(at.tolist()):
            here = stretch.states[place]
            self.move[k] += weight[place].T @ (here - stretch.x)
            self.x[k] += weight[place].T @ (here - origin)
            for c in range(part.shape[1] if self.xx.size else 0):
                self.xx[k, c] += ((here - origin) * weight[place, :, c, None]).T @ (here - origin)
        self._add_genes(at, weight, expression, residual)

    def _add_genes(
        self, at: IntArray, weight: FloatArray, expression: FloatArray, residual: FloatArray | None
    ) -> None:
        m, n, c = weight.shape
        rows = weight.transpose(0, 2, 1).reshape(m * c, n)
        for first in range(0, expression.shape[1], _GENES):
            genes = slice(first, first + _GENES)
            y = expression[:, genes].astype(np.float64)
            self.y[at, :, genes] += (rows @ y).reshape(m, c, -1)
            if residual is not None:
                e = residual[:, genes].astype(np.float64)
                self.ee[at, :, genes] += (rows @ e**2).reshape(m, c, -1)

    def scaled(self, share: FloatArray) -> Self:
        """The same for a share of the population at each time, `(T,)`, that all cells stand for."""
        factor = np.divide(share, self.total, out=np.zeros_like(share), where=self.total > 0)

        def times(values: FloatArray, factor: FloatArray) -> FloatArray:
            return values * factor.reshape(-1, *[1] * (values.ndim - 1))

        return type(self)(
            share,
            times(self.weight, factor),
            times(self.square, factor**2),
            *(times(v, factor) for v in (self.off, self.move, self.x, self.xx, self.y, self.ee)),
        )

    def __add__(self, other: Sums) -> Sums:
        """Sums over the cells of both."""
        return Sums(
            *(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__)
        )
