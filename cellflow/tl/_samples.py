"""Samples of a fit: how far they lie apart, and positions without their offsets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.replicates import LARGE, step_in_words
from cellflow.adapter.sample_record import aligned, sample_entry
from cellflow.core._warn import warn
from cellflow.errors import InputWarning

if TYPE_CHECKING:
    from cellflow.analysis.sample_offsets import SampleOffsets
    from cellflow.analysis.samples import SampleDistances
    from cellflow.core.population import Snapshots

__all__ = ["with_samples"]

logger = logging.getLogger("cellflow")


def with_samples(cells: Cells, *, align: bool) -> tuple[Cells, dict[str, Any]]:
    """The cells at positions without offsets of samples, and the entries of the record.

    Warns
    -----
    InputWarning
        Samples of one time lie as far apart as those of consecutive times.
    """
    from cellflow.analysis.sample_offsets import SampleOffsets, sample_offsets
    from cellflow.analysis.samples import sample_distances

    if cells.sample is None:
        return cells, {}
    snapshots = cells.snapshots()
    n_samples = len(cells.sample_names)
    found = sample_distances(snapshots)
    offsets = SampleOffsets(
        np.zeros((n_samples, snapshots.n_dims)), np.zeros(n_samples, dtype=bool)
    )
    if align:
        offsets = sample_offsets(snapshots, n_samples)
    moved = aligned(cells, offsets)
    left = sample_distances(moved.snapshots()) if offsets.values.any() else found
    words = _words(cells, found, left, offsets)
    _say(words, found, snapshots)
    return moved, {"samples": sample_entry(cells.sample_names, offsets, found, left, words)}


def _say(words: str, found: SampleDistances, snapshots: Snapshots) -> None:
    """A warning where batch is as large as time, or nothing is a replicate; else a log."""
    from cellflow.analysis.samples import differ_beyond_chance

    k = found.worst
    if k is None and (found.n_samples > 1).any():
        warn(f"{words} If there are replicates, pass the column that has them.", InputWarning)
    elif k is not None and found.share[k] >= LARGE and differ_beyond_chance(snapshots):
        remedy = (
            "Read velocities there with care; more samples at each time, or a representation in"
            " which batches are corrected (use_rep=), tell more."
        )
        warn(f"{words} {remedy}", InputWarning)
    else:
        logger.info(words)


def _words(
    cells: Cells, found: SampleDistances, left: SampleDistances, offsets: SampleOffsets
) -> str:
    """What was found about the samples, and what was done."""
    head = f"adata.obs[{cells.reading.sample_key!r}] names {len(cells.sample_names)} samples"
    k = found.worst
    if k is None:
        within = " of one condition" if cells.conditions is not None else ""
        return (
            f"{head}, and no time has two{within} with 10 cells: no replicates,"
            " so batch cannot be separated from time."
        )
    said = (
        f"{head}. Two of one time lie {np.nanmean(found.between):.3g} apart (energy distance"
        f" without the noise of sampling cells), and {step_in_words(found)} is batch rather than"
        " time."
    )
    if not offsets.values.any():
        return f"{said} No offsets of samples were removed."
    names = [cells.sample_names[s] for s in np.flatnonzero(offsets.is_reference)]
    reference = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
    return (
        f"{said} An offset of each sample was removed from positions (reference: {reference}),"
        f" which leaves them {np.nanmean(left.between):.3g} apart."
    )
