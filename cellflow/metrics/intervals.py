"""Whether a predicted population is as wide as the observed one, dimension by dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.core._clouds import two_clouds
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = ["Calibration", "calibration"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """How many observed cells lie inside the central intervals of a prediction.

    Parameters
    ----------
    level
        Share of predicted cells inside each interval, shape `(k,)`.
    coverage
        Share of observed cells inside it, by dimension, shape `(k, d)`: above the level where the
        prediction is too wide, below where it is too narrow or lies elsewhere.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = rng.normal(size=(200, 2)) + 1.0
    >>> found = cf.metrics.calibration(x, y, level=[0.5, 0.9])
    >>> found.coverage.shape
    (2, 2)
    """

    level: FloatArray
    coverage: FloatArray


@guarded
def calibration(
    predicted: FloatArray,
    observed: FloatArray,
    *,
    level: Sequence[float] | FloatArray = (0.5, 0.8, 0.95),
    predicted_weight: FloatArray | None = None,
    observed_weight: FloatArray | None = None,
) -> Calibration:
    """Count the observed cells inside the central intervals of a predicted population.

    The interval of level L runs from the (1 - L) / 2 to the (1 + L) / 2 quantile of the predicted
    cells in one dimension; that of level 1 is the whole line.

    Parameters
    ----------
    predicted, observed
        Positions, shapes `(n, d)` and `(m, d)`, finite.
    level
        Between 0 and 1.
    predicted_weight, observed_weight
        Shapes `(n,)` and `(m,)`, non-negative; normalised here. Uniform by default.

    Raises
    ------
    InputError
        Clouds that are empty, not finite or of different dimensions; weights that do not fit;
        levels that are no shares.

    Examples
    --------
    >>> import numpy as np
    >>> predicted, observed = np.arange(100.0)[:, None], np.array([[50.0], [60.0], [200.0]])
    >>> calibration(predicted, observed, level=[0.5]).coverage.round(3)
    array([[0.667]])
    """
    levels = np.atleast_1d(np.asarray(level, dtype=np.float64))
    if levels.ndim != 1 or not ((levels >= 0.0) & (levels <= 1.0)).all():
        msg = f"level={level!r}; expected numbers between 0 and 1."
        raise InputError(msg)
    two = two_clouds(
        predicted, observed, predicted_weight, observed_weight, names=("predicted", "observed")
    )
    coverage = np.empty((len(levels), two.x.shape[1]))
    for axis in range(two.x.shape[1]):
        order = np.argsort(two.x[:, axis])
        below = np.concatenate([[0.0], np.cumsum(two.a[order])])
        values = two.x[order, axis]
        left, right = (
            np.searchsorted(values, two.y[:, axis], side=side) for side in ("left", "right")
        )
        # Where values are tied, the middle of their ranks.
        rank = 0.5 * (below[left] + below[right])
        coverage[:, axis] = (np.abs(2.0 * rank - 1.0) <= levels[:, None] + 1e-12) @ two.b
    return Calibration(levels, coverage)
