"""Predicted shares of fates beside the measured composition of the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.analysis.calibration.scaling import Scaling
from cellflow.core._typing import FloatArray

__all__ = ["Compared", "agreeing", "compared"]

#: Newton steps at most, the difference of shares at which they end, and halvings of a step.
_STEPS = 100
_AGREED = 1e-10
_HALVINGS = 40


@dataclass(frozen=True, eq=False)
class Compared:
    """Shares of the fates that each earlier snapshot predicts.

    Parameters
    ----------
    before
        By the probabilities as they are, shape `(n_times, k)`.
    variance
        Of these shares, as means over cells, shape `(n_times, k)`.
    after
        With offsets by the other snapshots, shape `(n_times, k)`; NaN where there is one only.
    scaling
        Offsets by all snapshots, with temperature 1.
    """

    before: FloatArray
    variance: FloatArray
    after: FloatArray
    scaling: Scaling


def compared(
    log_p: list[FloatArray], mass: list[FloatArray], raw: list[FloatArray], measured: FloatArray
) -> Compared:
    """Compare the fates of snapshots with a composition, and fit offsets that make them agree.

    Parameters
    ----------
    log_p
        Logarithms of the smoothed probabilities of the cells of each snapshot, `(n, k)`.
    mass
        Mass of each cell's descendants at the end, `(n,)`, positive.
    raw
        The probabilities themselves, `(n, k)`.
    measured
        Shares of the fates at the end, shape `(k,)`, of sum one.
    """
    before = np.stack([w @ p / w.sum() for w, p in zip(mass, raw, strict=True)])
    variance = np.stack(
        [(w / w.sum()) ** 2 @ (p - s) ** 2 for w, p, s in zip(mass, raw, before, strict=True)]
    )
    after = np.full_like(before, np.nan)
    number = range(len(log_p))
    if len(log_p) > 1:
        for left in number:
            others = [k for k in number if k != left]
            scaling = agreeing([log_p[k] for k in others], [mass[k] for k in others], measured)
            after[left] = mass[left] @ scaling(log_p[left]) / mass[left].sum()
    return Compared(before, variance, after, agreeing(log_p, mass, measured))


def agreeing(log_p: list[FloatArray], mass: list[FloatArray], measured: FloatArray) -> Scaling:
    r"""Offsets with which the predicted shares, on average, are the measured ones.

    They solve :math:`\sum_t a_t \sum_i w_i q_{ik} = c_k` for :math:`q_{ik} \propto p_{ik}
    e^{b_k}`, with weights of sum one in each snapshot :math:`t`, and snapshots by the number
    :math:`n_t` of cells that their weights are worth. There is one solution but for a constant, for
    which offsets sum to 0: it minimises the convex :math:`\sum_t a_t \sum_i w_i \log \sum_k p_{ik}
    e^{b_k} - \sum_k c_k b_k` with :math:`a_t = n_t / \sum_t n_t`, by Newton's method.

    Parameters
    ----------
    log_p, mass
        As of `compared`.
    measured
        All positive.

    References
    ----------
    Saerens, Latinne and Decaestecker, Adjusting the outputs of a classifier to new a priori
    probabilities, Neural Computation 2002; Deming and Stephan, On a least squares adjustment of a
    sampled frequency table, Annals of Mathematical Statistics 1940.
    """
    every = np.concatenate(log_p)
    worth = np.array([w.sum() ** 2 / (w**2).sum() for w in mass])
    share = worth / worth.sum()
    weight = np.concatenate([a * w / w.sum() for a, w in zip(share, mass, strict=True)])
    offsets = np.zeros(len(measured))
    value = _objective(every, weight, measured, offsets)
    for _ in range(_STEPS):
        q = Scaling(1.0, offsets)(every)
        gap = measured - weight @ q
        if np.abs(gap).max() <= _AGREED:
            break
        curvature = np.diag(weight @ q) - (weight[:, None] * q).T @ q
        step = np.linalg.pinv(curvature, hermitian=True) @ gap
        for halvings in range(_HALVINGS):
            there = offsets + 0.5**halvings * step
            found = _objective(every, weight, measured, there)
            if found < value:
                break
        else:
            break
        offsets = there - there.mean()
        value = found
    return Scaling(1.0, offsets)


def _objective(
    log_p: FloatArray, weight: FloatArray, measured: FloatArray, offsets: FloatArray
) -> float:
    logits = log_p + offsets
    top = logits.max(axis=1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float(weight @ total - measured @ offsets)
