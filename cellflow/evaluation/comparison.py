"""Methods beside OT interpolation on the same halves of held-out cells, by time and measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.evaluation.metric import AT_HALF, METRICS
from cellflow.evaluation.names import STRAIGHT

if TYPE_CHECKING:
    from cellflow.evaluation.rows import Row

__all__ = [
    "Comparison",
    "compare",
    "difference",
    "freedom_of",
    "mean_and_error",
    "quantile",
    "splits_of",
]

#: Level of the intervals.
_LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    """A method beside OT interpolation at one held-out time, by one measure.

    Parameters
    ----------
    method, protocol, time
        What was predicted, and how.
    measure
        `"w1"`, `"energy"`, `"composition"` (share of the cells in a wrong type) or
        `"variance_ratio"`.
    own, base
        Values of the method and of OT interpolation, means over splits of the held-out cells and
        over seeds; NaN where the method gave no prediction.
    gain, error, freedom
        How much nearer to the truth the method is, its standard error from the same splits of both,
        and the error's degrees of freedom. Distances and shares: `base - own`. Variance: the same
        of the absolute logarithms.
    n_samples
        Samples that the splits are made of; 0 where they are made of cells.
    """

    method: str
    protocol: str
    time: float
    measure: str
    own: float
    base: float
    gain: float
    error: float
    freedom: int
    n_samples: int = 0


def compare(rows: Sequence[Row]) -> list[Comparison]:
    """Compare every model with OT interpolation, by time, protocol and measure."""
    made = []
    models = [row for row in rows if row.kind == "model"]
    for where in dict.fromkeys((row.method, row.protocol, row.time) for row in models):
        own = [row for row in models if (row.method, row.protocol, row.time) == where]
        for measure in AT_HALF:
            straight = splits_of(rows, where[2], STRAIGHT, measure)
            values = [row.scores.splits.get(measure, ()) for row in own]
            found = [np.array(v) for v in values if v]
            about = (own[0].half_share, own[0].n_samples)
            made.append(difference((*where, measure), found, straight, *about))
    return made


def difference(
    where: tuple[str, str, float, str],
    own: Sequence[FloatArray],
    straight: FloatArray,
    share: float,
    n_samples: int = 0,
) -> Comparison:
    """Compare values on the same splits.

    Parameters
    ----------
    where
        Method, protocol, time and measure.
    own
        Values of the method, `(n_splits,)` for each seed; none where it gave no prediction.
    straight
        Values of OT interpolation, `(n_splits,)`; none where it is missing.
    share
        Share of the held-out cells, or samples, in a split.
    n_samples
        Samples that the splits are made of; 0 where they are made of cells.
    """
    base = float(straight.mean()) if len(straight) else math.nan
    if not own or not len(straight):
        mean = float(np.mean(own)) if own else math.nan
        return Comparison(*where, mean, base, math.nan, math.nan, 0, n_samples)
    values = np.stack(own)
    differences = _error(straight, where[3]) - _error(values, where[3])
    gain, error = mean_and_error(differences.mean(axis=0), share)
    by_seed = differences.mean(axis=1)
    variance = error**2 + (by_seed.var(ddof=1) / len(by_seed) if len(by_seed) > 1 else 0.0)
    mean = float(values.mean())
    freedom = freedom_of(len(straight), n_samples)
    return Comparison(*where, mean, base, gain, math.sqrt(variance), freedom, n_samples)


def freedom_of(n_splits: int, n_samples: int) -> int:
    """Degrees of freedom of an error from splits, of samples where there are several."""
    return (min(n_splits, n_samples) if n_samples else n_splits) - 1


def _error(values: FloatArray, measure: str) -> FloatArray:
    """How far from the truth; shares of cells in a wrong type are that already."""
    return METRICS[measure].error(values) if measure in METRICS else values


def splits_of(rows: Sequence[Row], time: float, method: str, measure: str) -> FloatArray:
    """Values of a row without a model at the half size, one for each split; none if missing."""
    here = [row for row in rows if (row.time, row.method) == (time, method) and row.kind != "model"]
    return np.array(here[0].scores.splits.get(measure, ()) if here else ())


def mean_and_error(differences: FloatArray, share: float) -> tuple[float, float]:
    """Mean difference and its standard error, from values on random parts of the cells.

    The delete-d jackknife: values on parts with a share `s` of the cells vary by `(1 - s) / s` of
    the variance of a mean over all cells (Shao and Wu 1989); on halves, by exactly that.
    """
    mean = float(differences.mean())
    if len(differences) < 2:
        return mean, math.inf
    return mean, float(differences.std(ddof=1)) * math.sqrt(share / (1.0 - share))


def quantile(freedom: float) -> float:
    """Upper quantile of Student's t for a two-sided interval; infinite without freedom."""
    from scipy.stats import t

    return float(t.ppf(0.5 + _LEVEL / 2, freedom)) if freedom > 0 else math.inf
