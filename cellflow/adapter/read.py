"""The one validation door: an AnnData in, checked arrays out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from cellflow.adapter.positions import examine_distances, examine_positions
from cellflow.adapter.problem import Examination, Problem, settle
from cellflow.adapter.reading import Reading
from cellflow.adapter.times import ParsedTimes, TimeUnit, examine_times
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray
from cellflow.core.conditions import Conditions
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, InputTypeError, MissingDataError, MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = [
    "Cells",
    "examine",
    "examine_cells",
    "examine_column",
    "read",
    "read_h5ad",
    "require_anndata",
]

#: Snapshots with fewer cells than this are pointed out.
_FEW_CELLS = 5


@dataclass(frozen=True, eq=False)
class Cells:
    """What a fit needs of an AnnData, for all of its cells.

    Parameters
    ----------
    x
        Positions, shape `(n, d)`, float32, finite.
    time
        Shape `(n,)`; NaN for cells without a time.
    unit
        Of the times; empty where the column does not say.
    labels
        The number that each label of the time column stands for.
    reading
        Where all of this came from: `use_rep` as it is spelled in `obsm`, and `n_dims` as a number.
    weight
        Shape `(n,)`, or None.
    mass
        Size of the whole population at each time, or empty.
    conditions
        The columns that make a condition, or None.
    context
        Features of each cell's condition, shape `(n, c)`, or None.
    zero
        What the times are counted from; see `cellflow.adapter.times.ParsedTimes`.
    shared_until
        Last time at which cells precede all conditions, or None. They are in the snapshots once for
        each later condition, as cells of it, with weights in proportion to the conditions' shares
        of the first later snapshot.
    """

    x: FloatArray
    time: FloatArray
    unit: str
    labels: Mapping[str, float]
    reading: Reading
    weight: FloatArray | None = None
    mass: Mapping[float, float] = field(default_factory=dict)
    conditions: Conditions | None = None
    context: FloatArray | None = None
    zero: str = ""
    shared_until: float | None = None

    @property
    def later_conditions(self) -> tuple[FloatArray, FloatArray]:
        """Features of the conditions after `shared_until`, shape `(k, c)`, and their shares of the next snapshot, `(k,)`."""
        until = -np.inf if self.shared_until is None else self.shared_until
        context = np.asarray(self.context)
        weight = np.ones(len(self.x)) if self.weight is None else self.weight
        later = np.flatnonzero((self.time > until) & (weight > 0))
        kinds, kind = np.unique(context[later], axis=0, return_inverse=True)
        first = self.time[later] == self.time[later].min()
        share = np.bincount(kind.reshape(-1)[first], weight[later][first], len(kinds))
        return kinds, np.asarray(share / share.sum())

    @property
    def time_unit(self) -> TimeUnit:
        """What reads a time that is asked for."""
        return TimeUnit.of(self.unit, self.zero, self.reading.time_key)

    @property
    def use_rep(self) -> str:
        """Name of the representation, as it is spelled in `obsm`."""
        return self.reading.use_rep

    @property
    def timed(self) -> np.ndarray:
        """Which cells have a time, shape `(n,)`."""
        return ~np.isnan(self.time)

    @property
    def n_untimed(self) -> int:
        """Number of cells without a time."""
        return int(np.isnan(self.time).sum())

    def snapshots(self) -> Snapshots:
        """The timed cells as populations; `Population.index` holds their rows."""
        populations = []
        for time in np.unique(self.time[self.timed]):
            rows = np.flatnonzero(self.time == time)
            weight = cast("FloatArray", None if self.weight is None else self.weight[rows])
            context = None if self.context is None else self.context[rows]
            if self.shared_until is not None and time <= self.shared_until:
                kinds, shares = self.later_conditions
                weight = np.outer(shares, np.ones(len(rows)) if weight is None else weight).ravel()
                context = np.repeat(kinds, len(rows), axis=0)
                rows = np.tile(rows, len(kinds))
            mass = self.mass.get(float(time), 1.0)
            populations.append(Population(self.x[rows], float(time), weight, rows, mass, context))
        return Snapshots(tuple(populations))


def read(adata: AnnData, reading: Reading) -> Cells:
    """Read positions and times of all cells, and check them.

    Parameters
    ----------
    adata
        The cells.
    reading
        What to read of it.

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
    return settle(examine(adata, reading))


def require_anndata(adata: object) -> None:
    """Make sure that it is an AnnData.

    Raises
    ------
    InputTypeError
        It is something else; the message says how to get from there to an AnnData.
    """
    for problem in _not_anndata(adata):
        raise problem.kind(problem.message)


def examine(adata: AnnData, reading: Reading) -> Examination[Cells | None]:
    """Check everything that `read` reads; yields all that is wrong or odd, in the order of its reading."""
    foreign = list(_not_anndata(adata))
    if foreign:
        yield from foreign
        return None
    parsed = yield from examine_column(adata, reading.time_key)
    if parsed is not None:
        yield from _snapshots(parsed.values, f"adata.obs[{reading.time_key!r}]")
    return (yield from examine_cells(adata, parsed, reading))


def examine_column(adata: AnnData, time_key: str) -> Examination[ParsedTimes | None]:
    """Check and read the column of times."""
    column = yield from _column(adata, time_key, "time_key")
    return (
        None if column is None else (yield from examine_times(column, f"adata.obs[{time_key!r}]"))
    )


