"""Samples of a fit: how far they lie apart, and positions without their offsets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.adapter.replicates import LARGE, step_in_words
from cellflow.adapter.sample_record import aligned, sample_entry

if TYPE_CHECKING:
    from cellflow.analysis.sample_offsets import SampleOffsets
    from cellflow.analysis.samples import SampleDistances
    from cellflow.core.population import Snapshots

__all__ = ["examine_alignment", "with_samples"]


def with_samples(cells: Cells, *, align: bool) -> tuple[Cells, dict[str, Any]]:
    """The cells at positions without offsets of samples, and the entries of the record.

    Warns
    -----
    InputWarning
        Samples of one time lie as far apart as those of consecutive times.
    """
    return settle(examine_alignment(cells, align=align))


def examine_alignment(
    cells: Cells, *, align: bool
) -> Examination[tuple[Cells, dict[str, Any]] | None]:
    """Measure samples, remove their offsets, and yield what is to be said about them."""
    from cellflow.analysis.sample_offsets import SampleOffsets, sample_offsets
    from cellflow.analysis.samples import sample_distances

    if cells.sample is None:
        return cells, {}
    snapshots = _once(cells)
    n_samples = len(cells.sample_names)
    found = sample_distances(snapshots)
    offsets = SampleOffsets(
        np.zeros((n_samples, snapshots.n_dims)), np.zeros(n_samples, dtype=bool)
    )
    if align:
        offsets = sample_offsets(snapshots, n_samples)
    moved = aligned(cells, offsets)
    left = sample_distances(_once(moved)) if offsets.values.any() else found
    finding = _finding(cells, found, left, offsets, snapshots)
    yield finding
    words = finding.message
    return moved, {"samples": sample_entry(cells.sample_names, offsets, found, left, words)}


def _once(cells: Cells) -> Snapshots:
    """Snapshots with each cell once, also where cells precede several conditions."""
    return replace(cells, shared_until=None).snapshots()


def _finding(
    cells: Cells,
    found: SampleDistances,
    left: SampleDistances,
    offsets: SampleOffsets,
    snapshots: Snapshots,
) -> Finding:
    """What is said about the samples: a warning where batch is as large as time, else a note."""
    from cellflow.analysis.samples import differ_beyond_chance

    where = f"adata.obs[{cells.reading.sample_key!r}]"
    names = f"names {len(cells.sample_names)} samples"
    k = found.worst
    if k is None:
        several = (found.n_samples > 1).any()
        within = " and condition" if cells.conditions is not None else ""
        return Finding(
            where,
            f"{names}, but no time{within} has two of them with 10 cells each",
            "replicates",
            "Batch cannot be separated from time. If there are replicates, pass the column that"
            " has them.",
            "warning" if several else "note",
        )
    is_large = bool(found.share[k] >= LARGE) and differ_beyond_chance(snapshots)
    remedy = (
        " Read velocities there with care; more samples at each time, or a representation in which"
        " batches are corrected (use_rep=), tell more."
    )
    return Finding(
        where,
        f"{names}: two of one time lie {np.nanmean(found.between):.3g} apart (energy distance"
        f" without the noise of sampling cells), and {step_in_words(found)} is batch rather than"
        " time",
        "less than half",
        f"{_removed(cells, left, offsets)}{remedy * is_large}",
        "warning" if is_large else "note",
    )


def _removed(cells: Cells, left: SampleDistances, offsets: SampleOffsets) -> str:
    """Which offsets were removed, in words."""
    if not offsets.values.any():
        return "No offsets of samples were removed."
    names = [cells.sample_names[s] for s in np.flatnonzero(offsets.is_reference)]
    reference = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
    return (
        f"An offset of each sample is removed from positions (reference: {reference}), which leaves"
        f" them {np.nanmean(left.between):.3g} apart."
    )
