r"""Association of measured expression with fate among cells of the same time.

Expression and the probability of the fate are replaced by their ranks within a stratum: the cells
of one time, of one condition, and, where samples are known, of one sample. Ranks are centred there,
and products are summed over all strata, so the result is the partial rank correlation given the
strata. A gene that only follows time, or differs only between samples, has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Association", "Stratum", "associations", "partial_correlation", "strata_of"]

#: Genes that are ranked together; of 10,000 cells they take 20 MB.
_BLOCK = 256
#: Cells of a stratum, at least; ranks of fewer say nothing.
_LEAST = 5
#: Values that differ by less than this share of the largest are ties: rounding of sums.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Stratum:
    """Cells that are compared with each other.

    Parameters
    ----------
    rows
        Of the cells, shape `(n,)`.
    weight
        Their weights, of sum `n`, shape `(n,)`.
    sample
        Number of the sample they are of; 0 where none is known.
    """

    rows: IntArray
    weight: FloatArray
    sample: int = 0

    @property
    def effective(self) -> float:
        """Effective number of cells (Kish)."""
        return float(len(self.rows) ** 2 / (self.weight**2).sum())

    def ranks(self, values: FloatArray) -> FloatArray:
        """Centred midranks of the columns of `(n, m)`, between -1 and 1; zero for constants."""
        from scipy.stats import rankdata

        size = np.abs(values).max(axis=0, initial=0.0)
        step = np.where(size > 0, size * _ROUNDING, 1.0)
        found = rankdata(np.round(values / step), axis=0) / len(values)
        centred = found - self.weight @ found / self.weight.sum()
        return np.where(np.ptp(found, axis=0) > 0, centred, 0.0)


def strata_of(
    rows: IntArray, kinds: FloatArray, weight: FloatArray, sample: IntArray | None = None
) -> list[Stratum]:
    """Strata of cells that agree in all of their kinds; those of fewer than five are left out.

    Parameters
    ----------
    rows
        Of the cells, shape `(n,)`.
    kinds
        Time and features of the condition of each, shape `(n, c)`.
    weight
        Of each, shape `(n,)`.
    sample
        Number of the sample of each, shape `(n,)`, or None.
    """
    number = np.zeros(len(rows), dtype=np.int64) if sample is None else sample
    every = np.column_stack([kinds, number])
    _, member = np.unique(every, axis=0, return_inverse=True)
    found = []
    for k in range(member.max(initial=-1) + 1):
        own = np.flatnonzero((member.reshape(-1) == k) & (weight > 0))
        if len(own) >= _LEAST:
            share = weight[own] * (len(own) / weight[own].sum())
            found.append(Stratum(rows[own], share, int(number[own[0]])))
    return found


@dataclass(frozen=True, eq=False)
class Association:
    """Partial rank correlations of genes with a fate.

    Parameters
    ----------
    value
        Of each gene, shape `(g,)`; NaN where it is constant in every stratum.
    members
        By the fates of each member of an ensemble, shape `(k, g)`; `k` is zero for a single flow.
    samples
        Within each sample, shape `(s, g)`; NaN where a gene is constant in it.
    cells_se
        Standard error from the number of cells, shape `(g,)`.
    mean, sd
        Of the expression within the strata, shape `(g,)`.
    latent
        Correlations of each gene's ranks with the whitened positions, shape `(g, d)`.
    fate_latent
        Correlations of the fate's ranks with them, shape `(d,)`.
    """

    value: FloatArray
    members: FloatArray
    samples: FloatArray
    cells_se: FloatArray
    mean: FloatArray
    sd: FloatArray
    latent: FloatArray
    fate_latent: FloatArray


class _Sums:
    """Sums of products over strata, by sample, for some of the genes."""

    def __init__(self, n_samples: int, n_fates: int, n_genes: int, n_dims: int) -> None:
        self.fate_gene = np.zeros((n_samples, n_fates, n_genes))
        self.gene = np.zeros((n_samples, n_genes))
        self.fate = np.zeros((n_samples, n_fates))
        self.gene_x = np.zeros((n_genes, n_dims))
        self.first = np.zeros(n_genes)
        self.second = np.zeros(n_genes)

    def add(self, s: int, stratum: Stratum, y: FloatArray, fate: FloatArray, x: FloatArray) -> None:
        """Add a stratum: expression `(n, g)`, ranks of fates `(n, m)`, positions `(n, d)`."""
        ranks = stratum.ranks(y)
        weighted = ranks * stratum.weight[:, None]
        self.fate_gene[s] += fate.T @ weighted
        self.gene[s] += np.einsum("ng,ng->g", ranks, weighted)
        self.fate[s] += stratum.weight @ fate**2
        self.gene_x += weighted.T @ x
        mean = stratum.weight @ y / len(y)
        self.first += mean * len(y)
        self.second += stratum.weight @ (y - mean) ** 2


def associations(
    strata: list[Stratum],
    fate: FloatArray,
    x: FloatArray,
    expression: Callable[[slice], FloatArray],
    n_genes: int,
) -> Association:
    """Correlate genes with a fate.

    Parameters
    ----------
    strata
        Of cells, by rows of the arrays below.
    fate
        Probabilities of the fate, shape `(n, 1 + k)`: of the flow, then of its members.
    x
        Positions, shape `(n, d)`.
    expression
        Of some genes, `slice -> (n, g)`.
    n_genes
        Number of genes.
    """
    names, place = np.unique([stratum.sample for stratum in strata], return_inverse=True)
    ranked = [stratum.ranks(fate[stratum.rows]) for stratum in strata]
    centred = [_centred(stratum, x) for stratum in strata]
    whiten = _whitening(strata, centred)
    parts = []
    for chunk in _chunks(n_genes):
        block = np.asarray(expression(chunk), dtype=np.float64)
        sums = _Sums(len(names), fate.shape[1], block.shape[1], x.shape[1])
        for s, stratum, f, z in zip(place, strata, ranked, centred, strict=True):
            sums.add(s, stratum, block[stratum.rows], f, z)
        parts.append(_of_sums(sums, whiten, sum(len(s.rows) for s in strata)))
    joined = [np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)]
    value, members, samples, mean, sd, latent = joined
    degrees = sum(stratum.effective - 1.0 for stratum in strata) - 1.0
    cells_se = (1.0 - value**2) / np.sqrt(max(degrees, 1.0))
    total = sum(stratum.weight @ f[:, 0] ** 2 for stratum, f in zip(strata, ranked, strict=True))
    product = sum(
        z.T @ (stratum.weight * f[:, 0])
        for stratum, f, z in zip(strata, ranked, centred, strict=True)
    )
    size = np.sqrt(total) if total > 0 else np.inf
    fate_latent = np.asarray(whiten @ product) / size
    return Association(value, members, samples, cells_se, mean, sd, latent.T, fate_latent)


def partial_correlation(product: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Correlations from sums of products and of squares; NaN where a square is zero."""
    size = np.sqrt(first * second)
    known = size > 0
    found = np.divide(product, size, out=np.full(np.shape(product), np.nan), where=known)
    return np.asarray(np.clip(found, -1.0, 1.0))


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))


