"""Samples in the record of a fit: distances, offsets, and positions without offsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.errors import InputWarning, ModelFileError

if TYPE_CHECKING:
    from cellflow.analysis.sample_offsets import SampleOffsets
    from cellflow.analysis.samples import SampleDistances

__all__ = ["aligned", "aligned_as", "sample_entry"]


def sample_entry(
    names: tuple[str, ...],
    offsets: SampleOffsets,
    found: SampleDistances,
    left: SampleDistances,
    words: str,
) -> dict[str, Any]:
    """What a record keeps of samples; `left` is what remains between them without offsets."""
    columns = {name: getattr(found, name) for name in ("n_samples", "n_cells", "between", "step")}
    return {
        "names": np.array(names, dtype=object),
        "offsets": offsets.values,
        "is_reference": offsets.is_reference,
        "times": found.times,
        **columns,
        "share": found.share,
        "between_aligned": left.between,
        "step_aligned": left.step,
        "words": words,
    }


def aligned(cells: Cells, offsets: SampleOffsets) -> Cells:
    """The cells at positions without the offsets of their samples."""
    assert cells.sample is not None
    return replace(cells, x=offsets.moved(cells.x, cells.sample), measured=cells.x)


def aligned_as(cells: Cells, record: Mapping[str, Any], where: str) -> Cells:
    """The cells at positions without the offsets that a fit has found.

    Raises
    ------
    ModelFileError
        Offsets that are not what was written.

    Warns
    -----
    InputWarning
        Cells of a sample that the fit does not know, while others have offsets.
    """
    from cellflow.analysis.sample_offsets import SampleOffsets

    if "samples" not in record or cells.sample is None:
        return cells
    known, values = _stored(record["samples"], cells.x.shape[1], where)
    if not values.any():
        return cells
    place = {name: k for k, name in enumerate(known)}
    new = sorted(
        {cells.sample_names[s] for s in np.unique(cells.sample[cells.sample >= 0])} - {*known}
    )
    if new:
        msg = (
            f"adata.obs[{cells.reading.sample_key!r}] names samples that the fit has not seen:"
            f" {', '.join(new[:5])}. No offset is known for them, and their cells stay where they"
            " are. Fit again with these cells for an offset."
        )
        warn(msg, InputWarning)
    rows = [place.get(name, len(known)) for name in cells.sample_names]
    whole = np.vstack([values, np.zeros(values.shape[1])])[rows].reshape(-1, values.shape[1])
    return aligned(cells, SampleOffsets(whole, np.zeros(len(whole), dtype=bool)))


def _stored(entry: Mapping[str, Any], n_dims: int, where: str) -> tuple[list[str], FloatArray]:
    """Names and offsets of a record, checked."""
    names = [str(name) for name in np.ravel(np.asarray(entry["names"], dtype=object))]
    values = np.asarray(entry["offsets"], dtype=np.float64)
    if values.shape != (len(names), n_dims) or not np.isfinite(values).all():
        msg = (
            f"{where}['samples']['offsets'] has shape {values.shape}. Expected finite numbers of"
            f" shape ({len(names)}, {n_dims}), which cf.tl.flow wrote. Restore it from a copy, or"
            " make it again with cf.tl.flow."
        )
        raise ModelFileError(msg)
    return names, values
