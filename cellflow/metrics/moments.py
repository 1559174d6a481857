"""Errors of means and variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._clouds import two_clouds
from cellflow.core._display import Compact
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.metrics._statistics import mean_distance, spread_ratio

__all__ = ["MomentErrors", "mean_error", "moment_errors", "variance_ratio"]


@guarded
def mean_error(
    x: FloatArray,
    y: FloatArray,
    *,
    x_weight: FloatArray | None = None,
    y_weight: FloatArray | None = None,
) -> float:
    """Distance between the means of two weighted clouds, in the units of the positions.

    A lower bound of every W_p.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`, finite.
    x_weight, y_weight
        Shapes `(n,)` and `(m,)`, non-negative; normalised here. Uniform by default.

    Raises
    ------
    InputError
        Clouds that are empty, not finite or of different dimensions; weights that do not fit.

    Examples
    --------
    >>> mean_error(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 3.0]]))
    3.0
    """
    return mean_distance(two_clouds(x, y, x_weight, y_weight)).value


@guarded
def variance_ratio(
    x: FloatArray,
    y: FloatArray,
    *,
    x_weight: FloatArray | None = None,
    y_weight: FloatArray | None = None,
) -> float:
    """Total variance of `x` (the trace of its covariance) over that of `y`.

    1 is the goal; less means a collapsed prediction.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`, finite: the predicted and the observed cells.
    x_weight, y_weight
        Shapes `(n,)` and `(m,)`, non-negative; normalised here. Uniform by default.

    Raises
    ------
    InputError
        Clouds that are empty, not finite or of different dimensions; weights that do not fit; a `y`
        that does not vary.

    Examples
    --------
    >>> variance_ratio(np.array([[0.0], [2.0]]), np.array([[0.0], [4.0]]))
    0.25
    """
    return spread_ratio(two_clouds(x, y, x_weight, y_weight)).value


@dataclass(frozen=True, eq=False, repr=False)
class MomentErrors(Compact):
    """Errors of the means and variances of genes.

    Parameters
    ----------
    mean
        Predicted minus observed mean of each gene, shape `(g,)`.
    variance
        Predicted minus observed variance, shape `(g,)`.
    mean_rmse, variance_rmse
        Root of the mean square over genes.
    mean_correlation, variance_correlation
        Pearson's, over genes, between predicted and observed; NaN where either does not vary.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = rng.normal(size=(200, 2)) + 1.0
    >>> found = cf.metrics.moment_errors(x, y)
    >>> found.mean.shape
    (2,)
    """

    mean: FloatArray
    variance: FloatArray
    mean_rmse: float
    variance_rmse: float
    mean_correlation: float
    variance_correlation: float


@guarded
def moment_errors(
    predicted: FloatArray,
    observed: FloatArray,
    *,
    predicted_weight: FloatArray | None = None,
    observed_weight: FloatArray | None = None,
) -> MomentErrors:
    """Compare the mean and the variance of every gene between predicted and observed cells.

    The correlation of means is high for almost any prediction, because genes differ more than times
    do; read it beside that of the previous snapshot.

    Parameters
    ----------
    predicted, observed
        Expression, shapes `(n, g)` and `(m, g)`, on one scale (log-normalised, for instance),
        finite.
    predicted_weight, observed_weight
        Shapes `(n,)` and `(m,)`, non-negative; normalised here. Uniform by default.

    Raises
    ------
    InputError
        Matrices that are empty, not finite or of different numbers of genes; weights that do not
        fit.

    Examples
    --------
    >>> moment_errors(np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[0.0, 0.0], [0.0, 2.0]])).mean
    array([1., 0.])
    """
    two = two_clouds(
        predicted, observed, predicted_weight, observed_weight, names=("predicted", "observed")
    )
    means = two.a @ two.x, two.b @ two.y
    variances = two.a @ (two.x - means[0]) ** 2, two.b @ (two.y - means[1]) ** 2
    mean = means[0] - means[1]
    variance = variances[0] - variances[1]
    return MomentErrors(
        mean=mean,
        variance=variance,
        mean_rmse=float(np.sqrt(np.mean(mean**2))),
        variance_rmse=float(np.sqrt(np.mean(variance**2))),
        mean_correlation=_correlation(*means),
        variance_correlation=_correlation(*variances),
    )


def _correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson's correlation; NaN where one side does not vary."""
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
