"""What an edit of genes does to the fates of cells, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.analysis.genes.arrivals import Arrived
from cellflow.core._spread import spread
from cellflow.core._typing import FloatArray

__all__ = ["Effects", "Estimate", "effects"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """Quantities with their standard errors.

    Parameters
    ----------
    value
        Shape `(q,)`.
    se
        Standard errors, shape `(q,)`; NaN where they are not known, as of a single flow.
    degrees
        Of freedom, of Student's t, shape `(q,)`.
    """

    value: FloatArray
    se: FloatArray
    degrees: FloatArray

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Ends of the intervals, NaN where they are not known."""
        from scipy.stats import t as student

        with np.errstate(invalid="ignore"):
            wide = student.ppf(0.5 + level / 2.0, self.degrees) * self.se
            return self.value - wide, self.value + wide

    @property
    def p(self) -> FloatArray:
        """Two-sided p-values that a quantity is zero, by Student's t; NaN where not known."""
        from scipy.stats import t as student

        size = np.abs(self.value)
        # A quantity is zero in all members, for example of a fate that no path reaches.
        ratio = np.divide(size, self.se, out=np.full(size.shape, np.inf), where=self.se > 0)
        ratio = np.where(size == 0, 0.0, ratio)
        known = np.isfinite(size) & ~np.isnan(self.se)
        return np.where(known, 2.0 * student.sf(ratio, self.degrees), np.nan)


@dataclass(frozen=True, eq=False)
class Effects:
    """Fates of cells with an edit beside those of the same cells without it.

    Parameters
    ----------
    before, after
        Shares of the fates, the last "undecided", shape `(l + 1,)`; see `Arrived.composition`.
    mass
        Mass at the end for each unit of mass at the start, before and after.
    share
        `after - before`.
    log_odds
        Difference of the logarithms of the odds. Infinite where a share is 0 or 1 on one side, NaN
        where it is on both.
    log_mass
        Logarithm of the ratio of the masses, shape `(1,)`.
    """

    before: FloatArray
    after: FloatArray
    mass: tuple[float, float]
    share: Estimate
    log_odds: Estimate
    log_mass: Estimate


def effects(
    before: Sequence[Arrived], after: Sequence[Arrived], degrees: float | None = None
) -> Effects:
    r"""Compare the fates of the same cells with and without an edit.

    The standard error has two parts: that between the members of an ensemble, each of which answers
    both questions, so that differences are paired; and that of the cells as a sample of their
    population, by the influence of each cell on the difference,
    :math:`\tfrac{n}{n-1}\sum_i \psi_i^2`. Degrees of freedom are those of Satterthwaite.

    Parameters
    ----------
    before, after
        By each member of an ensemble, or by a single flow.
    degrees
        Of freedom between the members; None of a single flow, which says nothing of its error.

    References
    ----------
    Satterthwaite, An approximate distribution of estimates of variance components, 1946; Hampel,
    The influence curve and its role in robust estimation, JASA 1974.
    """
    first = np.mean([arrived.composition for arrived in before], axis=0)
    last = np.mean([arrived.composition for arrived in after], axis=0)
    mass = [float(np.mean([arrived.total for arrived in side])) for side in (before, after)]
    pairs = list(zip(before, after, strict=True))
    values = [_differences(*pair) for pair in pairs]
    influence = [np.mean(parts, axis=0) for parts in zip(*map(_influences, pairs), strict=True)]
    own = [last - first, _change_of_odds(first, last), np.log(mass[1:]) - np.log(mass[:1])]
    found = [
        _estimate(value, np.stack(each), psi, degrees)
        for value, each, psi in zip(own, zip(*values, strict=True), influence, strict=True)
    ]
    return Effects(first, last, (mass[0], mass[1]), *found)


def _differences(before: Arrived, after: Arrived) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of shares and log-odds, `(l + 1,)`, and of the logarithm of the mass, `(1,)`."""
    first = before.composition
    last = after.composition
    odds = _change_of_odds(first, last)
    return last - first, odds, np.array([np.log(after.total / before.total)])


def _influences(pair: tuple[Arrived, Arrived]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Influence of each cell on these differences, `(n, l + 1)` twice and `(n, 1)`."""
    before, after = (_influence(arrived) for arrived in pair)
    slopes = [arrived.composition * (1.0 - arrived.composition) for arrived in pair]
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = after / slopes[1] - before / slopes[0]
    grown = [arrived.mass.sum(axis=1, keepdims=True) / arrived.total for arrived in pair]
    return after - before, odds, grown[1] - grown[0]


def _influence(arrived: Arrived) -> FloatArray:
    """Influence of each cell on the shares, `(n, l + 1)`."""
    base = arrived.base
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((arrived.mass - arrived.composition * base) / base.sum(axis=0))


def _change_of_odds(before: FloatArray, after: FloatArray) -> FloatArray:
    """Difference of log-odds; infinite, or not defined, where a share is 0 or 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = [np.log(share) - np.log1p(-share) for share in (before, after)]
        return np.asarray(odds[1] - odds[0])


def _estimate(
    value: FloatArray, each: FloatArray, influence: FloatArray, degrees: float | None
) -> Estimate:
    if degrees is None:
        unknown = np.full(value.shape, np.nan)
        return Estimate(value, unknown, unknown)
    n = len(influence)
    with np.errstate(invalid="ignore"):
        between = spread(each, degrees).se ** 2
        of_cells = (influence**2).sum(axis=0) * n / max(n - 1, 1)
        total = between + of_cells
        parts = between**2 / degrees + of_cells**2 / max(n - 1, 1)
    # Without any error, degrees of freedom do not matter.
    known = parts > 0
    freedom = np.divide(total**2, parts, out=np.full(total.shape, degrees), where=known)
    return Estimate(value, np.sqrt(total), freedom)
