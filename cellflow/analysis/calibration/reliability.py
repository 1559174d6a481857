"""Predicted probabilities beside observed shares, in bins, and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.calibration.judged import Judged
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_PROBABLE", "Reliability", "wilson"]

#: Name of the group of each cell's most probable fate.
MOST_PROBABLE = "most probable"
#: Draws of the bootstrap at a time.
_AT_ONCE = 100
#: Multiples of the gaps that were found, of which those are kept that explain them.
_FACTORS = np.linspace(0.0, 3.0, 151)


@dataclass(frozen=True, eq=False)
class Reliability:
    r"""Sums over the cells of each clone, by group and bin of the predicted probability.

    Groups are each cell's most probable fate, first, and each fate. Bins are of equal width.

    Parameters
    ----------
    weight, predicted, observed
        Sums of the weights, and of weights times predicted probabilities and observed shares, shape
        `(n_units, n_groups, n_bins)`.
    cells
        Number of cells, shape `(n_groups, n_bins)`.

    References
    ----------
    Guo et al., On calibration of modern neural networks, ICML 2017 (the most probable class); Kull
    et al., Beyond temperature scaling, NeurIPS 2019 (each class).
    """

    weight: FloatArray
    predicted: FloatArray
    observed: FloatArray
    cells: np.ndarray

    @classmethod
    def of(cls, judged: Judged, probability: FloatArray, n_bins: int) -> Reliability:
        """Of probabilities `(n, k)` of the cells that are judged."""
        top = probability.argmax(axis=1)[:, None]
        p = np.concatenate([np.take_along_axis(probability, top, 1), probability], axis=1)
        y = np.concatenate([np.take_along_axis(judged.outcome, top, 1), judged.outcome], axis=1)
        bins = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
        groups = p.shape[1]
        shape = (judged.n_units, groups, n_bins)
        place = (judged.unit[:, None] * groups + np.arange(groups)) * n_bins + bins

        def sums(values: FloatArray) -> FloatArray:
            found = np.bincount(place.ravel(), values.ravel(), int(np.prod(shape)))
            return np.asarray(found, dtype=np.float64).reshape(shape)

        each = np.broadcast_to(judged.weight[:, None], p.shape)
        cells = sums(np.ones(p.shape)).sum(axis=0).astype(np.int64)
        return cls(sums(each), sums(each * p), sums(each * y), cells)

    @property
    def n_units(self) -> int:
        """Number of clones."""
        return len(self.weight)

    @staticmethod
    def groups(names: list[str]) -> np.ndarray:
        """Names of the groups, by those of the fates, shape `(n_groups,)`."""
        return np.array([MOST_PROBABLE, *names], dtype=object)

    @property
    def ece(self) -> FloatArray:
        r"""Expected calibration error of each group, shape `(n_groups,)`.

        :math:`\sum_b W_b |\bar p_b - \bar y_b| / \sum_b W_b` over bins of weight :math:`W_b`.
        """
        gap = np.abs((self.predicted - self.observed).sum(axis=0)).sum(axis=1)
        return np.asarray(gap / self.weight.sum(axis=(0, 2)))

    @property
    def chance(self) -> FloatArray:
        r"""Expected error of each group if all probabilities were right, shape `(n_groups,)`.

        Of finitely many clones, observed shares differ from right probabilities by chance: in a
        bin by :math:`\sqrt{2/\pi}` standard errors on average. These are between clones.
        """
        n = self.n_units
        gap = self.predicted - self.observed
        variance = (gap**2).sum(axis=0) * (n / max(n - 1, 1))
        total = self.weight.sum(axis=(0, 2))
        return np.asarray(np.sqrt(2.0 / np.pi * variance).sum(axis=1) / total)

    def ece_interval(
        self, level: float, n_boot: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        r"""Interval of each group's error by a bootstrap of clones, two arrays `(n_groups,)`.

        An error is a sum of absolute values, to which chance adds. So errors are looked for that
        explain the one found: if the gaps of the bins were :math:`\lambda g_b` instead of the
        :math:`g_b` that were found, clones would show :math:`\sum_b |\lambda g_b + e_b|` with the
        noise :math:`e` of draws of clones, and the error would be :math:`\lambda` times that found.
        The interval has the :math:`\lambda` for which the error found is neither too large nor too
        small. For the latter, an error below that of `chance` counts as one of it, which tells as
        little about the true one.

        References
        ----------
        Carpenter, Test inversion bootstrap confidence intervals, JRSS B 1999.
        """
        tail = 0.5 - level / 2.0
        noise = np.concatenate([self._noise(size, rng) for size in _sizes(n_boot)])
        total = self.weight.sum(axis=(0, 2))
        gap = (self.predicted - self.observed).sum(axis=0) / total[:, None]
        found = self.ece
        least = np.maximum(found, self.chance)
        scale = least / np.where(found > 0, found, np.inf)

        def shown(factor: float) -> FloatArray:
            return np.asarray(np.abs(factor * scale[:, None] * gap + noise).sum(axis=2))

        above = np.stack([(shown(factor) >= found).mean(axis=0) for factor in _FACTORS])
        below = np.stack([(shown(factor) <= least).mean(axis=0) for factor in _FACTORS])
        # The neighbours outside, so that the steps between multiples shorten no interval.
        last = len(_FACTORS) - 1
        low = scale * _FACTORS[np.maximum((above > tail).argmax(axis=0) - 1, 0)]
        high = scale * _FACTORS[np.minimum(last + 1 - (below >= tail)[::-1].argmax(axis=0), last)]
        return low * found, np.minimum(high * found, 1.0)

    def _noise(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Differences of the gaps of drawn clones from those found, `(b, n_groups, n_bins)`."""
        n = self.n_units
        counts = rng.multinomial(n, np.full(n, 1.0 / n), size) - 1.0
        gap = (self.predicted - self.observed) / self.weight.sum(axis=(0, 2))[:, None]
        return np.asarray(counts @ gap.reshape(n, -1)).reshape(size, *self.cells.shape)

    def table(self, names: list[str], level: float) -> pd.DataFrame:
        """One row for each group and bin with cells: predicted, observed, and its interval.

        Intervals are Wilson's with the effective number of clones: shares of clones vary at most as
        single outcomes do, so they are no narrower than asked for.
        """
        import pandas as pd

        group, number = np.nonzero(self.cells)
        weight = self.weight[:, group, number]
        total = weight.sum(axis=0)
        observed = self.observed[:, group, number].sum(axis=0) / total
        worth = total**2 / (weight**2).sum(axis=0)
        low, high = wilson(observed, worth, level)
        columns = {
            "fate": self.groups(names)[group],
            "bin": number,
            "n_cells": self.cells[group, number],
            "n_clones": (weight > 0).sum(axis=0),
            "predicted": self.predicted[:, group, number].sum(axis=0) / total,
            "observed": observed,
            "low": low,
            "high": high,
        }
        return pd.DataFrame(columns)


def wilson(share: FloatArray, n: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Wilson's interval of shares `(m,)` of `n` `(m,)` independent outcomes.

    References
    ----------
    Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
    """
    from scipy.special import ndtri

    z2 = float(ndtri(0.5 + level / 2.0)) ** 2
    share = np.clip(share, 0.0, 1.0)
    centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n)
    wide = np.sqrt(z2 * (share * (1.0 - share) / n + z2 / (4.0 * n**2))) / (1.0 + z2 / n)
    return np.clip(centre - wide, 0.0, 1.0), np.clip(centre + wide, 0.0, 1.0)


def _sizes(n: int) -> list[int]:
    return [min(_AT_ONCE, n - done) for done in range(0, n, _AT_ONCE)]
