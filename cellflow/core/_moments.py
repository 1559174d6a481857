"""Moments of positions and expression in parts of the cells, read in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError

__all__ = ["FOLDS", "RIDGES", "Expression", "Moments", "folds_of", "moments"]

#: Rows that are read together; with 30,000 genes a dense block is 0.1 GB.
_BLOCK = 512
#: Ridge penalties that are tried, relative to the mean variance of a latent dimension. With 50
#: dimensions and 271 cells the largest does best, with thousands of cells the smallest, which only
#: keeps collinear dimensions harmless.
RIDGES = (1e-3, 1e-1, 1.0)
#: One cell in so many is kept out of the regression, in turn, to measure R2.
FOLDS = 5
#: Cells farther than so many robust standard deviations from the median position are left out: one
#: would decide every map.
_FAR = 100.0
#: Directions with less than this share of the largest variance carry none.
_RANK = 1e-10


class Expression(Protocol):
    """Expression by blocks of rows: an array, a sparse matrix, or a file that holds one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells and genes."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Return the rows as an array or a sparse matrix."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and central products of positions and expression, as linear regression needs them."""

    n: int
    x: FloatArray  # (d,) mean
    y: FloatArray  # (genes,) mean
    xx: FloatArray  # (d, d)
    yx: FloatArray  # (genes, d)
    yy: FloatArray  # (genes,)

    def __add__(self, other: Moments) -> Moments:
        """Moments of both groups of cells together (Chan, Golub and LeVeque 1979)."""
        n = self.n + other.n
        share = other.n / max(n, 1)
        both = self.n * share
        dx = other.x - self.x
        dy = other.y - self.y
        return Moments(
            n,
            self.x + share * dx,
            self.y + share * dy,
            self.xx + other.xx + both * np.outer(dx, dx),
            self.yx + other.yx + both * np.outer(dy, dx),
            self.yy + other.yy + both * dy**2,
        )

    def maps(self) -> Iterator[FloatArray]:
        """Maps `(genes, d)` of the ordinary regression, then of each ridge penalty."""
        values, vectors = np.linalg.eigh(self.xx)
        turned = self.yx @ vectors
        floor = max(_RANK * float(values[-1]), np.finfo(float).tiny)
        inverse = np.where(values > floor, 1.0 / np.maximum(values, floor), 0.0)
        yield (turned * inverse) @ vectors.T
        for ridge in RIDGES:
            penalty = max(ridge * float(values.mean()), np.finfo(float).tiny)
            yield (turned / (np.maximum(values, 0.0) + penalty)) @ vectors.T

    def errors(self, axes: FloatArray, trained: Moments) -> FloatArray:
        """Summed squared errors of each gene for the map `axes` through the means of `trained`."""
        bias = (self.y - trained.y) - axes @ (self.x - trained.x)
        explained = 2 * (axes * self.yx).sum(axis=1) - ((axes @ self.xx) * axes).sum(axis=1)
        return np.asarray(self.yy - explained + self.n * bias**2)


def folds_of(x: FloatArray) -> IntArray:
    """Part of each cell, by its position alone; -1 for extreme outliers.

    Neither the order of the rows nor a repeated cell makes a difference.
    """
    # Every row is summed by itself; the weights only keep different positions apart.
    place = (x * np.sqrt(np.arange(1.0, x.shape[1] + 1))).sum(axis=1)
    _, rank = np.unique(place, return_inverse=True)
    low, middle, high = np.percentile(x, [25, 50, 75], axis=0)
    spread = np.where(high > low, (high - low) / 1.349, np.inf)
    near = (np.abs(x - middle) <= _FAR * spread).all(axis=1)
    return np.where(near, rank.reshape(-1) % FOLDS, -1)


class _Sums:
    """Sums and products of the cells of one part, about a common origin."""

    def __init__(self, n_dims: int, n_genes: int) -> None:
        self.n = 0
        self.x = np.zeros(n_dims)
        self.y = np.zeros(n_genes)
        self.xx = np.zeros((n_dims, n_dims))
        self.yx = np.zeros((n_genes, n_dims))
        self.yy = np.zeros(n_genes)

    def add(self, x: FloatArray, y: Any) -> None:
        """Add cells with positions `(m, d)` and expression `(m, genes)`, an array or sparse."""
        self.n += len(x)
        self.x += x.sum(axis=0)
        self.y += np.asarray(y.sum(axis=0)).ravel()
        self.xx += x.T @ x
        self.yx += y.T @ x
        if sp.issparse(y):
            self.yy += np.asarray(y.multiply(y).sum(axis=0)).ravel()
        else:
            self.yy += np.einsum("ij,ij->j", y, y)

    def moments(self, origin_x: FloatArray, origin_y: FloatArray | float) -> Moments:
        """Moments of all cells that were added."""
        x = self.x / self.n
        y = self.y / self.n
        xx = self.xx - np.outer(self.x, x)
        yx = self.yx - np.outer(self.y, x)
        yy = np.maximum(self.yy - self.y * y, 0.0)
        return Moments(self.n, origin_x + x, origin_y + y, xx, yx, yy)


def moments(
    x: FloatArray, expression: Expression, names: np.ndarray, folds: IntArray, genes: slice
) -> list[Moments]:
    """Moments of the cells of each part that has any, for some of the genes."""
    n_genes = len(names[genes])
    parts = [_Sums(x.shape[1], n_genes) for _ in range(FOLDS)]
    # Products are taken about the first rows' means, so that a large offset costs no digits.
    origin_x = x[:_BLOCK].mean(axis=0)
    origin_y = None
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(x)))
        block = expression[rows]
        block = block if n_genes == len(names) else block[:, genes]
        block = block.tocsr() if sp.issparse(block) else np.asarray(block)
        order = np.argsort(folds[rows], kind="stable")
        order = order[folds[rows][order] >= 0]
        sizes = np.bincount(folds[rows][order], minlength=FOLDS)
        with np.errstate(invalid="ignore", over="ignore"):  # of infinities, which are named below
            y = block.astype(np.float64)[order]
            if not sp.issparse(y):
                origin_y = y.mean(axis=0) if origin_y is None and len(y) else origin_y
                y = y if origin_y is None else y - origin_y
            shifted = x[rows][order] - origin_x
            ends = np.cumsum(sizes)
            for part, first, last in zip(parts, ends - sizes, ends, strict=True):
                part.add(shifted[first:last], y[first:last])
    _require_finite(parts, names[genes])
    return [
        part.moments(origin_x, 0.0 if origin_y is None else origin_y) for part in parts if part.n
    ]


def _require_finite(parts: list[_Sums], names: np.ndarray) -> None:
    """Raise where a gene has values that are not finite in some part."""
    bad = np.flatnonzero(~np.isfinite(sum(part.yy for part in parts)))
    if len(bad):
        msg = (
            f"Expression of {len(bad)} genes is not finite (first: {str(names[bad[0]])!r}); remove"
            " them or fill their gaps."
        )
        raise InputError(msg)
