"""From the latent representation to genes: positions and velocities, by loadings where they fit, else by regression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import scipy.sparse as sp

from cellflow._typing import FloatArray, IntArray
from cellflow.errors import InputError

__all__ = ["Decoder", "Rows"]

#: Rows that are looked at together, reading and writing; with 30,000 genes a dense block is 0.1 GB.
_BLOCK = 512
#: How closely the loadings must reproduce the representation, relative to its spread.
_RTOL = 1e-3
#: Ridge penalty relative to the mean variance of a latent dimension: only there to keep collinear dimensions harmless.
_RIDGE = 1e-3
#: One cell in so many is kept out of the regression to measure its R2.
_FOLDS = 5
#: Dense results above this many bytes are refused.
_LIMIT = 2 * 1024**3


class Rows(Protocol):
    """A matrix that gives blocks of rows: an array, a scipy sparse matrix, or a file that holds one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells and genes."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Return the rows as an array or a sparse matrix."""


@dataclass(frozen=True, eq=False)
class Decoder:
    r"""The affine map :math:`y = m + W x` from latent positions to expression; velocities follow by :math:`\dot y = W \dot x`.

    Parameters
    ----------
    mean
        Expression :math:`m` at the latent origin, shape `(genes,)`.
    loadings
        :math:`W`, shape `(genes, d)`; a row of zeros is a gene that the representation cannot decode.
    genes
        Names of the genes, shape `(genes,)`.
    kind
        `"loadings"` where the representation is a projection of the expression, `"ridge"` where it had to be regressed.
    r2
        Share of the expression's variance that is decoded, over the decodable genes; for `"ridge"` on cells kept out of the
        regression.
    """

    mean: FloatArray
    loadings: FloatArray
    genes: np.ndarray
    kind: Literal["loadings", "ridge"]
    r2: float

    @classmethod
    def fitted(cls, x: FloatArray, expression: Rows, genes: Sequence[str], *, loadings: FloatArray | None = None) -> Decoder:
        """Decode by `loadings` where projecting on them reproduces `x`, else by ridge regression.

        Parameters
        ----------
        x
            Latent positions, shape `(n, d)`.
        expression
            Shape `(n, genes)`, read in blocks of rows; a sparse matrix is never made dense.
        genes
            Their names.
        loadings
            Principal axes, shape `(genes, at least d)`, perhaps those that `x` was made with.

        Raises
        ------
        InputError
            Shapes that do not fit, or expression that is not finite.
        """
        names = np.asarray(genes, dtype=str)
        found, expected = tuple(expression.shape), (len(x), len(names))
        if found != expected:
            msg = f"Expression has shape {found}; expected {expected}, the cells of `x` by `genes`."
            raise InputError(msg)
        train, test = _moments(np.asarray(x, dtype=np.float64), expression, names)
        both = train + test
        axes = None if loadings is None else np.asarray(loadings, dtype=np.float64)[:, : x.shape[1]]
        if axes is not None and _reproduces(x, expression, axes):
            return cls(both.y - axes @ both.x, axes, names, "loadings", _share(both.errors(axes, both), both.yy, axes))
        judge = test if test.n else train
        errors = judge.errors(train.ridge(), train)
        # Where the regression does worse than the mean on cells it has not seen, the mean is the better answer.
        axes = np.where((errors < judge.yy)[:, None], both.ridge(), 0.0)
        return cls(both.y - axes @ both.x, axes, names, "ridge", _share(errors, judge.yy, axes))

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> Decoder:
        """Rebuild a decoder from its plain values (`genes`, `kind`, `r2`) and its arrays (`mean`, `loadings`)."""
        return cls(arrays["mean"], arrays["loadings"], np.asarray(config["genes"], dtype=str), config["kind"], config["r2"])

    @property
    def decodable(self) -> np.ndarray:
        """Which genes the representation can decode, shape `(genes,)`."""
        return np.asarray((self.loadings != 0).any(axis=1))

    def only(self, rows: IntArray) -> Decoder:
        """Return the decoder of some genes, by their positions."""
        return replace(self, mean=self.mean[rows], loadings=self.loadings[rows], genes=self.genes[rows])

    def positions(self, x: FloatArray) -> FloatArray:
        """Expression at latent positions `(n, d)`, float32 of shape `(n, genes)`.

        Raises
        ------
        InputError
            The result would take more than 2 GB.
        """
        return self._applied(x, self.mean)

    def velocities(self, velocity: FloatArray) -> FloatArray:
        """Velocity of the expression from latent velocities `(n, d)`, float32 of shape `(n, genes)`.

        Raises
        ------
        InputError
            The result would take more than 2 GB.
        """
        return self._applied(velocity, np.zeros(len(self.genes)))

    def _applied(self, latent: FloatArray, shift: FloatArray) -> FloatArray:
        n, g = len(latent), len(self.genes)
        if n * g * 4 > _LIMIT:
            msg = (
                f"{n:,} cells by {g:,} genes take {n * g * 4 / 1024**3:.1f} GB, above the limit of {_LIMIT / 1024**3:.0f} GB; "
                f"ask for fewer genes (`genes=`, at most {_LIMIT // (4 * n):,} for so many cells) or for fewer cells."
            )
            raise InputError(msg)
        result = np.empty((n, g), dtype=np.float32)
        for rows in _blocks(n):
            # float64 and blocks of one width, so that a cell's result does not depend on the cells asked with it.
            block = np.zeros((_BLOCK, latent.shape[1]))
            block[: rows.stop - rows.start] = latent[rows]
            result[rows] = (block @ self.loadings.T + shift)[: rows.stop - rows.start]
        return result


