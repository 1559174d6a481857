"""Drawn cells of a benchmark, and real cells in their coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.analysis.embedding import place
from cellflow.core._neighbors import nearest
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["NO_REFERENCE", "Cloud", "Reference", "coincide"]

#: Real cells that a predicted one is drawn among.
_NEIGHBOURS = 15
#: Said where real cells in the coordinates of the predictions are needed and not known.
NO_REFERENCE = (
    "The benchmark was run in a representation made again without the hidden cells and does not say"
    " which cells it drew, so its predictions cannot be laid beside the cells here; run"
    " cf.bench.holdout again with this version."
)


@dataclass(frozen=True, eq=False)
class Cloud:
    """Drawn cells of one population.

    Parameters
    ----------
    x
        Positions, `(n, d)`.
    weight
        Weights, `(n,)`.
    rows
        Rows of real cells in the AnnData, `(n,)`; else None.
    """

    x: FloatArray
    weight: FloatArray
    rows: IntArray | None = None

    def evenly(self) -> FloatArray:
        """Positions for a picture, which shows no weights: drawn by weight where these differ."""
        if np.ptp(self.weight) <= 1e-9 * self.weight.max():
            return self.x
        return self.x[stream(0).choice(len(self.x), len(self.x), p=self.weight / self.weight.sum())]


@dataclass(frozen=True, eq=False)
class Reference:
    """Real cells in the coordinates of a prediction.

    Parameters
    ----------
    x
        Positions, `(n, d)`.
    rows
        Their rows in the AnnData, `(n,)`.
    """

    x: FloatArray
    rows: IntArray

    def placed(self, x: FloatArray, embedding: FloatArray) -> FloatArray:
        """Coordinates in an embedding of all cells for states `(m, d)`."""
        return place(x, self.x, embedding[self.rows], n_neighbors=min(_NEIGHBOURS, len(self.x)))

    def rows_of(self, cloud: Cloud) -> IntArray | None:
        """Rows of real cells; None where they are not among these."""
        if cloud.rows is not None:
            return cloud.rows
        distance, found = nearest(self.x, cloud.x, 1)
        return self.rows[found[:, 0]] if coincide(distance, self.x) else None


def coincide(distance: FloatArray, x: FloatArray) -> bool:
    """Whether positions are the same ones, to single precision."""
    return bool(distance.max() <= 1e-5 * max(float(np.abs(x).max()), 1e-30))