def examine_cells(
    adata: AnnData, parsed: ParsedTimes | None, reading: Reading
) -> Examination[Cells | None]:
    """Check and read everything but the times, which are given (None where they are unusable)."""
    timed = None if parsed is None else parsed.values
    weight: FloatArray | None = None
    mass: dict[float, float] | None = {}
    if reading.weight_key is not None:
        weight = yield from _weights(adata, reading.weight_key, timed)
    if reading.mass_key is not None:
        mass = yield from _masses(adata, reading.mass_key, timed)
    positions = yield from examine_positions(
        adata, use_rep=reading.use_rep, n_dims=reading.n_dims, force_rep=reading.force_rep
    )
    if not adata.obs_names.is_unique:
        n = int(adata.obs_names.duplicated().sum())
        found = f"repeats {n} names (first: {adata.obs_names[adata.obs_names.duplicated()][0]!r})"
        remedy = (
            "Cells are told apart by position here; adata.obs_names_make_unique() helps everything"
            " keyed by name."
        )
        yield Problem("adata.obs_names", found, "one name per cell", remedy, "note")
    if parsed is None or positions is None or mass is None:
        return None
    key, x = positions
    yield from examine_distances(
        x, parsed.values, "adata.X" if key == "X" else f"adata.obsm[{key!r}]", adata.obs_names
    )
    reading = replace(reading, use_rep=key, n_dims=x.shape[1])
    return Cells(
        x, parsed.values, parsed.unit, parsed.labels, reading, weight, mass, zero=parsed.zero
    )


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


def _not_anndata(adata: object) -> Iterator[Problem]:
    import anndata

    if isinstance(adata, anndata.AnnData):
        if adata.n_obs == 0:
            remedy = "Check the filter that made it."
            yield Problem(
                "adata",
                f"has no cells (shape {adata.shape})",
                "cells at two times at least",
                remedy,
            )
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
    yield Problem("adata", f"is of type {name}", "AnnData", remedy, kind=InputTypeError)


def _column(adata: AnnData, key: object, argument: str) -> Examination[pd.Series | None]:
    known = list(map(str, adata.obs.columns))
    if not isinstance(key, str) or key not in adata.obs.columns:
        remedy = f"Pass {argument}= one of them{closest(key, known)}."
        at = f"adata.obs[{shown(key)}]"
        yield Problem(
            at, "is missing", f"one of {known}", remedy, kind=MissingKeyError, argument=argument
        )
        return None
    column: pd.Series = adata.obs[key]
    if column.ndim != 1:
        remedy = "Drop or rename the others."
        yield Problem(
            f"adata.obs[{key!r}]",
            f"names {column.shape[1]} columns",
            "one column of that name",
            remedy,
        )
        return None
    return column


def _snapshots(time: FloatArray, key: str) -> Iterator[Problem]:
    times, counts = np.unique(time[~np.isnan(time)], return_counts=True)
    if len(times) == 0:
        remedy = "Fill the column, or pass another time_key=."
        yield Problem(
            key, "holds no time for any cell", "times of the cells", remedy, argument="time_key"
        )
        return
    if len(times) == 1:
        found = f"holds one time only, {times[0]:g}, for all {counts[0]:,} cells that have one"
        remedy = "Add another snapshot, or pass another time_key=."
        yield Problem(key, found, "cells at two times at least", remedy, argument="time_key")
        return
    if counts.sum() < len(time):
        found = f"holds no time for {len(time) - counts.sum():,} of {len(time):,} cells"
        yield Problem(
            key,
            found,
            "a time per cell",
            "They take no part in the fit and are annotated afterwards.",
            "note",
        )
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
        yield Problem(key, found, "snapshots that stand for their population", remedy, "warning")


def _weights(adata: AnnData, key: str, time: FloatArray | None) -> Examination[FloatArray | None]:
    weight = yield from _numbers(adata, key, "weight_key")
    if weight is None or time is None:
        return None
    where = f"adata.obs[{key!r}]"
    timed = ~np.isnan(time)
    bad = np.flatnonzero(timed & ~((weight >= 0) & np.isfinite(weight)))
    if len(bad):
        found = (
            f"holds {len(bad)} unusable weights (first: cell {adata.obs_names[bad[0]]!r},"
            f" {weight[bad[0]]:g})"
        )
        yield Problem(
            where,
            found,
            "finite numbers of at least 0",
            "Fill or clip them; 0 leaves a cell out of the fit.",
        )
        return None
    empty = [t for t in np.unique(time[timed]) if weight[time == t].sum() == 0]
    if empty:
        yield Problem(
            where,
            f"is 0 for all cells at time {empty[0]:g}",
            "some weight at every time",
            "Leave that snapshot out.",
        )
        return None
    return weight


def _masses(
    adata: AnnData, key: str, time: FloatArray | None
) -> Examination[dict[float, float] | None]:
    mass = yield from _numbers(adata, key, "mass_key")
    if mass is None or time is None:
        return None
    by_time = {float(t): np.unique(mass[time == t]) for t in np.unique(time[~np.isnan(time)])}
    for t, values in by_time.items():
        if len(values) != 1 or not (np.isfinite(values[0]) and values[0] > 0):
            shown = ", ".join(f"{v:g}" for v in values[:4])
            remedy = "Give the size of the whole population, the same for all cells of a snapshot."
            yield Problem(
                f"adata.obs[{key!r}]",
                f"is {shown} at time {t:g}",
                "one positive number per snapshot",
                remedy,
            )
            return None
    return {t: float(values[0]) for t, values in by_time.items()}


def _numbers(adata: AnnData, key: str, argument: str) -> Examination[FloatArray | None]:
    column = yield from _column(adata, key, argument)
    if column is None:
        return None
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
        remedy = f"Convert it, or pass another {argument}=."
        yield Problem(
            f"adata.obs[{key!r}]", f"has dtype {column.dtype}", "numbers", remedy, argument=argument
        )
        return None
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
