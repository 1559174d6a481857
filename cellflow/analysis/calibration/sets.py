"""Sets of fates that hold the fate with a given probability, by conformal prediction."""

from __future__ import annotations

import numpy as np

from cellflow.analysis.calibration.judged import Judged
from cellflow.core._typing import FloatArray

__all__ = ["fate_sets", "threshold"]

#: Relative rounding of probabilities that are compared with the threshold.
_ROUNDING = 1e-9


def threshold(judged: Judged, probability: FloatArray, alpha: float) -> float:
    r"""Least probability of a fate in the sets, such that they miss it with at most `alpha`.

    The :math:`C` clones have equal weights :math:`1/(C + 1)`, the cells of a clone theirs, and the
    fates of a cell their observed shares. The threshold is the largest one below which lies at most
    the weight `alpha`, of which :math:`1/(C + 1)` is set aside for the new clone. Then for a cell
    of a new clone and a random one of its late cells, :math:`P(q \ge \text{threshold}) \ge 1 -
    \alpha`, whatever the probabilities :math:`q` are worth, if clones are exchangeable and
    :math:`q` was made without them. For calibrated probabilities that is so up to the difference
    between the calibration by all clones and that by the other folds.

    Parameters
    ----------
    judged
        Cells of at least one clone.
    probability
        Of their fates, shape `(n, k)`, by a calibration that their clones took no part in.
    alpha
        Between 0 and 1. Below :math:`1/(C + 1)`, the threshold is 0, and sets hold all fates.

    References
    ----------
    Lee, Barber and Willett, Distribution-free inference with hierarchical data, arXiv 2306.06342,
    2023; Vovk, Cross-conformal predictors, Annals of Mathematics and Artificial Intelligence 2015.
    """
    total = judged.by_unit(judged.weight)[judged.unit]
    n = judged.n_units
    mass = (judged.weight / total / (n + 1))[:, None] * judged.outcome
    order = np.argsort(probability, axis=None)
    values = probability.ravel()[order]
    missed = 1.0 / (n + 1) + np.concatenate([[0.0], np.cumsum(mass.ravel()[order])[:-1]])
    # Values that are tied are in the sets together.
    first = np.searchsorted(values, values, side="left")
    allowed = missed[first] <= alpha * (1.0 + _ROUNDING)
    return float(values[allowed].max()) if allowed.any() else 0.0


def fate_sets(probability: FloatArray, least: float) -> np.ndarray:
    """Which fates are in the set of each cell, bool, shape `(n, k)`; at least the most probable.

    Parameters
    ----------
    probability
        Of the fates, shape `(n, k)`.
    least
        The threshold.
    """
    top = probability.max(axis=1, keepdims=True)
    return np.asarray(probability >= np.minimum(least, top) * (1.0 - _ROUNDING))
