"""Paths of cells, read back from an AnnData."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.bases import where_of
from cellflow.adapter.cells import Cells
from cellflow.adapter.findings import Finding
from cellflow.adapter.hashes import require_made_for
from cellflow.adapter.keys import Keys
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData


__all__ = ["read_paths"]


def read_paths(
    adata: AnnData, keys: Keys, record: Mapping[str, Any], cells: Cells, *, samples: bool
) -> FloatArray:
    """Read paths of all cells, `(n, n_times, d)`; of diffusions `(n, n_rep, n_times, d)`.

    Parameters
    ----------
    adata
        With paths that `cf.tl.trajectories` wrote, which cellflow 0.1.0 did in their shape, later
        ones row by row.
    keys, record, cells
        Where the fit is; what `record_of` and `read_cells` returned.
    samples
        Those of diffusions.

    Raises
    ------
    MissingKeyError
        There are none.
    InputError
        They were computed from other positions, or are of another shape.
    """
    entry = "trajectory_samples" if samples else "trajectory"
    name = keys.own(entry)
    again = f"cf.tl.trajectories(adata{', stochastic=True' if samples else ''}{keys.argument})"
    if name not in adata.obsm:
        msg = (
            f"No {name!r} in adata.obsm; found {sorted(map(str, adata.obsm))}. Compute the"
            f" trajectories: {again}."
        )
        raise MissingKeyError(msg)
    where = f"adata.obsm[{name!r}]"
    values = np.asarray(adata.obsm[name])
    n_times = len(record.get(f"{entry}_times", ()))
    shape = record.get(f"{entry}_shape", values.shape[1:] if values.ndim == 3 + samples else ())
    shape = tuple(int(k) for k in shape)
    if (
        values.dtype.kind != "f"
        or shape[-2:] != (n_times, cells.x.shape[1])
        or values.size != adata.n_obs * math.prod(shape)
    ):
        found = f"has shape {values.shape} and dtype {values.dtype}"
        replicates = f"{shape[0] if shape else 1} * " if samples else ""
        expected = (
            f"({adata.n_obs}, {replicates}{n_times} * {cells.x.shape[1]}) of floats, as"
            f" adata.uns[{keys.uns!r}] says"
        )
        raise InputError(Finding(where, found, expected, f"Compute it again: {again}.").message)
    if name in record.get("made_for", {}):
        about = {"what": where, "basis": where_of(cells.use_rep), "again": again}
        require_made_for(record["made_for"][name], adata.obs_names.to_numpy(), cells.x, **about)
    return values.reshape(adata.n_obs, *shape)
