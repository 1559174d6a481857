"""The genes that a representation sees, among the cells of one time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.analysis.genes.edit import Edit
from cellflow.analysis.genes.response import (
    Kind,
    covariance_of,
    joint_response,
    kinds_of,
    leverage,
    responses,
)
from cellflow.core._typing import BoolArray, FloatArray, IntArray
from cellflow.core.decoder import Decoder

__all__ = ["Seen"]

#: Relative size of a variance that is rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class Seen:
    """Decoded genes and the cells of one time.

    Parameters
    ----------
    decoder
        Of the genes that can be decoded, `g` of them.
    all_loadings
        Of all genes of the fit, shape `(n_genes, d)`.
    centre
        Mean of the cells, shape `(d,)`.
    covariance
        Of the cells, shape `(d, d)`.
    kind
        What changes with a gene; see `cellflow.analysis.genes.response`.
    """

    decoder: Decoder
    all_loadings: FloatArray
    centre: FloatArray
    covariance: FloatArray
    kind: Kind

    @classmethod
    def among(
        cls,
        decoder: Decoder,
        all_loadings: FloatArray,
        x: FloatArray,
        weight: FloatArray,
        kind: Kind,
    ) -> Seen:
        """Of the weighted cells `(n, d)` of one time.

        Raises
        ------
        InputError
            Fewer than two cells with a weight, or no such kind.
        """
        kinds_of(decoder.loadings[:1], all_loadings, kind)
        x = np.asarray(x, dtype=np.float64)
        centre = np.asarray(weight @ x / weight.sum())
        return cls(decoder, all_loadings, centre, covariance_of(x, weight), kind)

    @property
    def sd(self) -> FloatArray:
        """Standard deviation of the decoded expression of each gene, shape `(g,)`."""
        loadings = self.decoder.loadings
        variance = np.einsum("gi,ij,gj->g", loadings, self.covariance, loadings)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    @property
    def varies(self) -> BoolArray:
        """Whether each gene varies among the cells, but for rounding, shape `(g,)`."""
        loadings = self.decoder.loadings
        largest = np.trace(self.covariance) * np.square(loadings).sum(axis=1)
        return np.asarray(np.square(self.sd) > _ROUNDING * largest)

    @property
    def level(self) -> FloatArray:
        """Mean of the decoded expression of each gene, shape `(g,)`."""
        return np.asarray(self.decoder.mean + self.decoder.loadings @ self.centre)

    @property
    def r2(self) -> FloatArray:
        """Share of each gene's variance that is decoded, on cells kept out, `(g,)`, or NaN."""
        known = self.decoder.gene_r2
        return np.full(len(self.decoder.genes), np.nan) if known is None else known

    @property
    def leverage(self) -> FloatArray:
        """How much of a change of each gene alone the representation can express, `(g,)`."""
        return leverage(self.decoder.loadings, self.all_loadings)

    @property
    def kinds(self) -> np.ndarray:
        """`"covariance"` or `"alone"` for each gene by itself, shape `(g,)`."""
        return kinds_of(self.decoder.loadings, self.all_loadings, self.kind)

    @property
    def responses(self) -> FloatArray:
        """Change of the state for one unit of each gene by itself, `(g, d)`; see `responses`."""
        return responses(
            self.decoder.loadings,
            kind=self.kind,
            covariance=self.covariance,
            all_loadings=self.all_loadings,
        )

    @property
    def traits(self) -> FloatArray:
        """What genes are matched by: level, decoded share of the variance, leverage, `(g, 3)`."""
        return np.column_stack([self.level, np.nan_to_num(self.r2), self.leverage])

    def only(self, genes: IntArray) -> Seen:
        """Some of the genes, by their numbers."""
        return Seen(
            self.decoder.only(genes), self.all_loadings, self.centre, self.covariance, self.kind
        )

    def decoded(self, x: FloatArray) -> FloatArray:
        """Decoded expression of cells `(n, d)`, float64 of shape `(n, g)`."""
        return np.asarray(
            self.decoder.mean + np.asarray(x, dtype=np.float64) @ self.decoder.loadings.T
        )

    def edit(self, value: FloatArray) -> Edit:
        """Give all of these genes the values `(n, g)`.

        Raises
        ------
        InputError
            Genes that cannot be set independently of each other.
        """
        loadings = np.asarray(self.decoder.loadings, dtype=np.float64)
        response = joint_response(
            loadings, kind=self.kind, covariance=self.covariance, all_loadings=self.all_loadings
        )
        return Edit(np.asarray(self.decoder.mean, dtype=np.float64), loadings, response, value)
