"""Whether cells are like those of a population: conformal p-values, which assume nothing of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._numbers import as_number
from cellflow.core._typing import FloatArray

__all__ = ["Reference", "as_level", "too_many"]

#: Neighbours whose mean distance says how far a cell is from the others.
_NEIGHBORS = 5
#: Cells that are compared at a time.
_CHUNK = 8192
#: Relative rounding of a distance: cells this close to a tie count as tied.
_ROUNDING = 1e-9
#: Chance that so many of a population's own cells are flagged, below which there are too many.
_CHANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Reference:
    r"""Cells that others are compared with.

    The score of a cell is its mean distance to its five nearest cells of the reference, itself left
    out. Its p-value is the share of cells at least as far from the others: for a cell of the
    reference, :math:`\#\{j : s_j \ge s_i\} / n`, for any other, :math:`(1 + \#\{j : s_j \ge s\}) /
    (n + 1)`. A cell of the same population gets a p-value of at most `alpha` with probability at
    most `alpha`, whatever the population, its dimension and the number of cells: scores of the
    reference are those of cells that were left out, and another cell has one neighbour more to be
    near to.

    Parameters
    ----------
    x
        Positions, shape `(n, d)`, at least one.

    References
    ----------
    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Lei, Robins and
    Wasserman, Distribution-free prediction sets, JASA 2013.
    """

    x: FloatArray

    def __post_init__(self) -> None:
        x = np.asarray(self.x, dtype=np.float64)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "_scores", np.sort(self._score(x, np.ones(len(x), dtype=bool))))

    def __len__(self) -> int:
        return len(self.x)

    def p_values(self, x: FloatArray) -> FloatArray:
        """p-values of cells `(m, d)`, shape `(m,)`.

        A cell at the position of a reference cell counts as that cell.
        """
        x = np.asarray(x, dtype=np.float64)
        own = self.holds(x)
        score = self._score(x, own)
        known: FloatArray = self._scores  # type: ignore[attr-defined] # made with the object
        farther = len(known) - np.searchsorted(known, score * (1.0 - _ROUNDING), side="left")
        return np.where(own, farther, 1 + farther) / np.where(own, len(known), 1 + len(known))

    def holds(self, x: FloatArray) -> np.ndarray:
        """Which cells are of the reference, shape `(m,)`."""
        return np.isin(_as_items(np.asarray(x, dtype=np.float64)), _as_items(self.x))

    def can_flag(self, alpha: float) -> bool:
        """Whether there are enough cells, `1 / alpha - 1`, for a p-value of at most `alpha`."""
        return 1 / (len(self) + 1) <= alpha

    def _score(self, x: FloatArray, own: np.ndarray) -> FloatArray:
        """Mean distance to the nearest cells; a reference cell is no neighbour of itself."""
        k = min(_NEIGHBORS, len(self.x) - 1)
        score = np.zeros(len(x))
        if k == 0:
            return score
        # Products, by which neighbours are found in many dimensions, leave a cell at a distance of
        # rounding from itself.
        centre = self.x.mean(axis=0)
        for start in range(0, len(x), _CHUNK):
            part = slice(start, start + _CHUNK)
            _, rows = nearest(self.x - centre, x[part] - centre, k + 1)
            distance = np.linalg.norm(x[part][:, None] - self.x[rows], axis=2)
            distance.sort(axis=1)
            others = distance[:, 1:].mean(axis=1)
            score[part] = np.where(own[part], others, distance[:, :k].mean(axis=1))
        return score


def as_level(alpha: object) -> float:
    """Return the share of ordinary cells that may be flagged, between 0 and 1.

    Raises
    ------
    InputError
        It is none.
    """
    return as_number("alpha", alpha, above=0.0, below=1.0, remedy=", such as 0.01")


def too_many(flagged: int, asked: int, n_reference: int, alpha: float) -> bool:
    """Whether more cells are flagged than chance flags of new cells of the same population.

    Of these, a share is flagged that depends on the reference: a beta variable with mean at most
    `alpha` (Vovk 2012). So the number of flagged cells is beta-binomial.

    Parameters
    ----------
    flagged, asked
        Number of cells.
    n_reference
        Cells of the reference.
    alpha
        The level.
    """
    from scipy.stats import betabinom

    least = int(np.floor(alpha * (n_reference + 1) * (1.0 + _ROUNDING)))
    if flagged == 0 or least == 0:
        return False
    return bool(betabinom.sf(flagged - 1, asked, least, n_reference + 1 - least) < _CHANCE)


def _as_items(x: FloatArray) -> np.ndarray:
    """Rows as single items that compare by their bytes."""
    rows = np.ascontiguousarray(x + 0.0)  # no negative zeros
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
