"""Labels of states by the labels of measured cells near them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Votes", "kernel", "sd_of_votes"]

#: Numbers of neighbours that are compared.
_CANDIDATES = (5, 10, 20, 40)
#: Cells by which they are compared.
_COMPARED = 2000
#: Neighbours whose mean distance says how far a state is from the cells.
_NEAR = 5
#: Share of the measured cells that are farther from the others than the limit.
_ALPHA = 0.01
#: Relative rounding of distances that are compared with the limit.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Votes:
    r"""A classifier of states that knows "undecided".

    The :math:`k` nearest measured cells vote for their labels, with the weights
    :math:`w_j \exp(-\tfrac12 (2 d_j / d_k)^2)`. Votes of cells without a label are for "undecided".
    So are all votes where no cell lives: where the mean distance to the five nearest cells is above
    that of 99 of 100 measured cells to the others.

    Parameters
    ----------
    x
        Positions of the cells, shape `(m, d)`.
    code
        Number of the label of each, shape `(m,)`; -1 for none.
    n_labels
        Number of labels.
    weight
        Of the cells, positive, shape `(m,)`.
    k
        Number of neighbours. By `fitted`, that of 5, 10, 20 and 40 with the best mean log score of
        the cells with a label, each left out in turn.
    limit
        Mean distance to the five nearest cells above which a state is undecided.
    unseen
        Orthonormal directions in which differences do not count, shape `(u, d)`, or None.

    References
    ----------
    Cover and Hart, Nearest neighbor pattern classification, 1967; Vovk, Gammerman and Shafer,
    Algorithmic Learning in a Random World, 2005 (the limit).
    """

    x: FloatArray
    code: IntArray
    n_labels: int
    weight: FloatArray
    k: int
    limit: float
    unseen: FloatArray | None = None

    @classmethod
    def fitted(
        cls,
        x: FloatArray,
        code: IntArray,
        n_labels: int,
        weight: FloatArray | None = None,
        unseen: FloatArray | None = None,
    ) -> Votes:
        """Choose the number of neighbours, and the limit, from the cells."""
        x = _seen(x, unseen)
        weight = np.ones(len(x)) if weight is None else weight
        most = max(min(max(_CANDIDATES), len(x) - 1), 1)
        distance, rows = _others(x, np.arange(len(x)), most)
        near = distance[:, :_NEAR].mean(axis=1) if len(x) > 1 else np.zeros(1)
        limit = float(np.quantile(near, 1.0 - _ALPHA))
        start = cls(x, code, n_labels, weight, 1, limit, unseen)
        some = np.flatnonzero(code >= 0)
        some = some[np.unique(np.linspace(0, len(some) - 1, min(_COMPARED, len(some))).astype(int))]
        tried = [k for k in _CANDIDATES if k <= most] or [most]
        scores = [start._log_score(some, distance[some, :k], rows[some, :k]) for k in tried]
        return cls(x, code, n_labels, weight, tried[int(np.argmax(scores))], limit, unseen)

    def __call__(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Shares of the votes `(n, n_labels + 1)`, the last undecided; votes they are worth `(n,)`.

        Votes of unequal weights are worth as many equal ones as their effective number (Kish).
        """
        x = _seen(x, self.unseen)
        found, rows = nearest(self.x, x, min(max(self.k, _NEAR), len(self.x)))
        near = found[:, :_NEAR].mean(axis=1)
        shares, worth = self._counted(found[:, : self.k], rows[:, : self.k])
        outside = near > self.limit * (1.0 + _ROUNDING)
        shares[outside] = 0.0
        shares[outside, -1] = 1.0
        return shares, worth

    def of_cells(self, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """The same of some of the cells themselves, each without its own vote."""
        distance, others = _others(self.x, rows, max(self.k, _NEAR))
        shares, worth = self._counted(distance[:, : self.k], others[:, : self.k])
        return shares, worth

    def _counted(self, distance: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Shares of votes and what they are worth, of neighbours `(n, k)`."""
        weight = self.weight[rows] * kernel(distance)
        column = np.where(self.code < 0, self.n_labels, self.code)[rows]
        place = np.arange(len(rows))[:, None] * (self.n_labels + 1) + column
        size = len(rows) * (self.n_labels + 1)
        shares = np.bincount(place.ravel(), weight.ravel(), size).reshape(len(rows), -1)
        total = weight.sum(axis=1)
        worth = total**2 / (weight**2).sum(axis=1)
        return shares / total[:, None], worth

    def _log_score(self, some: IntArray, distance: FloatArray, rows: IntArray) -> float:
        """Mean log score of cells by their neighbours, of which one more votes for every label."""
        shares, worth = self._counted(distance, rows)
        own = shares[np.arange(len(some)), self.code[some]]
        smooth = (worth * own + 1.0 / self.n_labels) / (worth + 1.0)
        return float(np.log(smooth).mean())


def kernel(distance: FloatArray) -> FloatArray:
    """Weights of neighbours by their distances, `(n, k)`, of half the width of the farthest."""
    width = distance[:, -1:] / 2.0
    return np.asarray(np.exp(-0.5 * (distance / np.where(width > 0, width, 1.0)) ** 2))


def sd_of_votes(shares: FloatArray, worth: FloatArray) -> FloatArray:
    r"""Standard deviation of a share of votes, :math:`\sqrt{p (1 - p) / (m + 1)}`, `(n, l)`."""
    # Shares may be above one by rounding.
    variance = shares * (1.0 - shares) / (worth[:, None] + 1.0)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _seen(x: FloatArray, unseen: FloatArray | None) -> FloatArray:
    """Positions without what lies along some directions."""
    x = np.asarray(x, dtype=np.float64)
    return x if unseen is None else x - x @ unseen.T @ unseen


def _others(x: FloatArray, rows: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """Distances to the `k` nearest other cells of some cells, and their rows, each `(n, k)`."""
    distance, found = nearest(x, x[rows], min(k + 1, len(x)))
    if len(x) == 1:
        return distance, found
    own = found == rows[:, None]
    # Of more than k copies of a cell, it may not be among its neighbours itself: drop the last.
    own[~own.any(axis=1), -1] = True
    kept = (len(rows), found.shape[1] - 1)
    return distance[~own].reshape(kept), found[~own].reshape(kept)
