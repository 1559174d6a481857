"""When two trends part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._spread import Spread, spread
from cellflow.core._typing import FloatArray

__all__ = ["Parting", "parted", "parting"]


@dataclass(frozen=True, eq=False)
class Parting:
    """The time from which the difference of two trends is shown, and its interval.

    Parameters
    ----------
    time
        NaN where there is none, shape `(g,)`.
    low, high
        NaN where some member of the ensemble shows no such time, shape `(g,)`.
    """

    time: FloatArray
    low: FloatArray
    high: FloatArray


def parting(
    difference: Spread, members: FloatArray, times: FloatArray, level: float = 0.9
) -> Parting:
    r"""Find the time from which the interval of a difference excludes zero for good.

    Times are tested from the last to the first, each by its own interval, up to the first one that
    is not shown to differ in the direction of the last. Such a fixed sequence of tests keeps the
    level over all times: a time before the true one is only reported if the interval at that one
    time fails. Between the times of the grid both ends of the interval are linear.

    The interval of the time is made of the members of the ensemble, whose differences vary as
    their mean does: each is asked with the width of the ensemble's interval. The time at which a
    difference can be shown is later than that at which it begins, less so for more cells.

    Parameters
    ----------
    difference
        Means and standard errors, shape `(T, g)`.
    members
        Differences by each member, shape `(k, T, g)`.
    times
        Increasing, all with support, shape `(T,)`.
    level
        Of the intervals.

    References
    ----------
    Maurer, Hothorn and Lehmacher, Multiple comparisons in drug clinical trials and preclinical
    assays: a-priori ordered hypotheses, Biometrie in der chemisch-pharmazeutischen Industrie 1995.
    """
    mean = difference.mean
    low, high = difference.interval(level)
    width = (high - low) / 2.0
    found = parted(mean, width, times)
    # A member may end on the other side; it is asked about the direction of the ensemble.
    sign = np.sign(mean[-1])
    each = np.stack([parted(sign * member, width, times, above=True) for member in members])
    known = np.isfinite(found) & np.isfinite(each).all(axis=0)
    sure = spread(np.where(known, each, 0.0), difference.degrees)
    ends = Spread(np.where(known, found, np.nan), sure.se, difference.degrees).interval(level)
    return Parting(found, *(np.clip(end, times[0], times[-1]) for end in ends))


def parted(
    mean: FloatArray, width: FloatArray, times: FloatArray, *, above: bool = False
) -> FloatArray:
    """First time from which `|mean|` is above `width` for good, with one sign, `(g,)`; else NaN.

    Parameters
    ----------
    mean, width
        Shape `(T, g)`.
    times
        Shape `(T,)`.
    above
        Whether only values above zero count.
    """
    sign = np.ones(mean.shape[1]) if above else np.sign(mean[-1])
    excess = sign * mean - width
    shown = excess > 0
    # Number of times at the end that are all shown.
    run = np.logical_and.accumulate(shown[::-1], axis=0).sum(axis=0)
    first = len(times) - run
    gene = np.arange(mean.shape[1])
    later = np.minimum(first, len(times) - 1)
    earlier = np.maximum(first - 1, 0)
    after = excess[later, gene]
    before = excess[earlier, gene]
    rise = np.where(after > before, after - before, 1.0)
    part = np.where((first > 0) & (run > 0), after / rise, 0.0)
    time = times[later] - part * (times[later] - times[earlier])
    return np.where(run > 0, time, np.nan)
