"""The cells that others are compared with: some of each snapshot, kept with a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.record import record_of
from cellflow.adapter.store import opened, sealed
from cellflow.core._random import stream
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, ModelFileError

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.adapter.fitted import Fitted

__all__ = ["kept_cells", "reference_cells"]

#: Entry of `uns[key]`.
_ENTRY = "reference"
#: Cells of each snapshot at most; in 50 dimensions they take 200 kB. At alpha = 0.01 as many fix
#: the level to a third.
_KEPT = 1000
#: Stream of the choice.
_CHOICE = 71


def kept_cells(snapshots: Snapshots, seed: int) -> dict[str, Any]:
    """Return the entry of a record with cells of positive weight: all of a snapshot, or 1,000."""
    x = []
    time = []
    for k, population in enumerate(snapshots.populations):
        rows = np.flatnonzero(population.weight > 0)
        rows = np.sort(stream(seed, _CHOICE, k).permutation(rows)[:_KEPT])
        x.append(np.asarray(population.x[rows], dtype=np.float32))
        time.append(np.full(len(rows), population.time))
    return {_ENTRY: sealed({}, {"x": np.concatenate(x), "time": np.concatenate(time)})}


def reference_cells(adata: AnnData, fitted: Fitted) -> tuple[Snapshots, bool]:
    """Return cells of the fit, by snapshot, and whether the fit itself kept them.

    A fit of an earlier version kept none; then they are the cells of `adata` with times of the
    fit's snapshots.

    Raises
    ------
    InputError
        A fit of an earlier version, and no cell with a time of it.
    ModelFileError
        Damaged cells.
    """
    record = record_of(adata, fitted.keys)
    where = f"adata.uns[{fitted.keys.uns!r}][{_ENTRY!r}]"
    if _ENTRY in record:
        arrays = opened(record[_ENTRY], where, again="cf.tl.flow")[1]
        x = arrays.get("x")
        time = arrays.get("time")
        if (
            x is None
            or time is None
            or x.ndim != 2
            or x.shape[1] != fitted.flow.n_dims
            or time.shape != x.shape[:1]
        ):
            msg = (
                f"{where} is damaged: no cells in {fitted.flow.n_dims} dimensions with a time each."
                " Fit again with cf.tl.flow."
            )
            raise ModelFileError(msg)
        return Snapshots.from_arrays(x, time), True
    timed = fitted.cells.snapshots().populations if fitted.cells.timed.any() else ()
    known = [p for p in timed if p.time in fitted.flow.times]
    parts = [Population(p.x[p.weight > 0], p.time) for p in known]
    if not parts:
        msg = (
            f"{where} is missing, which fits of cellflow 0.1.0 did not keep, and none of these"
            f" cells has a time of the fit's snapshots, {fitted.flow.times.tolist()}. Expected"
            " cells of the fit to compare with: pass them too, or fit again."
        )
        raise InputError(msg)
    return Snapshots(tuple(parts)), False
