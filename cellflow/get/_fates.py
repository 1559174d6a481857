"""Fates of cells as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.columns import column_of
from cellflow.adapter.findings import settle
from cellflow.adapter.fitted import read_cells
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.members import as_level
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.adapter.stored_fates import column_again, read_fates
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError
from cellflow.get._fate_intervals import Sure

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["fates"]


@guarded
def fates(
    adata: AnnData,
    *,
    groupby: str | None = None,
    backward: bool = False,
    interval: float | None = None,
    key: str = DEFAULT,
) -> pd.DataFrame:
    r"""Return the fates of all cells, which `cf.tl.fates` wrote, or the mean over groups of cells.

    Parameters
    ----------
    adata
        Cells with fates.
    groupby
        Column of `obs`: one row for each group and fate. Means over cells are weighted by the mass
        of their descendants at the end, :math:`w_i m_i` with the weight of a cell and its
        `cf_fate_mass`; where cells are of several times, pass a column that separates them.
    backward
        Origins, which `cf.tl.ancestors` wrote; cells count by their weights.
    interval
        Level of the intervals of an ensemble's probabilities, such as 0.9; None for no intervals.
        That of a group is made of the means of each member, and is of the mean of these cells. Cut
        at 0 and 1; where all members agree, it has no width. Do not read the interval of one cell
        as that of its true probability: without `stochastic`, every member answers nearly 0 or 1.
    key
        `key_added` of the fit.

    Returns
    -------
    One row for each cell and fate: `cell`, `fate`, `probability`, `sd`, `entropy`, and
    `commitment_time` (of fates). By groups: `group`, `fate`, `n_cells`, `probability`, `sd` (of the
    probabilities of single cells in the group), and `commitment_time`, the mean of the cells that
    have one. Where `cf.tl.calibrate` was called, `calibrated` is the calibrated probability or its
    mean. With `interval`, `se` (standard error of the probability, or of its mean), `low` and
    `high` in addition. `attrs` has what `uns["cellflow"]["fates"]` says.

    Raises
    ------
    MissingKeyError
        No fit under this key, no fates, or no such column.
    InputError
        Cells at other positions than when fates were computed, or an array of another shape;
        `interval` of a single flow, or a level that is not between 0 and 1.

    See Also
    --------
    cellflow.tl.fates, cellflow.tl.ancestors, cellflow.tl.calibrate

    Examples
    --------
    >>> cf.get.fates(adata, groupby="cell_type")  # doctest: +SKIP
    >>> cf.get.fates(adata, groupby="cell_type", interval=0.9)  # doctest: +SKIP
    """
    check_arguments(fates, locals())
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
