"""Read an AnnData into checked arrays."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.barcodes import examine_barcodes
from cellflow.adapter.bases import where_of
from cellflow.adapter.cells import Cells
from cellflow.adapter.columns import (
    column_of,
    compared_sums,
    growth_of,
    masses_of,
    weights_of,
)
from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.adapter.lineage import clones_of
from cellflow.adapter.outliers import examine_distances
from cellflow.adapter.positions import examine_positions
from cellflow.adapter.predicted import examine_predicted
from cellflow.adapter.reading import Reading
from cellflow.adapter.replicates import examine_samples
from cellflow.adapter.samples import samples_of
from cellflow.adapter.times import ParsedTimes, examine_times
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, InputTypeError, MissingDataError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["examine", "examine_cells", "examine_column", "read", "read_h5ad", "require_anndata"]

#: Snapshots with fewer cells than this are pointed out.
_FEW_CELLS = 5


def read(adata: AnnData, reading: Reading, *, apart: Collection[str] | None = None) -> Cells:
    """Read positions and times of all cells, and check them.

    A call with a `sample_key` gives the columns of `obs` that are known to be no samples, `apart`;
    samples, and other columns that look like them, are then examined.

    Raises
    ------
    InputError
        The first thing that is wrong, by its class; the message names the key, what was found and
        expected, and the remedy.

    Warns
    -----
    InputWarning
        What is usable but looks wrong: see `cellflow.pp.check`.
    """
    return settle(examine(adata, reading, apart=apart))


def require_anndata(adata: object) -> None:
    """Make sure that it is an AnnData.

    Raises
    ------
    InputTypeError
        It is something else; the message says how to get from there to an AnnData.
    """
    for problem in _not_anndata(adata):
        raise problem.kind(problem.message)


def examine(
    adata: AnnData, reading: Reading, *, apart: Collection[str] | None = None
) -> Examination[Cells | None]:
    """Check everything that `read` reads; yields all findings in the order of reading."""
    foreign = list(_not_anndata(adata))
    if foreign:
        yield from foreign
        return None
    parsed = yield from examine_column(adata, reading.time_key)
    if parsed is not None:
        yield from _snapshots(parsed.values, f"adata.obs[{reading.time_key!r}]")
    if reading.sample_key is not None and reading.sample_key == reading.time_key:
        remedy = "Pass the column of the animal, dish or donor that cells were taken from."
        found = "is the column of the times"
        where = f"sample_key={reading.sample_key!r}"
        yield Finding(where, found, "the column of the samples", remedy, argument="sample_key")
        return None
    yield from examine_predicted(adata, None if parsed is None else parsed.values)
    cells = yield from examine_cells(adata, parsed, reading)
    if cells is not None and apart is not None:
        yield from examine_samples(adata, cells, apart)
        yield from examine_barcodes(adata, cells)
    return cells


def examine_column(adata: AnnData, time_key: str) -> Examination[ParsedTimes | None]:
    """Check and read the column of times."""
    column = yield from column_of(adata, time_key, "time_key")
    if column is None:
        return None
    return (yield from examine_times(column, f"adata.obs[{time_key!r}]"))


def examine_cells(
    adata: AnnData, parsed: ParsedTimes | None, reading: Reading
) -> Examination[Cells | None]:
    """Check and read everything but the times, which are given (None where they are unusable)."""
    timed = None if parsed is None else parsed.values
    weight: FloatArray | None = None
    mass: dict[float, float] | None = {}
    growth: FloatArray | None = None
    if reading.weight_key is not None:
        weight = yield from weights_of(adata, reading.weight_key, timed)
    if reading.mass_key is not None:
        mass = yield from masses_of(adata, reading.mass_key, timed)
    if reading.growth_key is not None:
        growth = yield from growth_of(adata, reading.growth_key, timed)
    beside = yield from _beside(adata, timed, reading)
    if weight is not None and mass and timed is not None:
        yield from compared_sums(weight, mass, timed, reading)
    positions = yield from examine_positions(
        adata, use_rep=reading.use_rep, n_dims=reading.n_dims, force_rep=reading.force_rep
    )
    if not adata.obs_names.is_unique:
        n = int(adata.obs_names.duplicated().sum())
        found = f"repeats {n} names (first: {adata.obs_names[adata.obs_names.duplicated()][0]!r})"
        remedy = (
            "Cells are identified by position here; adata.obs_names_make_unique() helps everything"
            " keyed by name."
        )
        yield Finding("adata.obs_names", found, "one name per cell", remedy, "note")
    if parsed is None or positions is None or mass is None or beside is None:
        return None
    key, x = positions
    yield from examine_distances(x, parsed.values, where_of(key), adata.obs_names)
    reading = replace(reading, use_rep=key, n_dims=x.shape[1])
    return Cells(
        x, parsed.values, parsed.unit, parsed.labels, reading, weight, mass,
        zero=parsed.zero, growth=growth, **beside,
    )  # fmt: skip


def _beside(
    adata: AnnData, timed: FloatArray | None, reading: Reading
) -> Examination[dict[str, Any] | None]:
    """Check and read samples and clones, as fields of `Cells`."""
    found: dict[str, Any] = {}
    if reading.sample_key is not None:
        samples = yield from samples_of(adata, reading.sample_key, timed)
        if samples is None:
            return None
        found |= {"sample": samples[0], "sample_names": samples[1]}
    if reading.lineage_key is not None:
        lineage = yield from clones_of(adata, reading.lineage_key)
        if lineage is None:
            return None
        found["lineage"] = lineage
    return found


def read_h5ad(path: str | os.PathLike[str]) -> AnnData:
    """Read an AnnData from a file.

    Raises
    ------
    MissingDataError
        There is no such file.
    InputError
        It is not an h5ad, is truncated, or cannot be locked.
    """
    import anndata

    path = Path(path)
    if not path.is_file():
        nearby = [p.name for p in path.parent.glob("*.h5ad")] if path.parent.is_dir() else []
        msg = f"{path} is not a file. Expected an h5ad file{closest(path.name, nearby)}."
        raise MissingDataError(msg)
    with path.open("rb") as file:
        start = file.read(8)
    if start != b"\x89HDF\r\n\x1a\n":
        found = f"starts with {start!r}" if start else "is empty"
        msg = (
            f"{path} is not an h5ad ({found}). Expected an AnnData in HDF5; download it again, or"
            " convert it with anndata."
        )
        raise InputError(msg)
    try:
        adata = anndata.read_h5ad(path)
    except Exception as cause:
        hint = "It is damaged or holds no AnnData; download or write it again."
        if re.search(r"\block(s|ing)?\b", str(cause), re.IGNORECASE):
            hint = (
                "The file system does not lock files; set the environment variable"
                " HDF5_USE_FILE_LOCKING=FALSE."
            )
        msg = f"{path} could not be read as an h5ad ({str(cause).splitlines()[0]}). {hint}"
        raise InputError(msg) from cause
    return adata


def _not_anndata(adata: object) -> Iterator[Finding]:
    import anndata

    if isinstance(adata, anndata.AnnData):
        if adata.n_obs == 0:
            found = f"has no cells (shape {adata.shape})"
            remedy = "Check the filter that made it."
            yield Finding("adata", found, "cells at two times at least", remedy)
        return
    name = type(adata).__name__
    remedies = {
        "MuData": "Pass one modality, for example mdata['rna'].",
        "SpatialData": "Pass its table, for example sdata.tables['table'].",
        "DataFrame": "Pass anndata.AnnData(frame) with the times in its obs.",
        "ndarray": "Pass anndata.AnnData(array) with the times in its obs.",
        "str": "Read it first: scanpy.read_h5ad(path).",
        "PosixPath": "Read it first: scanpy.read_h5ad(path).",
    }
    remedy = remedies.get(name, "Pass an anndata.AnnData.")
    yield Finding("adata", f"is of type {name}", "AnnData", remedy, kind=InputTypeError)


def _snapshots(time: FloatArray, key: str) -> Iterator[Finding]:
    times, counts = np.unique(time[~np.isnan(time)], return_counts=True)
    if len(times) == 0:
        remedy = "Fill the column, or pass another time_key=."
        yield Finding(
            key, "holds no time for any cell", "times of the cells", remedy, argument="time_key"
        )
        return
    if len(times) == 1:
        found = f"holds one time only, {times[0]:g}, for all {counts[0]:,} cells that have one"
        remedy = "Add another snapshot, or pass another time_key=."
        yield Finding(key, found, "cells at two times at least", remedy, argument="time_key")
        return
    if counts.sum() < len(time):
        found = f"holds no time for {len(time) - counts.sum():,} of {len(time):,} cells"
        remedy = "They take no part in the fit and are annotated afterwards."
        yield Finding(key, found, "a time per cell", remedy, "note")
    few = counts < _FEW_CELLS
    if few.any():
        shown = ", ".join(
            f"{t:g} ({n})" for t, n in list(zip(times[few], counts[few], strict=True))[:8]
        )
        found = (
            f"has {few.sum()} of {len(times)} snapshots with fewer than {_FEW_CELLS} cells: {shown}"
        )
        remedy = (
            "Where time is nearly continuous, bin it; else read what concerns these times with"
            " care."
        )
        yield Finding(key, found, "snapshots that stand for their population", remedy, "warning")
