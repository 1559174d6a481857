"""What the calibration of fates reads and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.fitted import read_cells
from cellflow.adapter.keys import Keys
from cellflow.adapter.record import record_of
from cellflow.adapter.stored_fates import StoredFates, read_fates
from cellflow.analysis.calibration import Scaling, fate_sets, smoothed
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError
from cellflow.tl._fate_targets import UNDECIDED

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Asked", "Found", "Source"]


@dataclass(frozen=True)
class Asked:
    """Arguments of `cf.tl.calibrate`."""

    lineage_key: str | None
    offsets: bool | None
    alpha: float
    level: float
    n_folds: int
    n_bins: int
    n_boot: int
    seed: int


@dataclass(frozen=True, eq=False)
class Found:
    """What was found.

    Parameters
    ----------
    scaling
        Temperature and offsets.
    sets
        Which fates are in the set of each cell, bool, shape `(n, k)`; None without clones.
    entry
        For the record of the fit.
    """

    scaling: Scaling
    sets: np.ndarray | None
    entry: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Source:
    """Fates of the cells of a fit.

    Parameters
    ----------
    keys, record, cells
        The fit and its cells.
    times
        Time of every cell, inferred ones too, shape `(n,)`.
    fates
        As they were written.
    code
        Number of the fate that a cell of the end, or of an absorbing group, has; -1 for others.
    """

    keys: Keys
    record: Mapping[str, Any]
    cells: Cells
    times: FloatArray
    fates: StoredFates
    code: IntArray

    @classmethod
    def read(cls, adata: AnnData, keys: Keys) -> Self:
        """Read them.

        Raises
        ------
        MissingKeyError
            No fit, or no fates.
        InputError
            Fates of other cells, or none but undecided.
        """
        record = record_of(adata, keys)
        cells, times = read_cells(adata, keys, record)
        fates = read_fates(adata, keys, record, cells)
        code = _codes(adata, keys, fates.names)
        found = cls(keys, record, cells, times, fates, code)
        if len(found.names) < 2:
            msg = (
                f"adata.obsm[{keys.lineages()!r}] has the fates {found.names} only. Expected two or"
                " more: with one fate, nothing is to be calibrated."
            )
            raise InputError(msg)
        return found

    @cached_property
    def names(self) -> list[str]:
        """Names of the fates, without that of undecided mass."""
        return [name for name in self.fates.names if name != UNDECIDED]

    @cached_property
    def probability(self) -> FloatArray:
        """Of the fates and, in the last column, of undecided mass, shape `(n, k + 1)`."""
        found = self.fates.probability
        if len(self.names) < len(self.fates.names):
            return found
        return np.column_stack([found, np.zeros(len(found))])

    @property
    def weight(self) -> FloatArray:
        """Of the cells in their snapshots, shape `(n,)`."""
        given = self.cells.weight
        return np.ones(len(self.cells.x)) if given is None else np.nan_to_num(given)

    @property
    def end(self) -> float:
        """Time of the end."""
        return float(self.fates.about["at"])

    @property
    def votes(self) -> int:
        """Votes that a probability rests on: neighbours, times paths, times fits."""
        about = self.fates.about
        neighbors = about["neighbors"].get(f"{self.end:g}", min(about["neighbors"].values()))
        return int(neighbors) * int(about["n_rep"]) * max(len(about["ensemble"]), 1)

    def given_a_fate(self, rows: IntArray) -> FloatArray:
        """Probabilities `(m, k)` of some cells, given that their mass is not undecided."""
        fates = self.probability[rows, :-1]
        total = fates.sum(axis=1, keepdims=True)
        return np.asarray(fates / np.where(total > 0, total, 1.0))

    def _scaled(self, scaling: Scaling, rows: IntArray) -> FloatArray:
        """Calibrated probabilities `(m, k)` of some cells, given that there is a fate."""
        return scaling(np.log(smoothed(self.given_a_fate(rows), self.votes)))

    def sets(self, scaling: Scaling, least: float) -> np.ndarray:
        """Which fates are in the set of each cell, shape `(n, k)`; see `fate_sets`.

        A cell whose mass is all undecided may have any fate. A cell with a known fate has that one
        in its set, and a cell later than the end none.
        """
        found = fate_sets(self._scaled(scaling, np.arange(len(self.code))), least)
        found |= self.probability[:, :-1].sum(axis=1, keepdims=True) <= 0
        found[self.times > self.end] = False
        known = np.flatnonzero(self.code >= 0)
        found[known] = np.arange(len(self.names)) == self.code[known, None]
        return found

    def calibrated(self, scaling: Scaling) -> FloatArray:
        """Calibrated probabilities, in the shape of those that were written.

        Undecided mass stays as it is, and so do cells of the end and of absorbing groups, whose
        fate is known.
        """
        found = self.fates.probability.copy()
        rows = np.flatnonzero((self.code < 0) & (self.times < self.end))
        decided = self.probability[rows, :-1].sum(axis=1, keepdims=True)
        found[rows, : len(self.names)] = decided * self._scaled(scaling, rows)
        return found


def _codes(adata: AnnData, keys: Keys, names: list[str]) -> IntArray:
    """Number of the label that `cf.tl.fates` wrote for each cell, -1 for none."""
    import pandas as pd

    name = keys.terminal_labels()
    if name not in adata.obs:
        msg = (
            f"adata.obs[{name!r}] is missing. Compute it again: cf.tl.fates(adata,"
            f" ...{keys.argument})."
        )
        raise InputError(msg)
    found = pd.Categorical(adata.obs[name].astype(object), categories=names).codes
    return np.asarray(found, dtype=np.int64)
