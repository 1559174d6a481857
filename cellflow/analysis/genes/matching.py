"""Genes that are alike in how strongly they are expressed and how well they are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Alike", "rank_p"]

#: Relative rounding of values that simulations in single precision give.
_EQUAL = 1e-4
#: Size below which a value is the rounding of zero.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Alike:
    """Genes by what a random gene has to share with a chosen one.

    Parameters
    ----------
    traits
        One row for each gene: its mean expression, the share of its variance that the
        representation decodes, and its leverage, shape `(g, t)`. Genes are compared by their ranks
        in each.
    """

    traits: FloatArray

    def nearest(self, gene: int, without: IntArray, n: int) -> IntArray:
        """The `n` genes most alike a gene, or all there are, without some; the nearest first."""
        from scipy.stats import rankdata

        ranks = rankdata(self.traits, axis=0)
        distance = np.abs(ranks - ranks[gene]).sum(axis=1)
        distance[without] = np.inf
        distance[gene] = np.inf
        order = np.argsort(distance, kind="stable")[:n]
        return np.asarray(order[np.isfinite(distance[order])])

    def ranks_of(self, size: FloatArray, n: int) -> FloatArray:
        """p-value of each gene among the `n` most alike it, by some sizes `(q, g)`, shape `(q, g)`.

        The gene itself counts too. NaN where there is no other gene, or a size is not known.
        """
        from scipy.spatial import cKDTree
        from scipy.stats import rankdata

        ranks = rankdata(self.traits, axis=0)
        k = min(n + 1, len(ranks))
        if k == 1:
            return np.full(size.shape, np.nan)
        _, rows = cKDTree(ranks).query(ranks, np.arange(1, k + 1), p=1)
        # The gene is among them itself, unless more than `n` others have the same ranks.
        others = size[:, rows]
        own = rows == np.arange(len(ranks))[:, None]
        larger = ~(others < size[:, :, None] * (1.0 - _EQUAL)) & ~own
        p = (1 + larger.sum(axis=2)) / (1 + (~own).sum(axis=1))
        return np.where(np.isnan(size), np.nan, p)

    def sets(self, genes: IntArray, n: int) -> IntArray:
        """`n` sets of genes alike some, or as many as there are, shape `(m, len(genes))`.

        The sets share no gene.
        """
        taken: IntArray = np.asarray(genes)
        columns = []
        for k, gene in enumerate(genes.tolist()):
            left = len(self.traits) - len(taken)
            some = self.nearest(gene, taken, min(n, left // (len(genes) - k)))
            taken = np.concatenate([taken, some])
            columns.append(some)
        m = min(map(len, columns))
        return np.stack([column[:m] for column in columns], axis=1)


def rank_p(value: FloatArray, random: FloatArray) -> FloatArray:
    """Share of random values `(m, q)` at least as large as a value `(q,)`, which counts too.

    A random value that is not known counts as larger; of a value that is not known it is NaN.

    References
    ----------
    Phipson and Smyth, Permutation p-values should never be zero, 2010.
    """
    smaller = np.abs(random) < np.abs(value) * (1.0 - _EQUAL) - _ROUNDING
    p = (1 + (~smaller).sum(axis=0)) / (1 + len(random))
    return np.where(np.isnan(value), np.nan, p)
