"""Conditions compared, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.comparison_record import comparison_record
from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.read import require_anndata
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.errors import InputError, closest

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["comparison"]

#: Tables there are.
_TABLES = ("effects", "cells")


@guarded
def comparison(
    adata: AnnData, *, table: Literal["effects", "cells"] = "effects", key: str = DEFAULT
) -> pd.DataFrame:
    """Return the effects of conditions, which `cf.tl.compare` wrote, or the cells that differ most.

    Parameters
    ----------
    adata
        Cells with a comparison.
    table
        `"effects"`, or `"cells"`.
    key
        `key_added` of the fit.

    Returns
    -------
    Of effects, one row for each, with the columns

    - `quantity`: `"speed"`, `"growth"`, `"fate"`, `"distance"` or `"divergence"`;
    - `group` of cells (`"all"` for all of them) and `fate`;
    - `time`: of a speed or a rate, the start of the interval, NaN for all intervals together; of
      fates, that of the start cells;
    - `reference`, `condition`: what is compared;
    - `reference_value`, `condition_value`, `effect`: the values and their difference. Speeds are
      lengths in the representation by time, rates by time. Distances are energy distances in model
      coordinates: between two samples of one condition, and of two conditions. The effect of
      `"divergence"` is the first time at which the populations have diverged;
    - `low`, `high`: interval of the effect; of `"divergence"`, the last time up to which no
      difference is shown (NaN for none), and the first at which one is;
    - `p`, `p_t`: p-values by permutation and by Student's t; of distances, by an F distribution; of
      `"divergence"`, that they diverge at all;
    - `q`: `p` adjusted for the false discovery rate among the effects of one quantity over all
      intervals, or among those of single intervals; of distances, for all times up to this one;
    - `p_smallest`: the smallest `p` that permutations can give;
    - `unit`: `"sample"`, or `"cell"`, which are no replicates;
    - `n_reference`, `n_condition`: numbers of samples.

    Of cells: `cell`, `time`, `reference`, `condition`, `difference` (of the velocities, by length),
    `p`, `q`; cells with a p-value, those of the smallest first.

    `.attrs["words"]` says what was compared.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no comparison.
    InputError
        No such table.

    See Also
    --------
    cellflow.tl.compare

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", condition_key="drug", sample_key="dish", shared_until=0)
    >>> cf.tl.compare(adata, "drug", groupby="cell_type")
    >>> found = cf.get.comparison(adata).query("quantity == 'fate' and q < 0.05")
    """
    check_arguments(comparison, locals())
    require_anndata(adata)
    if table not in _TABLES:
        msg = f"table={shown(table)}; expected one of {list(_TABLES)}{closest(table, _TABLES)}."
        raise InputError(msg)
    keys = Keys(key)
    about = comparison_record(adata, key)
    effects: pd.DataFrame = about["table"]
    found = effects.copy() if table == "effects" else _cells(adata, keys, about)
    found.attrs["words"] = str(about["words"])
    return found


def _cells(adata: AnnData, keys: Keys, about: dict[str, Any]) -> pd.DataFrame:
    """One row for each cell and condition."""
    import pandas as pd

    parts = []
    for k, name in enumerate(about["conditions"]):
        columns = {"cell": adata.obs_names.to_numpy(), "time": adata.obs[keys.time].to_numpy()}
        part = pd.DataFrame(columns).assign(reference=str(about["reference"]), condition=str(name))
        part["difference"] = np.asarray(adata.obsm[keys.compared("difference")])[:, k]
        part["p"] = np.asarray(adata.obsm[keys.compared("p")])[:, k]
        part["q"] = np.asarray(adata.obsm[keys.compared("q")])[:, k]
        parts.append(part.dropna(subset=["p"]))
    every = pd.concat(parts, ignore_index=True)
    order = np.lexsort((-every["difference"].to_numpy(), every["p"].to_numpy()))
    return every.iloc[order].reset_index(drop=True)
