"""Whether barcodes can inform plans, and whether they look like barcodes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import chain, starmap
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.findings import Finding
from cellflow.core._random import stream
from cellflow.core.conditions import shared_conditions
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.transport.clones import Shared, shared_clones

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["examine_barcodes", "require_shared_clones"]

_log = logging.getLogger("cellflow")

#: A clone with more than this share of the cells that have one is no clone.
_MOST = 0.5
#: From so many cells with a barcode, and so many clones at both ends, on they are judged.
_LEAST_CELLS = 20
_LEAST_CLONES = 10
#: Clones that are shuffled at most, how often, and their draw.
_SHUFFLED = 500
_N_SHUFFLES = 199
_DRAW = 0
#: Barcodes that are shuffled look like this by chance more often than that.
_CHANCE = 0.05
#: Clones of fewer cells than this on average may have a column of their names beside them.
_LARGE = 20


def examine_barcodes(adata: AnnData, cells: Cells) -> Iterator[Finding]:
    """Compare clones with other columns, and with shuffled ones."""
    key = cells.reading.lineage_key
    if cells.lineage is None or key is None:
        return
    where = f"lineage_key={key!r}"
    lineage = cells.lineage[cells.timed]
    sizes = np.asarray(lineage.sum(axis=0))[0]
    n = int((lineage.getnnz(axis=1) > 0).sum())
    if n >= _LEAST_CELLS and sizes.max() > _MOST * n:
        found = f"has one clone with {sizes.max():.0f} of the {n} cells that are in any"
        remedy = "Check whether that barcode stands for a failed readout, and leave it empty if so."
        yield Finding(where, found, "clones of few cells", remedy, "warning")
    for name in _alike(adata, cells, key):
        found = f"groups the cells exactly as adata.obs[{name!r}] does"
        remedy = "Pass the static barcodes of the cells, not a label of their type or origin."
        yield Finding(where, found, "descent from common cells", remedy, "warning")
    chance = [p for p in starmap(_by_chance, cells.snapshots().intervals) if p is not None]
    if chance and min(chance) * len(chance) > _CHANCE:
        found = (
            "says nothing about where cells lie: clones at consecutive times are placed as if"
            f" barcodes were shuffled (p = {min(chance):.2g}, the least of {len(chance)} intervals)"
        )
        remedy = "Check that one labelling gave the barcodes of all times, or omit lineage_key=."
        yield Finding(where, found, "clones whose cells move together", remedy, "warning")


def require_shared_clones(cells: Cells, courses: Sequence[Snapshots] | None = None) -> None:
    """Require that a clone occurs at both ends of an interval, in one condition.

    Parameters
    ----------
    cells
        With clones or without.
    courses
        The snapshots that are fitted, where those are not all of the cells.

    Raises
    ------
    InputError
        There is none.
    """
    if cells.lineage is None:
        return
    counts = []
    courses = [cells.snapshots()] if courses is None else courses
    for source, target in chain.from_iterable(course.intervals for course in courses):
        parts = [(source, target)]
        if cells.conditions is not None:
            shared = shared_conditions(source, target)
            parts = [(source.part(here), target.part(there)) for _, here, there in shared]
        counts.append(sum(len(_shared(*ends)) for ends in parts))
    key = cells.reading.lineage_key
    times = [
        cells.lineage[cells.time == t].getnnz(axis=0) > 0
        for t in np.unique(cells.time[cells.timed])
    ]
    found = np.sum(times, axis=0)
    present = int((found > 0).sum())
    if not any(counts):
        inside = "" if cells.conditions is None else " in one condition"
        msg = (
            f"lineage_key={key!r}: none of its {present} clones has cells at two consecutive"
            f" times{inside}, so barcodes cannot inform a plan. Expected static barcodes that are"
            " found again at the next time; omit lineage_key= to fit without."
        )
        raise InputError(msg)
    _log.info(
        "lineage_key=%r: %d of %d clones occur at one time only; clones at both ends of the"
        " intervals: %s.",
        key,
        (found == 1).sum(),
        present,
        counts,
    )


def _shared(source: Population, target: Population) -> Shared:
    return shared_clones(source.lineage, target.lineage, source.weight, target.weight)


def _alike(adata: AnnData, cells: Cells, key: str) -> Iterator[str]:
    """Names of columns that group the cells with a time as their clones do."""
    import pandas as pd

    lineage: csr_matrix = cells.lineage[cells.timed]  # type: ignore[index] # there are clones
    present = np.flatnonzero(lineage.getnnz(axis=0))
    if len(present) < 2 or not (lineage.getnnz(axis=1) == 1).all():
        return
    clone = lineage.indices
    large = lineage.nnz >= _LARGE * len(present)
    for name in adata.obs.columns if large else filter(None, [cells.reading.sample_key]):
        column = adata.obs[name]
        if name == key or column.ndim != 1:
            continue
        codes, values = pd.factorize(column[cells.timed])
        if len(values) == len(present) and (codes >= 0).all():
            pairs = np.unique(np.stack([codes, clone]), axis=1)
            if pairs.shape[1] == len(present):
                yield str(name)


def _by_chance(source: Population, target: Population) -> float | None:
    """Share of shuffled clones whose mean positions at both ends are as related; None for few.

    How related they are is the squared norm of the covariance between the means.
    """
    shared = _shared(source, target)
    if len(shared) < _LEAST_CLONES:
        return None
    rng = stream(_DRAW)
    some = rng.permutation(len(shared))[:_SHUFFLED]
    means = []
    for part, population in zip(shared, (source, target), strict=True):
        of_clone = part[:, some]
        mean = (of_clone.T @ population.x) / np.asarray(of_clone.sum(axis=0)).T
        means.append(mean - mean.mean(axis=0))
    early, late = means
    known = ((early.T @ late) ** 2).sum()
    shuffled = [
        ((early.T @ late[rng.permutation(len(some))]) ** 2).sum() for _ in range(_N_SHUFFLES)
    ]
    return float(1 + (np.array(shuffled) >= known).sum()) / (1 + _N_SHUFFLES)
