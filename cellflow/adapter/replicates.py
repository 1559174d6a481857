"""Samples as replicates: what is odd about them, and columns that look like samples."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.findings import Finding
from cellflow.core._typing import IntArray

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.samples import SampleDistances

__all__ = ["LARGE", "examine_samples", "step_in_words"]

#: Share of a step from which it is batch as much as time.
LARGE = 0.5
#: Groups of a column that was not named as samples, above which it is not examined: the time to
#: measure them grows with the square of their number.
_MOST_GROUPS = 50
#: Words of a column's name that say that it holds samples, and words that say that it does not.
_SAMPLES = {
    *("sample", "replicate", "rep", "batch", "donor", "mouse", "animal", "embryo", "library"),
    *("lane", "plate", "patient", "individual", "subject", "litter", "dish", "orig"),
}
_OTHERS = {
    *("type", "size", "count", "score", "n", "weight", "total", "sum", "depth", "age"),
    *("fraction", "percent", "pct", "time", "day", "sex", "strain", "quality", "color", "date"),
}


def examine_samples(adata: AnnData, cells: Cells, apart: Collection[str]) -> Iterator[Finding]:
    """Look for samples that are no replicates; without samples, for columns that look like them.

    Parameters
    ----------
    adata, cells
        The same cells.
    apart
        Columns of `obs` that are known to be something else.
    """
    if cells.sample is None:
        yield from _unused(adata, cells, apart)
        return
    where = f"adata.obs[{cells.reading.sample_key!r}]"
    timed = cells.timed
    pairs = np.unique(np.column_stack([cells.time[timed], cells.sample[timed]]), axis=0)
    n_samples = len(np.unique(pairs[:, 1]))
    n_times = len(np.unique(pairs[:, 0]))
    remedy = "Pass the column of the animal, dish or donor that cells were taken from."
    if n_samples == np.count_nonzero(timed):
        found = "names another sample for every cell"
        yield Finding(where, found, "several cells of each sample", remedy, argument="sample_key")
    elif len(pairs) == n_times:
        found = "names one sample at every time"
        if n_samples == 1:
            found = f"names one sample, {cells.sample_names[int(pairs[0, 1])]!r}, for all cells"
        yield Finding(
            where,
            found,
            "at least two samples at some time, as replicates",
            "Without them, batch cannot be separated from time, and intervals are by cell."
            " If there are replicates, pass the column that tells them apart.",
            "warning",
        )


def step_in_words(found: SampleDistances) -> str:
    """The step with the largest share of batch, in words."""
    k = found.worst
    assert k is not None
    batch = f"{100 * found.share[k]:.0f} % of the step from time {found.times[k]:g} to"
    return f"{batch} {found.times[k + 1]:g}"


def _unused(adata: AnnData, cells: Cells, apart: Collection[str]) -> Iterator[Finding]:
    """Columns that look like samples, and whose groups differ as much as consecutive times."""
    from cellflow.analysis.samples import differ_beyond_chance, sample_distances

    for key in adata.obs.columns:
        if key in apart or key == cells.reading.time_key or not _names_samples(key):
            continue
        code = _codes(adata, key)
        if code is None:
            continue
        snapshots = replace(cells, sample=code).snapshots()
        found = sample_distances(snapshots)
        if found.worst is None or found.share[found.worst] < LARGE:
            continue
        if not differ_beyond_chance(snapshots):
            continue
        yield Finding(
            f"adata.obs[{key!r}]",
            "looks like samples (replicates, batches), which differ as much as consecutive times:"
            f" {step_in_words(found)} is batch rather than time",
            "samples of one time that are alike, or that the fit knows of",
            f"Pass sample_key={key!r}: offsets of samples are then removed. Else velocities may"
            " point from one sample to another.",
            "warning",
        )


def _names_samples(key: object) -> bool:
    """Whether the name of a column says that it holds samples."""
    if not isinstance(key, str):
        return False
    parts = re.split(r"[^A-Za-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", key))
    words = {word.lower().rstrip("s") if len(word) > 2 else word.lower() for word in parts if word}
    return bool(words & _SAMPLES) and not words & _OTHERS


def _codes(adata: AnnData, key: str) -> IntArray | None:
    """Numbers of the groups of a column, `(n,)`, -1 for none; None for a measured quantity."""
    import pandas as pd

    column = adata.obs[key]
    if column.ndim != 1 or pd.api.types.is_float_dtype(column):
        return None
    code, names = pd.factorize(column)
    return np.asarray(code) if 1 < len(names) <= min(_MOST_GROUPS, len(code) / 2) else None
