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
    spread_of_directions,
)
from cellflow.core._spread import spread
from cellflow.core._typing import BoolArray, FloatArray, IntArray

__all__ = ["Against", "Combined", "PValues", "Part", "against_of", "combined", "scored"]

#: Smallest p-value that is distinguished.
_SMALLEST = 1e-300


@dataclass(frozen=True, eq=False)
class PValues:
    """p-values of genes, each of shape `(g,)`.

    Parameters
    ----------
    p, q
        p-values, and those adjusted for the false discovery rate; NaN for genes that have none.
    z
        The normal quantile of the p-value, with the sign of the effect; 0 where it has none.
    """

    p: FloatArray
    q: FloatArray
    z: FloatArray

    @classmethod
    def of(cls, p: FloatArray, sign: FloatArray) -> PValues:
        """Of p-values and the signs of the effects."""
        from scipy.stats import norm

        known = np.isfinite(p)
        z = np.zeros(len(p))
        z[known] = sign[known] * norm.isf(0.5 * np.maximum(p[known], _SMALLEST))
        return cls(p, adjusted(p), z)


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a driver, each of shape `(g,)`.

    Parameters
    ----------
    value, se
        The effect, and its standard error.
    zero
        Against zero.
    matched
        Against zero, and against comparable genes.
    """

    value: FloatArray
    se: FloatArray
    zero: PValues
    matched: PValues


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
    directions
        Dimensions in which the genes vary; see `spread_of_directions`.
    name
        `"genes"`, comparable ones, or `"directions"` where too few genes can be decoded.
    """

    features: FloatArray
    kind: np.ndarray
    n_dims: int
    directions: float
    name: str

    def matched(self, effect: Effect, rows: IntArray) -> FloatArray:
        """p-values of some genes against comparable ones, `(m,)`."""
        if len(rows) == 0:
            return np.zeros(0)
        value = effect.value[rows]
        most = effect.most[rows]
        cosine = np.divide(
            np.square(value), np.square(most), out=np.ones_like(value), where=most > 0
        )
        cosine = np.minimum(cosine, 1.0)
        if self.name == "genes":
            middle = np.median(cosine[comparable(self.features[rows], self.kind[rows])], axis=1)
            dims = dimension_at(middle)
        else:
            dims = np.minimum(dimension_at(np.median(cosine, keepdims=True)), self.n_dims)
        return self._p(effect, rows, dims)

    def of_single_flow(self, effect: Effect, rows: IntArray) -> FloatArray:
        """p-values of some genes against a fate of any direction in which genes vary, `(m,)`."""
        return self._p(effect, rows, self.directions)

    def _p(self, effect: Effect, rows: IntArray, dims: FloatArray | float) -> FloatArray:
        value = effect.value[rows]
        noise = np.broadcast_to(effect.noise, effect.value.shape)[rows]
        p = p_of_directions(value, effect.most[rows], dims, noise)
        return np.where(value == 0.0, 1.0, p)


def against_of(
    features: FloatArray, kinds: np.ndarray, decodable: BoolArray, latent: FloatArray
) -> Against:
    """What genes are compared with: comparable ones, where enough can be decoded.

    Parameters
    ----------
    features, kinds
        See `Against`.
    decodable
        Which genes can be decoded, shape `(g,)`.
    latent
        Correlations of each with the whitened state, shape `(g, d)`.
    """
    name = "genes" if decodable.sum() >= FEW else "directions"
    return Against(features, kinds, latent.shape[1], spread_of_directions(latent[decodable]), name)


def scored(effect: Effect, against: Against, degrees: float, *, decodable: BoolArray) -> Part:
    """Test an effect against zero, and against comparable genes too.

    A single flow does not say how sure it is. Its fates are smooth in the state whatever they are,
    so an effect of it also has to be larger than that in a random direction.

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
    variances = _variances(effect, degrees)
    se = np.sqrt(np.sum([variance for variance, _ in variances], axis=0))
    tested = variances
    if effect.samples is not None:
        # Not those between members: they differ by a vector of the state each, which all genes
        # share, so that many genes say no more about its size than one.
        tested = [moderated(*variances[0]), *variances[1:]]
    zero = np.where(decodable, 1.0, np.nan)
    matched = zero.copy()
    rows: IntArray = np.flatnonzero(decodable & np.isfinite(effect.value))
    zero[rows] = p_of_chance(effect.value[rows], [(v[rows], d) for v, d in tested])
    matched[rows] = np.maximum(zero[rows], against.matched(effect, rows))
    if len(effect.members) == 0:
        zero[rows] = np.maximum(zero[rows], against.of_single_flow(effect, rows))
    sign = np.sign(effect.value)
    return Part(
        np.where(decodable, effect.value, np.nan),
        np.where(decodable, se, np.nan),
        PValues.of(zero, sign),
        PValues.of(matched, sign),
    )


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
    """The parts of drivers together.

    Parameters
    ----------
    score
        Median of their effects, shape `(g,)`: each shrunk by its standard error, and relative to
        its typical size among the genes.
    rank
        By the size of the score, shape `(g,)`; 1 is the largest, and equal ones share the better
        rank.
    zero, matched
        As of a part.
    """

    score: FloatArray
    rank: IntArray
    zero: PValues
    matched: PValues


def combined(parts: Sequence[Part]) -> Combined:
    """Medians of the parts: of their effects for the score and the rank, of their z-values for p.

    A part that a gene does not have counts as zero, so that two parts at least have to agree, in
    their sign too. p is that of the partial conjunction, that at least two parts are not zero:
    twice the second smallest p-value. Genes with one part have none.

    References
    ----------
    Benjamini and Heller, Screening for partial conjunction hypotheses, Biometrics 2008.
    """
    from scipy.stats import rankdata

    score = np.asarray(np.median([_relative(part) for part in parts], axis=0))
    rank = np.asarray(rankdata(-np.round(np.abs(score), 12), method="min"), dtype=np.int64)
    return Combined(
        score,
        rank,
        _conjunction([part.zero for part in parts]),
        _conjunction([part.matched for part in parts]),
    )


def _conjunction(parts: Sequence[PValues]) -> PValues:
    """That at least two of three parts are there, with one sign."""
    from scipy.stats import norm

    z = np.median([part.z for part in parts], axis=0)
    several = np.sum([np.isfinite(part.p) for part in parts], axis=0) > 1
    p = np.where(several, np.minimum(1.0, 2.0 * 2.0 * norm.sf(np.abs(z))), np.nan)
    return PValues.of(p, np.sign(z))


def _relative(part: Part) -> FloatArray:
    r"""Effects :math:`b^3 / (b^2 + s^2)`, relative to their median size; zero where there is none.

    An effect that is no larger than its standard error keeps half of its size.
    """
    square = np.square(part.value)
    total = square + np.square(part.se)
    known = np.isfinite(total) & (total > 0)
    shrunk = np.zeros(len(total))
    shrunk[known] = part.value[known] * square[known] / total[known]
    size = np.abs(shrunk[shrunk != 0.0])
    return np.asarray(shrunk / (float(np.median(size)) if len(size) else 1.0))
