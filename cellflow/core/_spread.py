"""The spread of a quantity between the members of an ensemble."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cellflow.core._numbers import as_number
from cellflow.core._typing import FloatArray

__all__ = ["Spread", "running_spread", "spread"]


@dataclass(frozen=True, eq=False)
class Spread:
    r"""Mean over members, and its standard error.

    Members are pairs of flows fitted on complementary halves of the cells. Half the difference of
    two halves varies as much as their mean does, so the standard deviation between members (with
    divisor :math:`k`) is the standard error of the mean, not that of a member. A pair says one
    thing about it, so there are :math:`k / 2` degrees of freedom, and fewer where halves are of
    few samples.

    Parameters
    ----------
    mean, se
        Arrays of one shape.
    degrees
        Of freedom, of Student's t.

    References
    ----------
    McCarthy, Pseudo-replication: half samples, Review of the International Statistical Institute
    1969; Shao and Tu, The Jackknife and Bootstrap, 1995, chapter 5.
    """

    mean: FloatArray
    se: FloatArray
    degrees: float

    def interval(self, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends of the intervals at a level between 0 and 1."""
        from scipy.stats import t

        level = as_number("level", level, above=0.0, below=1.0)
        wide = t.ppf(0.5 + level / 2, self.degrees) * self.se
        return self.mean - wide, self.mean + wide


def spread(values: FloatArray, degrees: float | None = None) -> Spread:
    """Mean and standard error of a quantity of every member, `(k, ...)` with `k` at least two.

    Parameters
    ----------
    values
        Of the members, pairs of halves next to each other.
    degrees
        Of freedom, see `Ensemble.degrees`; `k / 2` by default.

    Examples
    --------
    >>> found = spread(np.array([1.0, 3.0]))
    >>> float(found.mean), float(found.se)
    (2.0, 1.0)
    """
    values = np.asarray(values, dtype=np.float64)
    return Spread(
        values.mean(axis=0), values.std(axis=0), len(values) / 2 if degrees is None else degrees
    )


def running_spread(values: Iterable[FloatArray], degrees: float | None = None) -> Spread:
    """`spread` of values that come one after another, of which two at a time are in memory.

    References
    ----------
    Welford, Note on a method for calculating corrected sums of squares and products, Technometrics
    1962.
    """
    n = 0
    mean = np.zeros(())
    squares = np.zeros(())
    for value in values:
        n += 1
        off = np.asarray(value, dtype=np.float64) - mean
        mean = mean + off / n
        squares = squares + off**2 * ((n - 1) / n)
    return Spread(mean, np.sqrt(squares / n), n / 2 if degrees is None else degrees)
