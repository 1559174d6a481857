"""Times of the cells of a fit: those that it wrote, or those of the column that it read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.adapter.fingerprint import require_same_times
from cellflow.adapter.keys import PREDICTED, Keys
from cellflow.adapter.predicted import predicted_cells
from cellflow.adapter.read import examine_column
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData


__all__ = ["Times", "examine_fit_times", "inferred_times", "read_times", "require_times"]

#: What to do where the data are no longer what the fit was made with.
REMEDY = "The fit was made with it: restore it, or fit again with cf.tl.flow."

#: Cells whose times a cell without one takes the mean of.
_NEIGHBORS = 30


def inferred_times(cells: Cells) -> FloatArray:
    """Times without gaps, shape `(n,)`.

    A cell without a time takes the mean of its nearest timed neighbours', weighted by a Gaussian
    kernel.
    """
    from cellflow.analysis.embedding import place

    times = cells.time.copy()
    untimed = ~cells.timed
    if untimed.any():
        known = cells.time[cells.timed][:, None]
        mean = place(cells.x[untimed], cells.x[cells.timed], known, n_neighbors=_NEIGHBORS)[:, 0]
        # Rounding could leave the observed times.
        times[untimed] = np.clip(mean, known.min(), known.max())
    return times


@dataclass(frozen=True, eq=False)
class Times:
    """When cells were sampled, as a fit knows it.

    Parameters
    ----------
    key
        The column of `adata.obs` that it was read from.
    values
        Shape `(n,)`; in the column that the fit wrote, without gaps.
    inferred
        Whether the time is not the cell's own, shape `(n,)`.
    unit
        Of the times.
    labels
        The number that each label of the column stands for.
    are_written
        Whether the fit wrote them.
    zero
        What they are counted from; see `ParsedTimes`.
    """

    key: str
    values: FloatArray
    inferred: np.ndarray
    unit: str
    labels: dict[str, float]
    are_written: bool
    zero: str = ""

    @property
    def own(self) -> FloatArray:
        """Shape `(n,)`; NaN where the time is not the cell's own."""
        return np.where(self.inferred, np.nan, self.values)


def read_times(adata: AnnData, keys: Keys, record: Mapping[str, Any]) -> Times:
    """Read the times of cells from the columns that a fit wrote, or from the one that it read.

    The record is what `record_of` returned.

    Raises
    ------
    InputError
        Columns that are not what the fit wrote, or that can be read no more; cells of the fit that
        have other times now.
    """
    times: Times = settle(
        examine_fit_times(adata, keys, record["params"]), again=True, instead=REMEDY
    )
    require_times(adata, record, times)
    return times


def require_times(adata: AnnData, record: Mapping[str, Any], times: Times) -> None:
    """Require that cells of the fit have the times that they had then."""
    known = record["fingerprint"]
    names = adata.obs_names.to_numpy()
    where = f"adata.obs[{times.key!r}]"
    remedy = "Restore the column" if times.are_written else "Restore the column, in its unit"
    require_same_times(known, names, times.values, times.inferred, where, remedy)


def _written_column(
    adata: AnnData, name: str, wanted: type[np.generic]
) -> Examination[np.ndarray | None]:
    """Check and read a column that a fit wrote."""
    column = adata.obs[name]
    if column.ndim == 1 and column.dtype == wanted:
        return np.asarray(column.to_numpy())
    # Where cells joined and were left out again, pandas keeps a type for missing values.
    if column.ndim == 1 and wanted is np.bool_ and column.dtype == "boolean":
        return np.asarray(column.to_numpy(dtype=bool))
    found = f"has dtype {column.dtype}"
    if column.ndim != 1:
        found = f"names {column.shape[1]} columns"
    expected = f"one column of {np.dtype(wanted).name}, which the fit wrote"
    yield Finding(f"adata.obs[{name!r}]", found, expected, "Fit again with cf.tl.flow.")
    return None


def _without_times(adata: AnnData, keys: Keys) -> Finding | None:
    """Cells that joined an AnnData after the fit, to which it gave no time; None where none did."""
    column = adata.obs[keys.time_inferred]
    if column.ndim != 1 or not column.isna().any():
        return None
    joined = column.isna().to_numpy()
    n_predicted = int((predicted_cells(adata) & joined).sum())
    n_joined = int(joined.sum())
    kinds = [f"{n_predicted:,} of them predicted cells (adata.obs[{PREDICTED!r}])"]
    kinds = kinds * (n_predicted > 0) + ["cells of another AnnData"] * (n_predicted < n_joined)
    found = (
        f"has no value for {n_joined:,} of {len(joined):,} cells (first:"
        f" {str(adata.obs_names[joined][0])!r}), {' and '.join(kinds)}"
    )
    remedy = (
        "Leave the others out, with"
        f" adata[~adata.obs[{keys.time!r}].isna()].copy(), or fit all with cf.tl.flow."
    )
    where = f"adata.obs[{keys.time_inferred!r}]"
    return Finding(where, found, "cells of the fit", remedy)


def examine_fit_times(
    adata: AnnData, keys: Keys, params: Mapping[str, Any]
) -> Examination[Times | None]:
    """Check and read the times that a fit wrote, or those of the column that it read."""
    if keys.time not in adata.obs or keys.time_inferred not in adata.obs:
        time_key = str(params["time_key"])
        parsed = yield from examine_column(adata, time_key)
        if parsed is None:
            return None
        untimed = np.isnan(parsed.values)
        if untimed.all():
            where = f"adata.obs[{time_key!r}]"
            found = "has no time for any of these cells"
            remedy = "Add the times of some, or pass cells that have them."
            yield Finding(where, found, "a time for some of them at least", remedy)
            return None
        known = (parsed.values, untimed, parsed.unit, parsed.labels)
        return Times(time_key, *known, are_written=False, zero=parsed.zero)
    missing = _without_times(adata, keys)
    if missing is not None:
        yield missing
        return None
    values = yield from _written_column(adata, keys.time, np.float64)
    inferred = yield from _written_column(adata, keys.time_inferred, np.bool_)
    if values is None or inferred is None:
        return None
    if not np.isfinite(values).all():
        found = f"has no finite time for {(~np.isfinite(values)).sum()} cells"
        expected = "the finite float64 that the fit wrote"
        yield Finding(f"adata.obs[{keys.time!r}]", found, expected, "Fit again with cf.tl.flow.")
        return None
    unit = str(params["time_unit"])
    zero = str(params.get("time_zero", ""))
    return Times(keys.time, values, inferred, unit, {}, are_written=True, zero=zero)
