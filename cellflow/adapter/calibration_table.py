"""The calibration of fates that a fit has, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.keys import Keys
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.errors import MissingKeyError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["calibration_table"]


def calibration_table(adata: AnnData, key: str) -> pd.DataFrame:
    """Return the reliability of fates with its `attrs`; see `cf.get.calibration`.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no calibration.
    """
    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    if "calibration" not in record:
        msg = (
            f"adata.uns[{key!r}] has no calibration of fates. Expected: call"
            f" cf.tl.calibrate(adata{keys.argument})."
        )
        raise MissingKeyError(msg)
    found = dict(record["calibration"])
    table = _table(found.pop("table"))
    table.attrs = {name: _plain(value) for name, value in found.items()}
    return table


def _table(stored: pd.DataFrame) -> pd.DataFrame:
    """The same after a file, which may change the index and the types of text."""
    import pandas as pd

    table: pd.DataFrame = stored.reset_index(drop=True)
    for name in ("stage", "fate"):
        values = table[name].astype(object)
        table[name] = pd.Categorical(values, pd.unique(values))
    return table


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict("records")
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