@dataclass(frozen=True, eq=False)
class _Moments:
    """Means and central products of latent positions and expression: all that a linear regression needs."""

    n: int
    x: FloatArray  # (d,) mean
    y: FloatArray  # (genes,) mean
    xx: FloatArray  # (d, d)
    yx: FloatArray  # (genes, d)
    yy: FloatArray  # (genes,)

    @classmethod
    def of(cls, x: FloatArray, y: Any) -> _Moments:
        """Moments of one block, `y` dense or sparse."""
        mean_x = x.mean(axis=0) if len(x) else np.zeros(x.shape[1])
        centred = x - mean_x
        if sp.issparse(y):
            y = y.tocsr().astype(np.float64)
            mean_y = np.asarray(y.sum(axis=0)).ravel() / max(len(x), 1)
            yy = np.asarray(y.multiply(y).sum(axis=0)).ravel() - len(x) * mean_y**2
        else:
            y = np.asarray(y, dtype=np.float64)
            mean_y = y.sum(axis=0) / max(len(x), 1)
            yy = ((y - mean_y) ** 2).sum(axis=0)
        return cls(len(x), mean_x, mean_y, centred.T @ centred, y.T @ centred, yy)

    def __add__(self, other: _Moments) -> _Moments:
        """Moments of both blocks together (Chan, Golub and LeVeque 1979)."""
        n = self.n + other.n
        share, both = other.n / max(n, 1), self.n * other.n / max(n, 1)
        dx, dy = other.x - self.x, other.y - self.y
        return _Moments(
            n,
            self.x + share * dx,
            self.y + share * dy,
            self.xx + other.xx + both * np.outer(dx, dx),
            self.yx + other.yx + both * np.outer(dy, dx),
            self.yy + other.yy + both * dy**2,
        )

    def ridge(self) -> FloatArray:
        """Weights `(genes, d)` of the ridge regression of expression on positions."""
        d = len(self.x)
        penalty = max(_RIDGE * float(np.trace(self.xx)) / d, np.finfo(float).tiny)
        return np.asarray(np.linalg.solve(self.xx + penalty * np.eye(d), self.yx.T).T)

    def errors(self, axes: FloatArray, trained: _Moments) -> FloatArray:
        """Summed squared errors per gene, on these cells, of the affine map with `axes` through the means of `trained`."""
        bias = (self.y - trained.y) - axes @ (self.x - trained.x)
        explained = 2 * (axes * self.yx).sum(axis=1) - ((axes @ self.xx) * axes).sum(axis=1)
        return np.asarray(self.yy - explained + self.n * bias**2)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))


def _moments(x: FloatArray, expression: Rows, genes: np.ndarray) -> tuple[_Moments, _Moments]:
    """Moments of the cells to train on and of those kept out."""
    d, g = x.shape[1], len(genes)
    train = test = _Moments(0, np.zeros(d), np.zeros(g), np.zeros((d, d)), np.zeros((g, d)), np.zeros(g))
    for rows in _blocks(len(x)):
        block = expression[rows]
        kept_out = np.arange(rows.start, rows.stop) % _FOLDS == _FOLDS - 1
        with np.errstate(invalid="ignore", over="ignore"):  # of infinities, which are named below
            train = train + _Moments.of(x[rows][~kept_out], block[~kept_out])
            test = test + _Moments.of(x[rows][kept_out], block[kept_out])
    bad = np.flatnonzero(~np.isfinite(train.yy + test.yy))
    if len(bad):
        msg = f"Expression of {len(bad)} genes is not finite (first: {str(genes[bad[0]])!r}); remove them or fill their gaps."
        raise InputError(msg)
    return train, test


def _reproduces(x: FloatArray, expression: Rows, axes: FloatArray) -> bool:
    """Whether the expression projected on `axes` is `x` up to a shift, judged on one block of evenly spaced cells."""
    if axes.shape != (expression.shape[1], x.shape[1]) or not np.isfinite(axes).all():
        return False
    rows = slice(0, len(x), max(1, len(x) // _BLOCK))
    projected = np.asarray(expression[rows] @ axes)
    there = np.asarray(x[rows], dtype=np.float64)
    residual = (projected - projected.mean(axis=0)) - (there - there.mean(axis=0))
    return bool(np.linalg.norm(residual) <= _RTOL * np.linalg.norm(there - there.mean(axis=0)))


def _share(errors: FloatArray, total: FloatArray, axes: FloatArray) -> float:
    """Share of the variance that is decoded, over the genes that are."""
    decoded = (axes != 0).any(axis=1)
    spread = float(total[decoded].sum())
    return 1.0 - float(errors[decoded].sum()) / spread if spread > 0 else 0.0
