"""A smooth classifier of the states at the end, whose log-odds have a gradient everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError

__all__ = ["Classifier"]

#: Precision of the normal prior of the slopes, per root mean square distance of the cells from
#: their mean. Labels that a plane separates would else have infinite log-odds.
_PENALTY = 1.0
_MAX_STEPS = 2000
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Classifier:
    r"""Multinomial logistic regression, with a normal prior of the slopes.

    The logarithm of the probability of class :math:`c` is, up to a constant,
    :math:`l_c(x) = a_c^\top x + b_c`. The log-odds of a class are
    :math:`l_c - \log \sum_{b \ne c} e^{l_b}`. Unlike votes of neighbours they are smooth, and do
    not saturate: of two classes, their gradient is the same everywhere.

    Parameters
    ----------
    slope, intercept
        Of :math:`l`, shapes `(c, d)` and `(c,)`.
    codes
        The label of each class, increasing, shape `(c,)`.
    """

    slope: FloatArray
    intercept: FloatArray
    codes: IntArray

    @classmethod
    def fitted(cls, x: FloatArray, code: IntArray, weight: FloatArray) -> Classifier:
        """Fit to cells `(n, d)` with a label each, and positive weights, both `(n,)`.

        Raises
        ------
        InputError
            Fewer than two labels.
        """
        from sklearn.linear_model import LogisticRegression

        codes = np.unique(code)
        if len(codes) < 2:
            msg = f"Labels {codes.tolist()}; expected at least two, between which cells decide."
            raise InputError(msg)
        x = np.asarray(x, dtype=np.float64)
        share = weight / weight.sum()
        middle = share @ x
        size = np.sqrt(share @ ((x - middle) ** 2).mean(axis=1))
        size = size if size > 0 else 1.0
        model = LogisticRegression(C=1.0 / _PENALTY, tol=_TOLERANCE, max_iter=_MAX_STEPS)
        model.fit((x - middle) / size, code, sample_weight=share * len(x))
        slope = np.asarray(model.coef_) / size
        intercept = np.asarray(model.intercept_) - slope @ middle
        if len(codes) == 2:  # one row, of the second class against the first
            slope = np.vstack([np.zeros_like(slope), slope])
            intercept = np.append(0.0, intercept)
        return cls(slope, intercept, codes)

    def log_odds(self, x: Tensor, codes: IntArray) -> Tensor:
        """Log-odds of some of the labels against all others at states `(n, d)`, `(n, k)`."""
        slope = torch.from_numpy(self.slope).to(x)
        levels = x @ slope.T + torch.from_numpy(self.intercept).to(x)
        found = []
        for code in codes.tolist():
            own = int(np.searchsorted(self.codes, code))
            others = [k for k in range(len(self.codes)) if k != own]
            found.append(levels[:, own] - torch.logsumexp(levels[:, others], dim=1))
        return torch.stack(found, dim=1)
