"""Growth rates by group of cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.columns import column_of
from cellflow.adapter.findings import settle
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.members import as_level, members_of
from cellflow.adapter.places import written
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._spread import spread
from cellflow.errors import MissingKeyError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["growth"]


@guarded
def growth(
    adata: AnnData,
    groupby: str,
    *,
    by_time: bool = False,
    interval: float | None = None,
    key: str = DEFAULT,
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
    interval
        Level of the intervals of an ensemble's mean rates over the cells that might have been
        measured, such as 0.9; None for none. They are made of the means of each member, under the
        assumption of the fit.
    key
        `key_added` of the fit.

    Returns
    -------
    One row per group, with the columns `group`, `time` (only with `by_time`), `n_cells`, `growth`,
    `low` and `high` (means over the cells of the rate and of the ends of its interval over
    assumptions, per unit of time), `doubling_time`, `fastest` and `slowest`: log(2) divided by
    `growth`, by `high` and by `low`, in the unit of time. A negative doubling time is that in which
    the group halves. With `interval`, also `se`, the standard error of the mean rate, and the ends
    `ci_low` and `ci_high` of its interval over samples; `low` and `high` remain those over
    assumptions. `.attrs["assumptions"]` is text: what was assumed.

    Raises
    ------
    MissingKeyError
        No fit under this key, no rates, or no such column.
    InputError
        `interval` of a single flow, or a level that is not between 0 and 1.

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", growth="learn", n_members=2)
    >>> cf.tl.growth(adata)
    >>> cf.get.growth(adata, "cell_type").columns.tolist()
    ['group', 'n_cells', 'growth', 'low', 'high', 'doubling_time', 'fastest', 'slowest']
    >>> cf.get.growth(adata, "cell_type", interval=0.9).columns.tolist()
    ['group', 'n_cells', 'growth', 'low', 'high', 'doubling_time', 'fastest', 'slowest',
     'se', 'ci_low', 'ci_high']
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
    about = record.get("growth_assumptions", {})
    if interval is not None:
        each = _by_members(adata, keys, about, as_level(interval)).groupby(
            [cells[column].to_numpy() for column in by]
        )
        sure = spread(each.mean().to_numpy().T, float(about["degrees"]))
        means["se"] = sure.se
        centred = replace(sure, mean=means["growth"].to_numpy())
        means["ci_low"], means["ci_high"] = centred.interval(interval)
    table: pd.DataFrame = means.reset_index()
    table.attrs["assumptions"] = str(about.get("words", ""))
    return table


def _by_members(adata: AnnData, keys: Keys, about: Mapping[str, Any], level: float) -> pd.DataFrame:
    """Rates of all cells by each member of an ensemble."""
    import pandas as pd

    rates = members_of(
        adata,
        keys.members("growth"),
        (adata.n_obs, int(about.get("n_members", 1))),
        level=level,
        what=f"adata.obs[{keys.growth!r}]",
        again=f"cf.tl.growth(adata{keys.argument})",
    )
    return pd.DataFrame(rates, index=adata.obs.index)
