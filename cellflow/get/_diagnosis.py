"""The diagnosis of a fit as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import read_diagnosis, record_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.errors import MissingKeyError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["diagnosis"]


@guarded
def diagnosis(adata: AnnData, *, key: str = DEFAULT) -> pd.DataFrame:
    """Return the diagnosis that `cf.tl.diagnose` stored, as a table.

    Parameters
    ----------
    adata
        Cells with a diagnosis.
    key
        `key_added` of the fit.

    Returns
    -------
    One row per snapshot; values about an interval are in the row of its end. The columns are
    explained at `cellflow.analysis.diagnosis.Diagnosis`; `region_cell` is the name of the cell in
    the middle of the region. `.attrs["verdict"]` is text, one sentence a line. With cell types,
    `.attrs["types"]` holds the shares of each type's mass that the plan moves to each type: by
    interval (`"0.0_to_1.0"`), by type at the start, by type at the end.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no diagnosis of it.
    ModelFileError
        A diagnosis, or a fit, that is damaged.

    Examples
    --------
    >>> cf.tl.diagnose(adata, n_cells=40)
    >>> cf.get.diagnosis(adata)["time"].tolist()
    [0.0, 24.0, 48.0, 72.0]
    """
    check_arguments(diagnosis, locals())
    import pandas as pd

    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    if "diagnosis" not in record:
        msg = (
            f"adata.uns[{key!r}] holds no 'diagnosis' of its fit. Make it first:"
            f" cf.tl.diagnose(adata{keys.argument})."
        )
        raise MissingKeyError(msg)
    found = read_diagnosis(record, f"adata.uns[{key!r}]['diagnosis']")
    columns = map(str, found["columns"])
    table = pd.DataFrame({name: np.array(found["table"][name]) for name in columns})
    table.attrs["verdict"] = str(found["verdict"])
    if "types" in found:
        table.attrs["types"] = {str(i): _shares(types) for i, types in found["types"].items()}
    return table


def _shares(types: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Shares of each type's mass, by the type that it moves to."""
    from cellflow.metrics import Transitions

    mass = np.asarray(types["mass"], dtype=np.float64)
    found = Transitions(tuple(map(str, types["labels"])), mass)
    return {
        label: dict(zip(found.labels, row.tolist(), strict=True))
        for label, row, total in zip(found.labels, found.shares, found.before, strict=True)
        if total > 0
    }
