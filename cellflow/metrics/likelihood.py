"""Negative log-likelihood of held-out cells under a density."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellflow.core._numbers import as_weights
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = ["NLL", "negative_log_likelihood"]


class NLL(NamedTuple):
    """A mean negative log-likelihood, in nats.

    Parameters
    ----------
    mean
        Per cell.
    per_dim
        The same over the number of dimensions.
    standard_error
        Of the mean, over cells.

    Examples
    --------
    >>> nll = cf.metrics.negative_log_likelihood(np.array([-1.0, -3.0]), n_dims=2)
    >>> nll.mean, nll.per_dim
    (2.0, 1.0)
    """

    mean: float
    per_dim: float
    standard_error: float


@guarded
def negative_log_likelihood(
    log_prob: FloatArray, n_dims: int, *, weight: FloatArray | None = None
) -> NLL:
    r"""Mean of :math:`-\log p(x_i)` over held-out cells.

    The cross-entropy of the population and the density.

    Differences between two densities on the same cells estimate differences of their
    Kullback-Leibler divergences from the truth. The values themselves depend on the units of the
    representation.

    Parameters
    ----------
    log_prob
        Log-density of each cell, nats, shape `(n,)`.
    n_dims
        Dimensions of the representation.
    weight
        Shape `(n,)`, non-negative; normalised here. Uniform by default.

    Raises
    ------
    InputError
        No cells, log-densities that are not numbers, weights that do not fit.

    Examples
    --------
    >>> negative_log_likelihood(np.array([-1.0, -3.0]), 2)
    NLL(mean=2.0, per_dim=1.0, standard_error=1.0)
    """
    nll = -np.asarray(log_prob, dtype=np.float64)
    if nll.ndim != 1 or len(nll) == 0 or np.isnan(nll).any():
        msg = (
            f"log_prob has shape {nll.shape} and {np.isnan(nll).sum()} values that are no numbers;"
            " expected (n,), n >= 1."
        )
        raise InputError(msg)
    share = as_weights("weight", weight, len(nll))
    if not np.isfinite(nll[share > 0]).all():
        return NLL(np.inf, np.inf, np.nan)
    nll = np.where(share > 0, nll, 0.0)
    mean = float(share @ nll)
    # Of a weighted mean; the number of cells that the weights are worth corrects it as n / (n - 1)
    # does.
    concentration = float(share @ share)
    variance = (
        float(share**2 @ (nll - mean) ** 2) / (1.0 - concentration)
        if concentration < 1.0
        else np.nan
    )
    return NLL(mean, mean / n_dims, float(np.sqrt(variance)))
