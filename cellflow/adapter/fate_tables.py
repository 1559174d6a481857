"""Fates of cells as a table, by cell or by groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.columns import column_of
from cellflow.adapter.fate_intervals import Sure
from cellflow.adapter.findings import settle
from cellflow.adapter.fitted import read_cells
from cellflow.adapter.keys import Keys
from cellflow.adapter.members import as_level
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.adapter.stored_fates import column_again, read_fates
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["fate_table"]


def fate_table(
    adata: AnnData,
    key: str,
    *,
    groupby: str | None = None,
    backward: bool = False,
    interval: float | None = None,
) -> pd.DataFrame:
    """Fates of all cells, or the mean over groups of cells; see `cf.get.fates`.

    Raises
    ------
    MissingKeyError
        No fit under this key, no fates, or no such column.
    InputError
        Cells at other positions than when fates were computed, or an array of another shape;
        `interval` of a single flow, or a level that is not between 0 and 1.
    """
    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    cells, _ = read_cells(adata, keys, record)
    about, values = _read(adata, keys, record, cells, backward=backward)
    weight = np.ones(adata.n_obs) if cells.weight is None else np.nan_to_num(cells.weight)
    sure = None
    if interval is not None:
        level = as_level(interval)
        sure = Sure.read(adata, keys, about, level, weight=weight, backward=backward)
    if groupby is None:
        if sure is not None:
            values |= sure.by_cell(values["probability"])
        table = _by_cell(adata, about, values)
    else:
        column = settle(column_of(adata, groupby, "groupby"))
        if not backward and keys.fate_mass in adata.obs:
            weight = weight * adata.obs[keys.fate_mass].to_numpy(dtype=np.float64)
        table = _by_group(values, column, weight, about, sure)
    table.attrs = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in about.items()}
    return table


def _read(
    adata: AnnData, keys: Keys, record: dict[str, Any], cells: Cells, *, backward: bool
) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """What the record says of fates, and the values by their columns in the table."""
    again = f"cf.tl.{'ancestors' if backward else 'fates'}(adata, ...{keys.argument})"
    found = read_fates(adata, keys, record, cells, backward=backward)
    values = {
        "probability": found.probability,
        "sd": found.sd,
        "entropy": column_again(adata, "obs", keys.fate_entropy(backward=backward), again),
    }
    if not backward:
        values["commitment_time"] = column_again(adata, "obs", keys.commitment_time, again)
        if "calibration" in record:
            again = f"cf.tl.calibrate(adata, ...{keys.argument})"
            values["calibrated"] = column_again(adata, "obsm", keys.fates_calibrated, again)
    return dict(found.about), values


def _by_cell(adata: AnnData, about: dict[str, Any], values: dict[str, FloatArray]) -> pd.DataFrame:
    """One row for each cell and fate."""
    import pandas as pd

    names = [str(name) for name in about["names"]]
    n = len(names)
    columns: dict[str, Any] = {
        "cell": np.repeat(adata.obs_names.to_numpy(dtype=object), n),
        "fate": pd.Categorical(np.tile(np.array(names, dtype=object), adata.n_obs), names),
    }
    for name, value in values.items():
        columns[name] = value.ravel() if value.ndim == 2 else np.repeat(value, n)
    return pd.DataFrame(columns)


def _by_group(
    values: dict[str, FloatArray],
    column: Any,
    mass: FloatArray,
    about: dict[str, Any],
    sure: Sure | None,
) -> pd.DataFrame:
    """Means over groups of cells, one row for each group and fate."""
    import pandas as pd

    groups = column.astype("category").cat.remove_unused_categories()
    codes = groups.cat.codes.to_numpy()
    names = [str(name) for name in about["names"]]
    rows = []
    for number, group in enumerate(groups.cat.categories):
        here = np.flatnonzero((codes == number) & (mass > 0))
        if len(here) == 0:
            continue
        weight = mass[here] / mass[here].sum()
        p = values["probability"][here]
        mean = weight @ p
        row: dict[str, Any] = {
            "group": group,
            "fate": pd.Categorical(about["names"], names),
            "n_cells": len(here),
            "n_effective": 1.0 / (weight @ weight),
            "probability": mean,
            "sd": np.sqrt(weight @ (p - mean) ** 2),
        }
        if sure is not None:
            row |= sure.of_mean(mean, here)
        if "commitment_time" in values:
            row["commitment_time"] = _mean_of_known(values["commitment_time"][here], weight)
        if "calibrated" in values:
            row["calibrated"] = weight @ values["calibrated"][here]
        rows.append(pd.DataFrame(row))
    if not rows:
        msg = "No group has a cell with a positive weight; expected one: pass another groupby=."
        raise InputError(msg)
    return pd.concat(rows, ignore_index=True)


def _mean_of_known(values: FloatArray, weight: FloatArray) -> float:
    """Weighted mean of the values that are not NaN; NaN where none is known."""
    known = ~np.isnan(values)
    total = weight[known].sum()
    return float(weight[known] @ values[known] / total) if total else float("nan")
