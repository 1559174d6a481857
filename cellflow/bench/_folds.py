"""Snapshots to hide, each with the coordinates that its prediction is judged in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.barcodes import require_shared_clones
from cellflow.adapter.cells import Cells
from cellflow.adapter.representation import LEAKY, refit_of
from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.errors import InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.population import Snapshots
    from cellflow.evaluation import Fold

__all__ = ["folds"]


def folds(
    adata: AnnData, cells: Cells, times: object, *, leak_free: bool, align: bool = False
) -> list[Fold]:
    """Return one fold per hidden time; arguments as those of `cf.bench.holdout`.

    With `align`, offsets of samples are removed, which the hidden cells have no part in.
    """
    made = _folds(adata, cells, times, leak_free=leak_free)
    require_shared_clones(cells, [fold.rest for fold in made])
    if not align or cells.sample is None:
        return made
    from cellflow.evaluation.folds import aligned_around

    n_samples = len(cells.sample_names)
    return [
        replace(fold, snapshots=aligned_around(fold.snapshots, fold.time, n_samples))
        for fold in made
    ]


def _folds(adata: AnnData, cells: Cells, times: object, *, leak_free: bool) -> list[Fold]:
    from cellflow.evaluation import Fold
    from cellflow.evaluation.folds import inner_times

    snapshots = cells.snapshots()
    hidden = inner_times(snapshots, _as_numbers(cells, times))
    if cells.use_rep == "X":
        return [Fold(snapshots, t, "X: nothing is fitted") for t in hidden]
    if not leak_free:
        return [Fold(snapshots, t, LEAKY) for t in hidden]
    refit, reason = refit_of(
        adata, use_rep=cells.use_rep, n_dims=cells.x.shape[1], layer=cells.reading.layer
    )
    if refit is None:
        msg = (
            f"leak_free=True, but {reason}. Snapshots are held out in these coordinates as they"
            " are, which have seen the held-out cells, so that distances are no test of what is"
            " new. Pass leak_free=False to say so yourself, layer= with the expression that the"
            " PCA was made of, or a PCA of the expression as use_rep=."
        )
        warn(msg, InputWarning)
        return [Fold(snapshots, t, LEAKY) for t in hidden]
    made = []
    for t in hidden:
        positions = refit.coordinates(np.flatnonzero(cells.timed & (cells.time != t)))
        made.append(Fold(_moved(snapshots, positions), t, refit.label))
    return made


def _as_numbers(cells: Cells, times: object) -> object:
    """Labels of times, one or several, as numbers in the unit of the column; others as they are."""
    if isinstance(times, str | dt.timedelta | np.timedelta64):
        return cells.time_unit.number("times", times)
    if isinstance(times, Sequence | np.ndarray):
        return [
            cells.time_unit.number("times", time) if isinstance(time, str | dt.timedelta) else time
            for time in times
        ]
    return times


def _moved(snapshots: Snapshots, positions: FloatArray) -> Snapshots:
    return snapshots.moved([positions[p.index] for p in snapshots.populations])
