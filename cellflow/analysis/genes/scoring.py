"""p-values of the parts of a driver, and the parts together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.analysis.comparison.resampling import adjusted
from cellflow.analysis.genes.latent_effects import Effect
from cellflow.analysis.genes.nulls import (
    FEW,
    comparable,
    dimension_at,
    moderated,
    p_of_chance,
    p_of_directions,
)
from cellflow.core._spread import spread
from cellflow.core._typing import BoolArray, FloatArray, IntArray

__all__ = ["Against", "Combined", "Part", "combined", "scored"]

#: Smallest p-value that is distinguished.
_SMALLEST = 1e-300


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a driver, each of shape `(g,)`.

    Parameters
    ----------
    value, se
        The effect, and its standard error.
    p, q
        Its p-value, and that adjusted for the false discovery rate; NaN for genes that have none.
    z
        The normal quantile of the p-value, with the sign of the effect; 0 where it has none.
    """

    value: FloatArray
    se: FloatArray
    p: FloatArray
    q: FloatArray
    z: FloatArray


@dataclass(frozen=True, eq=False)
class Against:
    """What a gene is compared with.

    Parameters
    ----------
    features
        Of the genes, by which they are comparable, shape `(g, f)`.
    kind
        Of their responses; genes of another kind are not comparable, shape `(g,)`.
    n_dims
        Of the state.
    name
        `"genes"`, comparable ones, or `"directions"` where too few genes can be decoded.
    """

    features: FloatArray
    kind: np.ndarray
    n_dims: int
    name: str

    @classmethod
    def of(
        cls, features: FloatArray, kinds: np.ndarray, decodable: BoolArray, n_dims: int
    ) -> Against:
        """Compare with comparable genes where enough can be decoded."""
        name = "genes" if decodable.sum() >= FEW else "directions"
        return cls(features, kinds, n_dims, name)

    def p(self, effect: Effect, rows: IntArray) -> FloatArray:
        """p-values of some genes, `(m,)`."""
        if len(rows) == 0:
            return np.zeros(0)
        value = effect.value[rows]
        most = effect.most[rows]
        noise = np.broadcast_to(effect.noise, effect.value.shape)[rows]
        cosine = np.divide(
            np.square(value), np.square(most), out=np.ones_like(value), where=most > 0
        )
        cosine = np.minimum(cosine, 1.0)
        if self.name == "genes":
            middle = np.median(cosine[comparable(self.features[rows], self.kind[rows])], axis=1)
            dims = dimension_at(middle)
        else:
            dims = np.minimum(dimension_at(np.median(cosine, keepdims=True)), self.n_dims)
        return np.where(value == 0.0, 1.0, p_of_directions(value, most, dims, noise))


def scored(effect: Effect, against: Against, degrees: float, *, decodable: BoolArray) -> Part:
    """Test an effect against comparable genes, and against zero; the larger p-value counts.

    Parameters
    ----------
    effect
        Of each gene.
    against
        What it is compared with.
    degrees
        Of freedom between members of an ensemble.
    decodable
        Genes that can have one; others have no p-value. Of these, one that is constant has p = 1.
    """
    from scipy.stats import norm

    variances = _variances(effect, degrees)
    se = np.sqrt(np.sum([variance for variance, _ in variances], axis=0))
    # Members differ by one vector of the state each, whatever the number of genes.
    most = degrees * against.n_dims
    limits = [np.inf, most][: len(variances)]
    drawn = [moderated(v, d, limit) for (v, d), limit in zip(variances, limits, strict=True)]
    p = np.where(decodable, 1.0, np.nan)
    rows: IntArray = np.flatnonzero(decodable & np.isfinite(effect.value))
    chance = p_of_chance(effect.value[rows], [(v[rows], d) for v, d in drawn])
    p[rows] = np.maximum(against.p(effect, rows), chance)
    z = np.zeros(len(p))
    z[rows] = np.sign(effect.value[rows]) * norm.isf(0.5 * np.maximum(p[rows], _SMALLEST))
    value = np.where(decodable, effect.value, np.nan)
    return Part(value, np.where(decodable, se, np.nan), p, adjusted(p), z)


def _variances(effect: Effect, degrees: float) -> list[tuple[FloatArray, float]]:
    """Variances by cells or samples, then between members, with their degrees of freedom."""
    found = [(effect.cells, max(effect.n_cells - 1.0, 1.0))]
    if effect.samples is not None:
        known = np.isfinite(effect.samples)
        n = known.sum(axis=0)
        mean = np.where(known, effect.samples, 0.0).sum(axis=0) / np.maximum(n, 1)
        off = np.where(known, effect.samples - mean, 0.0)
        variance = (off**2).sum(axis=0) / np.maximum(n - 1, 1) / np.maximum(n, 1)
        # With one sample nothing is known about the others.
        found = [(np.where(n > 1, variance, np.inf), len(effect.samples) - 1.0)]
    if len(effect.members):
        found.append((spread(effect.members).se ** 2, degrees))
    return found


@dataclass(frozen=True, eq=False)
class Combined:
    """The parts of drivers together, each of shape `(g,)`.

    Parameters
    ----------
    score
        Median of their effects, each relative to its typical size among the genes.
    p, q
        p-value, and that adjusted for the false discovery rate.
    rank
        By the size of the score; 1 is the largest, and equal ones share the better rank.
    """

    score: FloatArray
    p: FloatArray
    q: FloatArray
    rank: IntArray


def combined(parts: Sequence[Part]) -> Combined:
    """Medians of the parts: of their effects for the score and the rank, of their z-values for p.

    A part that a gene does not have counts as zero, so that two parts at least have to agree, in
    their sign too. The p-value is that of the partial conjunction, that at least two parts are not
    zero: right where parts depend on each other completely, and too large otherwise. Genes with one
    part have none.

    References
    ----------
    Benjamini and Heller, Screening for partial conjunction hypotheses, Biometrics 2008.
    """
    from scipy.stats import norm, rankdata

    score = np.asarray(np.median([_relative(part.value) for part in parts], axis=0))
    z = np.median([part.z for part in parts], axis=0)
    several = np.sum([np.isfinite(part.p) for part in parts], axis=0) > 1
    p = np.where(several, 2.0 * norm.sf(np.abs(z)), np.nan)
    rank = np.asarray(rankdata(-np.round(np.abs(score), 12), method="min"), dtype=np.int64)
    return Combined(score, p, adjusted(p), rank)


def _relative(value: FloatArray) -> FloatArray:
    """Effects relative to their median size, zero where there is none."""
    size = np.abs(value[np.isfinite(value) & (value != 0.0)])
    typical = float(np.median(size)) if len(size) else 1.0
    return np.asarray(np.nan_to_num(value / typical))
