"""Predicted fates of cells beside what became of their clones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Judged", "by_clones", "smoothed"]


@dataclass(frozen=True, eq=False)
class Judged:
    """Cells whose fates were predicted, and the fates that were observed.

    Parameters
    ----------
    predicted
        Probabilities of the fates, given that there is one, shape `(n, k)`; rows sum to one.
    outcome
        Shares of the fates that were observed, shape `(n, k)`; rows sum to one.
    weight
        What each cell counts, positive, shape `(n,)`.
    unit
        The clone of each cell, numbers from 0 without gaps, shape `(n,)`. Cells of one clone are
        not independent of each other; clones are.
    votes
        Votes that a probability rests on; see `smoothed`.
    rows
        Row of each cell among all, shape `(n,)`.
    """

    predicted: FloatArray
    outcome: FloatArray
    weight: FloatArray
    unit: IntArray
    votes: int
    rows: IntArray

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def n_units(self) -> int:
        """Number of clones."""
        return int(self.unit.max()) + 1 if len(self.unit) else 0

    @property
    def n_fates(self) -> int:
        """Number of fates."""
        return int(self.predicted.shape[1])

    @property
    def log_predicted(self) -> FloatArray:
        """Logarithms of the smoothed probabilities, shape `(n, k)`."""
        return np.asarray(np.log(smoothed(self.predicted, self.votes)))

    @property
    def reached(self) -> IntArray:
        """Number of clones with each fate, shape `(k,)`."""
        found = np.zeros((self.n_units, self.n_fates), dtype=bool)
        np.logical_or.at(found, self.unit, self.outcome > 0)
        return np.asarray(found.sum(axis=0), dtype=np.int64)

    def part(self, units: np.ndarray) -> Judged:
        """The cells of some clones, given by a mask of all clones."""
        some = units[self.unit]
        unit = np.unique(self.unit[some], return_inverse=True)[1]
        return Judged(
            self.predicted[some],
            self.outcome[some],
            self.weight[some],
            np.asarray(unit, dtype=np.int64).reshape(-1),
            self.votes,
            self.rows[some],
        )

    def by_unit(self, values: FloatArray) -> FloatArray:
        """Sums over the cells of each clone, `(n_units, ...)`, of values `(n, ...)`."""
        found = np.zeros((self.n_units, *values.shape[1:]))
        np.add.at(found, self.unit, values)
        return found


def smoothed(probability: FloatArray, votes: int) -> FloatArray:
    r"""Probabilities with one more vote, which all fates share: :math:`(v p + 1/k) / (v + 1)`.

    Shares of :math:`v` votes are often exactly 0 or 1, and no power of these is anything else.

    Parameters
    ----------
    probability
        Shape `(n, k)`; rows sum to one.
    votes
        The number :math:`v`.
    """
    return np.asarray((votes * probability + 1.0 / probability.shape[1]) / (votes + 1.0))


def by_clones(
    probability: FloatArray,
    lineage: csr_matrix,
    code: IntArray,
    time: FloatArray,
    weight: FloatArray,
    votes: int,
) -> Judged:
    """Fates of early cells beside the labels of later cells of their clones.

    A cell is early where it has no label and a time; its outcome is the shares of the labels, by
    weight, of the labelled cells of later times with which it shares a clone. Cells without one are
    left out, and cells whose mass is all undecided. A cell counts as its weight times its decided
    mass.

    Parameters
    ----------
    probability
        Of the fates and, in the last column, of undecided mass, shape `(n, k + 1)`.
    lineage
        Which clones each cell belongs to, 0 or 1, shape `(n, n_clones)`.
    code
        Number of the label of each cell that has a fate of its own, -1 for others, shape `(n,)`.
    time
        Of each cell, NaN for none, shape `(n,)`.
    weight
        Of the cells, not negative, shape `(n,)`.
    votes
        See `smoothed`.

    Returns
    -------
    Clones that have a cell in common are one unit.
    """
    n = len(probability)
    k = probability.shape[1] - 1
    counts = np.zeros((n, k))
    labelled = np.flatnonzero((code >= 0) & ~np.isnan(time))
    for late in np.unique(time[labelled]):
        there = labelled[time[labelled] == late]
        member = np.zeros((n, k))
        member[there, code[there]] = weight[there]
        early = np.flatnonzero((code < 0) & (time < late))
        counts[early] += lineage[early] @ (lineage.T @ member)
    total = counts.sum(axis=1)
    decided = 1.0 - probability[:, -1]
    kept = np.flatnonzero((total > 0) & (weight * decided > 0))
    predicted = probability[kept, :-1] / probability[kept, :-1].sum(axis=1, keepdims=True)
    return Judged(
        predicted,
        counts[kept] / total[kept, None],
        weight[kept] * decided[kept],
        _units(lineage, kept),
        votes,
        kept,
    )


def _units(lineage: csr_matrix, kept: IntArray) -> IntArray:
    """The unit of each kept cell: clones that are joined by cells, kept or not, count as one."""
    from scipy.sparse.csgraph import connected_components

    if len(kept) == 0:
        return np.empty(0, dtype=np.int64)
    shared = (lineage.T @ lineage).tocsr()
    of_clone = connected_components(shared, directed=False)[1]
    first = lineage.indices[lineage.indptr[kept]]
    found = np.unique(of_clone[first], return_inverse=True)[1]
    return np.asarray(found, dtype=np.int64).reshape(-1)
