"""Cell types of the clouds of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.columns import read_labels
from cellflow.core._typing import IntArray
from cellflow.evaluation.celltypes import CellTypes, voted
from cellflow.evaluation.names import OBSERVED
from cellflow.report.held import Held

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["types_of_clouds"]


def types_of_clouds(
    adata: AnnData, held: Held, cluster_key: str, names: Sequence[str]
) -> dict[float, CellTypes]:
    """Types by hidden time, of the clouds of these names.

    Times are left out where the hidden cells have no types, or where nothing says which cells they
    are.
    """
    labels = read_labels(adata, cluster_key)
    known = labels != None  # noqa: E711 (element by element)
    samples = _samples(adata, held)
    made = {}
    for time in held.times:
        observed = held.cloud(time, OBSERVED)
        reference = held.reference(adata, time, known)
        rows = None if observed is None or reference is None else reference.rows_of(observed)
        if observed is None or rows is None or not known[rows].any():
            continue
        typed = known[rows]
        x = observed.x[typed]
        real = labels[rows][typed]
        clouds = {name: c for name in names if (c := held.cloud(time, name)) is not None}
        predicted = {name: (voted(c.x, x, real), c.weight) for name, c in clouds.items()}
        own = None if samples is None else samples[rows][typed]
        made[time] = CellTypes(real, observed.weight[typed], predicted, own)
    return made


def _samples(adata: AnnData, held: Held) -> IntArray | None:
    """Number of the sample of each cell, -1 for none; None where the benchmark knew no samples."""
    key = held.params.get("sample_key")
    if key is None or str(key) not in adata.obs:
        return None
    import pandas as pd

    return np.asarray(pd.factorize(adata.obs[str(key)])[0])
