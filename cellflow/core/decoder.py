"""From the latent representation to genes, with the share of each gene that is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._moments import FOLDS, RIDGES, Expression, Moments, folds_of, moments
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError

__all__ = ["MIN_R2", "Decoder", "Expression", "require_room"]

#: Held-out R2 from which a gene counts as decodable. On seven data sets of 100 to 1,805 cells, less
#: than one in a thousand genes reached it after its values were permuted, and 400 to 3,000 genes of
#: each transcriptome did as they were.
MIN_R2 = 0.1
#: A more complex map of a gene (mean, loadings, ridge) must gain so much R2 over a simpler one;
#: less is chance of the folds.
_MARGIN = 0.01
#: Rows that are decoded together; few, because they are in float64 beside a result in float32.
_WIDTH = 128
#: Bytes of the products of genes and positions that are kept at once; with more, genes are taken in
#: several passes.
_PRODUCTS = 128 * 1024**2
#: A gene whose standard deviation is below this share of its mean is constant; float32 resolves
#: 6e-8.
_CONSTANT = 1e-6
#: Dense results above this many bytes are refused.
_LIMIT = 2 * 1024**3


@dataclass(frozen=True, eq=False, repr=False)
class Decoder(Compact):
    r"""The affine map :math:`y = m + W x` from latent positions to expression.

    Velocities follow by :math:`\dot y = W \dot x`.

    Parameters
    ----------
    mean
        Expression :math:`m` at the latent origin, shape `(genes,)`.
    loadings
        :math:`W`, shape `(genes, d)`; a gene with a row of zeros is decoded to its mean.
    genes
        Names of the genes, shape `(genes,)`.
    kind
        `"loadings"` or `"ridge"` where all genes that vary with the representation are decoded by
        these, else `"mixed"`.
    r2
        Share of the variance of these genes that is decoded, on cells kept out of the estimate.
    gene_r2
        The same for every gene, shape `(genes,)`, zero for those decoded to their mean; None where
        it was not measured, as in fits of cellflow 0.1.0.
    """

    mean: FloatArray
    loadings: FloatArray
    genes: np.ndarray
    kind: Literal["loadings", "ridge", "mixed"]
    r2: float
    gene_r2: FloatArray | None = None

    @classmethod
    def fitted(
        cls,
        x: FloatArray,
        expression: Expression,
        genes: Sequence[str],
        *,
        loadings: FloatArray | None = None,
    ) -> Decoder:
        r"""Decode every gene by its loadings, by ridge regression or by its mean.

        The one that best predicts cells kept out is taken, and estimated from all cells. Cells are
        split into five parts by their positions, whatever the order of the rows. The model of each
        part comes from the other four, and a gene's :math:`R^2` is one minus the sum of squared
        errors relative to that of the mean. Principal axes are an ordinary regression on cells that
        include the part: they are judged with the change that leaving it out makes to that
        regression.

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
        found = tuple(expression.shape)
        expected = (len(x), len(names))
        if found != expected:
            msg = f"Expression has shape {found}; expected {expected}, the cells of `x` by `genes`."
            raise InputError(msg)
        x = np.asarray(x, dtype=np.float64)
        axes = np.zeros((len(names), x.shape[1]))
        if loadings is not None and _fit(loadings, axes.shape):
            axes = np.asarray(loadings, dtype=np.float64)[:, : x.shape[1]]
        folds = folds_of(x)
        width = max(1, _PRODUCTS // (8 * FOLDS * x.shape[1]))
        chunks = (slice(start, start + width) for start in range(0, max(1, len(names)), width))
        parts = [
            _estimated(moments(x, expression, names, folds, chunk), axes[chunk]) for chunk in chunks
        ]
        mean, maps, errors, total, by_ridge = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        varying = (maps != 0).any(axis=1)
        kind: Literal["loadings", "ridge", "mixed"] = "loadings"
        if (by_ridge & varying).any() or loadings is None:
            kind = "mixed" if (varying & ~by_ridge).any() else "ridge"
        spread = float(total[varying].sum())
        r2 = 1.0 - float(errors[varying].sum()) / spread if spread > 0 else 0.0
        gene_r2 = np.where(varying, 1.0 - errors / np.where(varying, total, 1.0), 0.0)
        return cls(mean, maps, names, kind, r2, gene_r2)

    @classmethod
    def from_state(cls, config: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> Decoder:
        """Rebuild a decoder from its plain values and its arrays."""
        known = (np.asarray(config["genes"], dtype=str), config["kind"], config["r2"])
        return cls(arrays["mean"], arrays["loadings"], *known, arrays.get("gene_r2"))

    @property
    def decodable(self) -> np.ndarray:
        """Genes with a held-out R2 of at least 0.1, `(genes,)`; without R2, those that vary."""
        if self.gene_r2 is None:
            return np.asarray((self.loadings != 0).any(axis=1))
        return np.asarray(self.gene_r2 >= MIN_R2)

    def only(self, rows: IntArray) -> Decoder:
        """Return the decoder of some genes, by their positions."""
        affine = (self.mean[rows], self.loadings[rows])
        gene_r2 = None if self.gene_r2 is None else self.gene_r2[rows]
        return Decoder(*affine, self.genes[rows], self.kind, self.r2, gene_r2)

    def positions(self, x: FloatArray) -> FloatArray:
        """Expression at latent positions `(n, d)`, float32 of shape `(n, genes)`.

        Raises
        ------
        InputError
            The result would take more than 2 GB.
        """
        return self._applied(x, self.mean)

    def velocities(self, velocity: FloatArray) -> FloatArray:
        """Velocity of expression from latent velocities `(n, d)`, float32 of shape `(n, genes)`.

        Raises
        ------
        InputError
            The result would take more than 2 GB.
        """
        return self._applied(velocity, np.zeros(len(self.genes)))

    def _applied(self, latent: FloatArray, shift: FloatArray) -> FloatArray:
        n = len(latent)
        g = len(self.genes)
        require_room(n, g, "Choose genes with Decoder.only, or decode fewer cells at once.")
        result = np.empty((n, g), dtype=np.float32)
        for start in range(0, n, _WIDTH):
            # float64 and blocks of one width: a cell's result does not depend on the other cells.
            rows = latent[start : start + _WIDTH]
            block = np.zeros((_WIDTH, latent.shape[1]))
            block[: len(rows)] = rows
            decoded = block @ self.loadings.T
            decoded += shift
            result[start : start + _WIDTH] = decoded[: len(rows)]
        return result


def require_room(n: int, genes: int, remedy: str, *, bytes_per_value: float = 4) -> None:
    """Make sure that values of `n` cells by so many genes stay within 2 GB.

    Raises
    ------
    InputError
        They do not; the message ends in the remedy.
    """
    size = n * genes * bytes_per_value
    if size > _LIMIT:
        msg = (
            f"{n:,} cells by {genes:,} genes take {size / 1024**3:.2f} GB. Expected at most"
            f" {_LIMIT / 1024**3:.0f} GB, or {int(_LIMIT // (bytes_per_value * n)):,} genes of so"
            f" many cells. {remedy}"
        )
        raise InputError(msg)


def _estimated(
    parts: Sequence[Moments], axes: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, np.ndarray]:
    """Means, maps, held-out errors of the maps and of the means alone, and which maps are ridge."""
    everything = reduce(add, parts)
    ordinary, *ridges = everything.maps()
    known = (axes != 0).any(axis=1)
    # A gene that is itself a dimension has a known map; nothing about it was estimated from the
    # cells.
    copied = (axes == 1).any(axis=1) & ((axes != 0).sum(axis=1) == 1)
    seen = (known & ~copied)[:, None]
    total = np.zeros(len(axes))
    errors = np.zeros((1 + len(RIDGES), len(axes)))
    for i, test in enumerate(parts if len(parts) > 1 else ()):
        train = reduce(add, (part for k, part in enumerate(parts) if k != i))
        without, *others = train.maps()
        total += test.errors(np.zeros_like(axes), train)
        for k, candidate in enumerate([axes + np.where(seen, without - ordinary, 0.0), *others]):
            errors[k] += test.errors(candidate, train)
    constant = total <= everything.n * (_CONSTANT * everything.y) ** 2
    worst = np.where(constant, 1.0, total)
    # In the order of their simplicity: the mean, the loadings where there are any, and the best of
    # the regressions.
    by_loadings = known & ~constant & (errors[0] < (1 - _MARGIN) * worst)
    best = np.where(by_loadings, errors[0], worst)
    ridge = errors[1:].argmin(axis=0)
    lowest = errors[1:].min(axis=0)
    by_ridge = ~constant & (lowest < best - _MARGIN * worst)
    maps = np.where(by_loadings[:, None], axes, 0.0)
    for k, candidate in enumerate(ridges):
        chosen = by_ridge & (ridge == k)
        maps[chosen] = candidate[chosen]
    mean = everything.y - maps @ everything.x
    return mean, maps, np.where(by_ridge, lowest, best), worst, by_ridge


def _fit(loadings: FloatArray, shape: tuple[int, int]) -> bool:
    """Whether loadings are a finite matrix of as many genes and at least as many dimensions."""
    found = np.shape(loadings)
    return (
        len(found) == 2
        and found[0] == shape[0]
        and found[1] >= shape[1]
        and bool(np.isfinite(loadings).all())
    )
