"""Growth rates by group of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.columns import column_of
from cellflow.adapter.findings import settle
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.places import written
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.errors import MissingKeyError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["growth"]


@guarded
def growth(
    adata: AnnData, groupby: str, *, by_time: bool = False, key: str = DEFAULT
) -> pd.DataFrame:
    """Return the mean growth rate of each group of cells, with its interval, as a table.

    Parameters
    ----------
    adata
        Cells with the rates that `cf.tl.growth` wrote.
    groupby
        Column of `adata.obs` with the groups. Cells without a group are left out.
    by_time
        One row per group and time, instead of one per group. Cells without a time of their own are
        left out then.
    key
        `key_added` of the fit.

    Returns
    -------
    One row per group, with the columns `group`, `time` (only with `by_time`), `n_cells`, `growth`,
    `low` and `high` (means over the cells of the rate and of the ends of its interval over
    assumptions, per unit of time), `doubling_time`, `fastest` and `slowest`: log(2) divided by
    `growth`, by `high` and by `low`, in the unit of time. A negative doubling time is that in which
    the group halves. `.attrs["assumptions"]` is text: what was assumed.

    Raises
    ------
    MissingKeyError
        No fit under this key, no rates, or no such column.

    Examples
    --------
    >>> cf.tl.growth(adata)  # doctest: +SKIP
    >>> cf.get.growth(adata, "cell_type")  # doctest: +SKIP
    """
    check_arguments(growth, locals())
    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    if ("obs", keys.growth) not in written(adata, keys) or keys.growth not in adata.obs:
        msg = (
            f"adata.obs has no {keys.growth!r} of the fit in adata.uns[{key!r}]. Compute it first:"
            f" cf.tl.growth(adata{keys.argument})."
        )
        raise MissingKeyError(msg)
    groups = settle(column_of(adata, groupby, "groupby"))
    cells = adata.obs[[keys.growth, keys.growth_low, keys.growth_high]].copy()
    cells.columns = ["growth", "low", "high"]
    cells["group"] = groups.astype(str).where(groups.notna())
    by = ["group"]
    if by_time:
        cells["time"] = adata.obs[keys.time].where(~adata.obs[keys.time_inferred].astype(bool))
        by = ["group", "time"]
    found = cells.dropna(subset=by).groupby(by)
    means = found[["growth", "low", "high"]].mean()
    means.insert(0, "n_cells", found.size())
    names = {"doubling_time": "growth", "fastest": "high", "slowest": "low"}
    with np.errstate(divide="ignore"):
        for name, rate in names.items():
            means[name] = np.log(2.0) / means[rate].to_numpy(dtype=np.float64)
    table: pd.DataFrame = means.reset_index()
    table.attrs["assumptions"] = str(record.get("growth_assumptions", {}).get("words", ""))
    return table
