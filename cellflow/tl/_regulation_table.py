"""The table of regulators and targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.adapter.genes import gene_values
from cellflow.analysis.comparison.resampling import adjusted
from cellflow.analysis.genes.regulation import Cells, within_snapshots
from cellflow.core._spread import Spread
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.adapter.decoding import Genes

__all__ = ["named", "scale_of", "table_of"]


def scale_of(
    adata: AnnData, fitted: Fitted, cells: Cells, sources: Genes, ends: Genes | None
) -> FloatArray:
    """Standard deviation of each regulator by that of each target, `(r, t)`.

    Without targets, of growth, that of each regulator within snapshots.
    """
    own = gene_values(adata, fitted, sources.columns)
    if ends is None:
        rows = np.flatnonzero(cells.weight > 0)
        within = within_snapshots(own, cells, rows)
        return np.asarray(np.sqrt(cells.shares(rows) @ within**2)[:, None])
    own = own.std(axis=0)
    other = gene_values(adata, fitted, ends.columns).std(axis=0)
    return np.asarray(own[:, None] / np.where(other > 0, other, np.nan))


def table_of(
    values: FloatArray, sure: Spread | None, scale: FloatArray, level: float
) -> pd.DataFrame:
    """Values `(n_groups, r, t)` and what an ensemble says of them, one row each."""
    import pandas as pd
    from scipy.stats import t

    columns = {"value": values, "scaled": values * scale}
    unknown = np.full(values.shape, np.nan)
    columns |= dict.fromkeys(("se", "low", "high", "p"), unknown)
    if sure is not None:
        columns["se"] = sure.se
        centred = Spread(values, sure.se, sure.degrees)
        low, high = centred.interval(level)
        columns |= {"low": low, "high": high}
        with np.errstate(divide="ignore", invalid="ignore"):
            columns["p"] = 2.0 * t.sf(np.abs(values) / sure.se, sure.degrees)
    table = pd.DataFrame({name: column.ravel() for name, column in columns.items()})
    return table.assign(q=adjusted(table["p"].to_numpy()))


def named(
    table: pd.DataFrame,
    groups: list[str],
    regulators: list[str],
    targets: list[str],
    kinds: np.ndarray,
    counts: list[int],
) -> pd.DataFrame:
    """The table with the names of its rows."""
    r = len(regulators)
    t = len(targets)
    named = table.assign(
        group=np.repeat(np.array(groups, dtype=object), r * t),
        regulator=np.tile(np.repeat(np.array(regulators, dtype=object), t), len(groups)),
        target=np.tile(np.array(targets, dtype=object), len(groups) * r),
        response=np.tile(np.repeat(kinds.astype(object), t), len(groups)),
        n_cells=np.repeat(counts, r * t),
    )
    first = ["group", "regulator", "target"]
    return named[[*first, *table.columns, "response", "n_cells"]]
