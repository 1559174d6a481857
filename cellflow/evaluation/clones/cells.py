"""Clones as a held-out truth: what became of them, and which of them are hidden together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._typing import BoolArray, FloatArray, IntArray
from cellflow.core.population import Snapshots
from cellflow.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["ClonalCells", "Observations", "folds_of"]


@dataclass(frozen=True, eq=False)
class Observations:
    """Pairs of a cell and a clone of it that are scored.

    Parameters
    ----------
    cell
        Row of the cell among those of all snapshots, one snapshot after the other, `(m,)`.
    clone
        Number of the clone, `(m,)`.
    unit
        Number of what is drawn together in a bootstrap, `(m,)`; see `ClonalCells.unit`.
    time
        Time of the cell, `(m,)`.
    """

    cell: IntArray
    clone: IntArray
    unit: IntArray
    time: FloatArray

    def __len__(self) -> int:
        return len(self.cell)

    def part(self, rows: IntArray | BoolArray) -> Observations:
        """Some of them."""
        return Observations(self.cell[rows], self.clone[rows], self.unit[rows], self.time[rows])


@dataclass(frozen=True, eq=False)
class ClonalCells:
    """Cells with clones, and with labels at the last time.

    Parameters
    ----------
    snapshots
        Populations with `lineage`.
    label
        Number of the label of each cell of the last snapshot, `(m,)`; -1 for none.
    names
        The labels, in the order of their numbers.

    Raises
    ------
    InputError
        One snapshot, no clones, labels that are not those of the last snapshot, or fewer than two
        labels among them.
    """

    snapshots: Snapshots
    label: IntArray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        last = self.snapshots[-1]
        if len(self.snapshots) < 2 or any(p.lineage is None for p in self.snapshots.populations):
            msg = (
                f"{len(self.snapshots)} snapshots, not all of them with clones; expected at least"
                " two, each with `lineage`."
            )
            raise InputError(msg)
        if np.shape(self.label) != (len(last),):
            msg = (
                f"label has shape {np.shape(self.label)}; expected one for each of the"
                f" {len(last)} cells at time {last.time:g}."
            )
            raise InputError(msg)
        present = [self.names[k] for k in np.unique(self.label[self.label >= 0])]
        if len(present) < 2:
            msg = (
                f"Labels of the cells at the last time, {last.time:g}, are {present}; expected at"
                " least two, because one fate alone is predicted by any method."
            )
            raise InputError(msg)

    @cached_property
    def lineage(self) -> csr_matrix:
        """Clones of all cells, one snapshot after the other, `(n, n_clones)`."""
        from scipy.sparse import csr_matrix, vstack

        return csr_matrix(vstack([p.lineage for p in self.snapshots.populations]))

    @cached_property
    def time(self) -> FloatArray:
        """Time of each cell, `(n,)`."""
        cells = self.snapshots.populations
        return np.concatenate([np.full(len(p), p.time) for p in cells])

    @cached_property
    def members(self) -> FloatArray:
        """Label of each cell of the last snapshot as a row of 0 and 1, `(m, n_labels)`."""
        found = np.zeros((len(self.label), len(self.names)))
        known = np.flatnonzero(self.label >= 0)
        found[known, self.label[known]] = 1.0
        return found

    @cached_property
    def counts(self) -> FloatArray:
        """Labelled cells of each clone at the last time, `(n_clones, n_labels)`."""
        last = self.snapshots[-1].lineage
        return np.asarray(last.T @ self.members)  # type: ignore[union-attr] # checked above

    @property
    def shares(self) -> FloatArray:
        """Share of each label among the labelled cells of the last time, `(n_labels,)`."""
        total = self.members.sum(axis=0)
        return np.asarray(total / total.sum())

    @cached_property
    def unit(self) -> IntArray:
        """Number of what each clone is hidden and drawn with, `(n_clones,)`.

        Clones that share a cell are one unit: the barcode of a hidden clone would be seen through
        the cell's other clone.
        """
        from scipy.sparse.csgraph import connected_components

        n = self.lineage.shape[1]
        together = (self.lineage.T @ self.lineage).astype(bool)
        return np.asarray(connected_components(together, directed=False)[1].reshape(n))

    @cached_property
    def observations(self) -> Observations:
        """Cells before the last time, each with every clone of it that has a label at the end."""
        pairs = self.lineage.tocoo()
        known = self.counts.sum(axis=1) > 0
        early = self.time < self.snapshots[-1].time
        kept = np.flatnonzero(known[pairs.col] & early[pairs.row])
        kept = kept[np.lexsort((pairs.col[kept], pairs.row[kept]))]
        cell = pairs.row[kept].astype(np.int64)
        clone = pairs.col[kept].astype(np.int64)
        return Observations(cell, clone, self.unit[clone], self.time[cell])

    def informed(self, seen: BoolArray, until: float | None = None) -> Snapshots:
        """The snapshots with the clones that may be seen, and no others.

        Parameters
        ----------
        seen
            Which clones, `(n_clones,)`.
        until
            Last time at which cells have barcodes; None for all times.
        """
        columns = np.flatnonzero(seen)
        populations = []
        for p in self.snapshots.populations:
            lineage = p.lineage[:, columns]  # type: ignore[index] # checked above
            if until is not None and p.time > until:
                lineage = lineage * 0.0
                lineage.eliminate_zeros()
            populations.append(replace(p, lineage=lineage))
        return Snapshots(tuple(populations))

    @property
    def uninformed(self) -> Snapshots:
        """The snapshots without clones."""
        cells = self.snapshots.populations
        return Snapshots(tuple(replace(p, lineage=None) for p in cells))


def folds_of(cells: ClonalCells, n_splits: int, rng: np.random.Generator) -> IntArray:
    """Number of the fold in which each clone is hidden, `(n_clones,)`.

    Clones of one unit are in one fold. Units that are scored are dealt out evenly, and so are the
    others.

    Raises
    ------
    InputError
        No clone has both an early cell and a labelled one at the last time, or there are fewer of
        them than folds.
    """
    scored = np.zeros(cells.unit.max() + 1, dtype=bool)
    scored[cells.observations.unit] = True
    n = int(scored.sum())
    last = cells.snapshots[-1].time
    if n == 0:
        msg = (
            f"No clone has a cell before time {last:g} and a labelled one at time {last:g}."
            " Expected clones that are shared by both: check lineage_key= and cluster_key=."
        )
        raise InputError(msg)
    if n < n_splits:
        msg = (
            f"{n} clones (or groups of clones with common cells) have a cell before time {last:g}"
            f" and a labelled one at time {last:g}; expected at least one for each of"
            f" n_splits={n_splits} folds. Pass a smaller n_splits=, or more clones."
        )
        raise InputError(msg)
    fold = np.empty(len(scored), dtype=np.int64)
    for rows in (np.flatnonzero(scored), np.flatnonzero(~scored)):
        fold[rng.permutation(rows)] = np.arange(len(rows)) % n_splits
    return fold[cells.unit]