def _centred(stratum: Stratum, x: FloatArray) -> FloatArray:
    here = np.asarray(x[stratum.rows], dtype=np.float64)
    return np.asarray(here - stratum.weight @ here / len(here))


def _whitening(strata: list[Stratum], centred: list[FloatArray]) -> FloatArray:
    """Symmetric `(d, d)` map after which the positions within strata have products of one."""
    products = sum(
        (z * stratum.weight[:, None]).T @ z for stratum, z in zip(strata, centred, strict=True)
    )
    values, vectors = np.linalg.eigh(products)
    kept = values > _ROUNDING * max(float(values[-1]), np.finfo(np.float64).tiny)
    root = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    return np.asarray((vectors * root) @ vectors.T)


def _of_sums(
    sums: _Sums, whiten: FloatArray, n: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Correlations, those by members, those by samples, means, deviations, and with positions."""
    by_sample = partial_correlation(sums.fate_gene[:, 0], sums.fate[:, :1], sums.gene)
    gene = sums.gene.sum(axis=0)
    pooled = partial_correlation(
        sums.fate_gene.sum(axis=0), sums.fate.sum(axis=0)[:, None], gene[None]
    )
    size = np.where(gene > 0, np.sqrt(gene), np.inf)
    latent = whiten @ sums.gene_x.T / size
    return pooled[0], pooled[1:], by_sample, sums.first / n, np.sqrt(sums.second / n), latent
