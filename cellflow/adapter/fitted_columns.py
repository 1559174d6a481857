"""Columns of `obs` that a fit has read, for cells that it computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cellflow.adapter.computed import require_cluster_key
from cellflow.adapter.fitted import Fitted
from cellflow.adapter.keys import Keys
from cellflow.adapter.time_column import time_column
from cellflow.core._columns import Category, Measure
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["columns_of", "require_labels", "time_key_of"]


class _Part(Protocol):
    """Computed cells; see `cellflow.adapter.moved.Part`."""

    @property
    def rows(self) -> IntArray | None: ...
    @property
    def features(self) -> FloatArray | None: ...


def time_key_of(adata: AnnData, keys: Keys) -> str | None:
    """The column of times of a fit, where there is a fit, and the column is there."""
    record = adata.uns.get(keys.uns)
    params = record.get("params") if isinstance(record, Mapping) else None
    name = params.get("time_key") if isinstance(params, Mapping) else None
    return name if isinstance(name, str) and name in adata.obs else None


def require_labels(adata: AnnData, fitted: Fitted, cluster_key: str | None) -> None:
    """Make sure that computed cells can get labels; see `require_cluster_key`."""
    conditions = fitted.cells.conditions
    names = [] if conditions is None else conditions.names
    require_cluster_key(adata, cluster_key, str(fitted.params["time_key"]), *names)


def columns_of(
    adata: AnnData,
    fitted: Fitted,
    parts: Sequence[_Part],
    time: FloatArray,
    *,
    weight: FloatArray | None = None,
) -> dict[str, Any]:
    """Return the columns that a fit of measured and computed cells together would read.

    They are the time, the condition, the sample of the cell that each was moved from, and the
    weight, with a mean of one.

    Parameters
    ----------
    adata, fitted
        The fit and its cells.
    parts
        The computed cells.
    time
        Of all of them, shape `(m,)`.
    weight
        Of all of them, shape `(m,)`, or None.
    """
    time_key = str(fitted.params["time_key"])
    column = adata.obs.get(time_key)
    found: dict[str, Any] = {
        time_key: time_column(column, fitted.cells.time, fitted.time_unit, time)
    }
    conditions = fitted.cells.conditions
    features = [part.features for part in parts if part.features is not None]
    if conditions is not None and features:
        asked = np.concatenate(features)
        own = np.asarray(fitted.cells.context)
        start = 0
        for kind in conditions.columns:
            part = slice(start, start + kind.width)
            found[kind.name] = _of_condition(
                adata.obs[kind.name], kind, own[:, part], asked[:, part]
            )
            start += kind.width
    rows = [part.rows for part in parts if part.rows is not None]
    sample_key = fitted.cells.reading.sample_key
    if sample_key is not None and rows and sample_key not in found:
        found[sample_key] = adata.obs[sample_key].iloc[np.concatenate(rows)].array
    weight_key = fitted.cells.reading.weight_key
    if weight_key is not None and weight is not None and weight_key not in {*found, "weight"}:
        found[weight_key] = weight / weight.mean()
    return found


def _of_condition(
    column: pd.Series, kind: Category | Measure, own: FloatArray, asked: FloatArray
) -> Any:
    """Values of a column for features `(m, w)`: those of measured cells with the same features.

    Features that no cell has, `own (n, w)`, are decoded.
    """
    import pandas as pd

    distinct, inverse = np.unique(asked, axis=0, return_inverse=True)
    values = []
    for features in distinct:
        rows = np.flatnonzero((own == features).all(axis=1))
        values.append(column.iloc[rows[0]] if len(rows) else kind.decode(features[None])[0])
    found = pd.Series([values[k] for k in inverse.ravel()])
    if isinstance(column.dtype, pd.CategoricalDtype):
        unseen = [v for v in values if v not in column.cat.categories]
        categories = [*column.cat.categories, *unseen]
        return pd.Categorical(found, categories=categories, ordered=column.cat.ordered)
    return found.to_numpy() if column.dtype == object else found.array
