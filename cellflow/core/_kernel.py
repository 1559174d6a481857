r"""The Gibbs kernel of squared distances, tile by tile.

.. math:: K_{ij} = \exp(r_i + c_j - |x_i - y_j|^2 / \varepsilon)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cellflow.core._typing import FloatArray

__all__ = ["Kernel", "column_sums"]

#: Numbers in one tile (4 or 8 MiB): larger tiles leave the cache, smaller ones make matrix products
#: slow.
_TILE = 2**20
#: Rows of a tile at most.
_ROWS = 1024
#: Exponents this much below the largest of their row are raised to it: subnormal numbers would take
#: ten times as long.
_LEAST = {np.dtype(np.float32): -85.0, np.dtype(np.float64): -700.0}
#: From this many pairs on, float32 is used where it is accurate enough, and is twice as fast.
_LARGE = 2**22
#: Largest error of an exponent by float32.
_ERROR = 1e-3


@dataclass(frozen=True, eq=False)
class Kernel:
    r"""Squared distances of two clouds, in units of epsilon.

    The exponent is one matrix product, of :math:`(2 x_i, r_i - |x_i|^2, 1)` and
    :math:`(y_j, 1, c_j - |y_j|^2)`, all in units of epsilon.

    Parameters
    ----------
    left
        First factors without row terms, shape `(n, d + 2)`.
    right
        Second factors without column terms, shape `(m, d + 2)`.
    """

    left: FloatArray
    right: FloatArray

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Type of the numbers in a tile."""
        return self.left.dtype

    @classmethod
    def of(
        cls, x: FloatArray, y: FloatArray, epsilon: float, dtype: type[np.floating] = np.float64
    ) -> Kernel:
        """Prepare clouds `(n, d)` and `(m, d)`, which are centred on the mean of `y` first.

        In float32 an exponent errs by some 1e-7 of the largest squared distance from the centre in
        units of epsilon.
        """
        centre = y.mean(axis=0, dtype=np.float64)
        x = x - centre
        y = y - centre
        ones = np.ones
        of_x = np.einsum("ij,ij->i", x, x)
        of_y = np.einsum("ij,ij->i", y, y)
        left = np.column_stack([2.0 / epsilon * x, of_x / -epsilon, ones(len(x))])
        right = np.column_stack([y, ones(len(y)), of_y / -epsilon])
        return cls(left.astype(dtype), right.astype(dtype))

    @classmethod
    def fast(cls, x: FloatArray, y: FloatArray, epsilon: float) -> Kernel:
        """Prepare clouds in float32 where they are large and that is accurate enough."""
        double = cls.of(x, y, epsilon)
        largest = -min(double.left[:, -2].min(), double.right[:, -1].min())
        if len(x) * len(y) < _LARGE or largest * np.finfo(np.float32).eps > _ERROR:
            return double
        return cls(double.left.astype(np.float32), double.right.astype(np.float32))

    @property
    def blocks(self) -> list[slice]:
        """Rows of each tile."""
        step = max(1, min(_ROWS, _TILE // len(self.right)))
        return [slice(start, start + step) for start in range(0, len(self.left), step)]

    def tiles(
        self, by_row: FloatArray, by_column: FloatArray
    ) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Rows, the logarithm of the largest entry of each `(r,)`, and all divided by it `(r, m)`.

        A tile is in a buffer that the next one overwrites.

        Parameters
        ----------
        by_row, by_column
            Terms of the rows `(n,)` and of the columns `(m,)`, finite.
        """
        # Large constants that cancel would cost float32 its digits.
        shift = float(by_column.mean())
        right = self.right.T.copy()
        right[-1] = self.right[:, -1] + (by_column - shift)
        blocks = self.blocks
        buffer = np.empty((blocks[0].stop, len(self.right)), self.dtype)
        for rows in blocks:
            left = self.left[rows].copy()
            left[:, -2] += by_row[rows] + shift
            tile = np.matmul(left, right, out=buffer[: len(left)])
            top = tile.max(axis=1)
            tile -= top[:, None]
            np.exp(np.maximum(tile, _LEAST[self.dtype], out=tile), out=tile)
            yield rows, top.astype(np.float64), tile


def column_sums(tile: FloatArray, log_scale: FloatArray) -> FloatArray:
    """Sums of the columns of `exp(log_scale) * tile`, shape `(m,)`, in float64."""
    largest = log_scale.max()
    within = np.exp(log_scale - largest).astype(tile.dtype) @ tile
    sums: FloatArray = np.exp(largest) * within.astype(np.float64)
    return sums
