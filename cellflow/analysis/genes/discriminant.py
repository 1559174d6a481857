"""A smooth classifier of the states at the end, whose log-odds have a gradient everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError

__all__ = ["Discriminant"]

#: Directions with less than this share of the mean variance within a class are widened to it: what
#: hardly varies among the cells would else decide alone.
_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Discriminant:
    r"""Linear discriminant analysis: classes are normal with one covariance.

    With means :math:`\mu_c`, shares :math:`\pi_c` and the covariance :math:`\Sigma` within classes,
    the logarithm of the probability of class :math:`c` is, up to a constant,

    .. math::  l_c(x) = \mu_c^\top \Sigma^{-1} x - \tfrac12 \mu_c^\top \Sigma^{-1} \mu_c
               + \log \pi_c

    The log-odds of a class are :math:`l_c - \log \sum_{b \ne c} e^{l_b}`. Unlike votes of
    neighbours they are smooth, and do not saturate: of two classes, their gradient is the same
    everywhere.

    Parameters
    ----------
    slope, intercept
        Of :math:`l`, shapes `(c, d)` and `(c,)`.
    codes
        The label of each class, increasing, shape `(c,)`.

    References
    ----------
    Fisher, The use of multiple measurements in taxonomic problems, 1936; Ledoit and Wolf, A
    well-conditioned estimator for large-dimensional covariance matrices, 2004 (the shrinkage).
    """

    slope: FloatArray
    intercept: FloatArray
    codes: IntArray

    @classmethod
    def fitted(cls, x: FloatArray, code: IntArray, weight: FloatArray) -> Discriminant:
        """Fit to cells `(n, d)` with a label each, and positive weights, both `(n,)`.

        The covariance is shrunk towards a multiple of the identity, by as much as Ledoit and Wolf
        derive from the number of cells.

        Raises
        ------
        InputError
            Fewer than two labels.
        """
        from sklearn.covariance import ledoit_wolf_shrinkage

        codes, member = np.unique(code, return_inverse=True)
        if len(codes) < 2:
            msg = f"Labels {codes.tolist()}; expected at least two, between which cells decide."
            raise InputError(msg)
        x = np.asarray(x, dtype=np.float64)
        total = np.bincount(member, weight)
        mean = np.stack([weight[member == k] @ x[member == k] for k in range(len(codes))])
        mean /= total[:, None]
        off = x - mean[member]
        share = weight / weight.sum()
        covariance = (off * share[:, None]).T @ off
        size = max(float(np.trace(covariance)) / x.shape[1], np.finfo(np.float64).tiny)
        part = max(float(ledoit_wolf_shrinkage(off, assume_centered=True)), _RIDGE)
        covariance = (1.0 - part) * covariance + part * size * np.eye(x.shape[1])
        slope = np.linalg.solve(covariance, mean.T).T
        intercept = np.log(total / total.sum()) - 0.5 * (slope * mean).sum(axis=1)
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
