"""Densities of the snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.keys import DEFAULT, Keys
from cellflow.adapter.places import kind_of
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import read_record
from cellflow.adapter.store import opened
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.errors import MissingKeyError, ModelFileError

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.densities import Density

__all__ = ["density"]


@guarded
def density(adata: AnnData, *, key: str = DEFAULT) -> dict[float, Density]:
    """Return the densities of the snapshots that `cf.tl.density` stored, by time.

    Parameters
    ----------
    adata
        Cells with densities.
    key
        The `key_added` under which they were learned.

    Returns
    -------
    Densities in the coordinates of the representation: `log_prob(x)` returns nats, float64, shape
    `(n,)`; `sample(n, rng)` returns positions, shape `(n, d)`. Where they were learned with
    `pooled=True`, each is a `cellflow.densities.Conditioned` at its time, whose `.density` takes
    any time.

    Raises
    ------
    MissingKeyError
        There are none under this key.
    ModelFileError
        A density that is damaged or of a newer format.

    Examples
    --------
    >>> cf.tl.density(adata, "hours", n_dims=3)
    >>> densities = cf.get.density(adata)
    >>> densities[24.0].log_prob(adata.obsm["X_pca"][:, :3]).shape
    (160,)
    """
    check_arguments(density, locals())
    require_anndata(adata)
    name = Keys(key).densities
    if kind_of(adata, name) != "densities":
        msg = (
            f"adata.uns[{name!r}] holds no densities. Learn them first: cf.tl.density(adata,"
            " time_key=...)."
        )
        raise MissingKeyError(msg)
    from cellflow.densities import Conditioned, from_state

    record = read_record(adata, name, "densities")
    times = [float(t) for t in record["times"]]
    pooled = bool(record["params"]["pooled"])
    missing = sorted(({"pooled"} if pooled else set(map(str, times))) - set(record["densities"]))
    if missing:
        msg = (
            f"adata.uns[{name!r}]['densities'] lacks {missing}. Restore it from a copy, or learn"
            " them again: cf.tl.density."
        )
        raise ModelFileError(msg)
    found = {
        label: from_state(
            *opened(model, f"adata.uns[{name!r}]['densities'][{label!r}]", again="cf.tl.density")
        )
        for label, model in record["densities"].items()
    }
    if pooled:
        return {t: Conditioned(found["pooled"], np.array([t])) for t in times}
    return {t: found[str(t)] for t in times}
