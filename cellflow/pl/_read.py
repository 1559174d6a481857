"""What the pictures read from an AnnData: a fit's parameters, positions, times and coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow._typing import FloatArray
from cellflow.adapter.keys import Keys, basis_of, find_basis
from cellflow.adapter.positions import read_positions
from cellflow.adapter.read import require_anndata
from cellflow.adapter.store import record_of
from cellflow.errors import MissingKeyError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Fitted", "coordinates", "entry", "plane"]


def entry(adata: AnnData, slot: str, key: str, remedy: str) -> Any:
    """Return `adata.<slot>[key]`, or say what is there and how to get what is not."""
    found = getattr(adata, slot)
    if key not in found:
        known = [str(k) for k in found]
        msg = f"No {key!r} in adata.{slot}; found {known}{closest(key, known)}. {remedy}"
        raise MissingKeyError(msg)
    return found[key]


def coordinates(adata: AnnData, basis: str) -> FloatArray:
    """Return two columns of an embedding, float64 `(n, 2)`; a single column is drawn on a line."""
    return plane(read_positions(adata, use_rep=find_basis(adata, basis)).astype(np.float64))


def plane(x: FloatArray) -> FloatArray:
    """Return the first two dimensions of `(..., d)`."""
    return x[..., :2] if x.shape[-1] > 1 else np.concatenate([x, np.zeros_like(x)], axis=-1)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fit that is stored in an AnnData, as far as pictures need it."""

    adata: AnnData
    key: str

    def __post_init__(self) -> None:
        require_anndata(self.adata)

    @property
    def keys(self) -> Keys:
        """Where its results are."""
        return Keys(self.key)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What `cf.tl.flow` and the calls after it left in `uns`."""
        return record_of(self.adata, self.keys)

    @property
    def params(self) -> dict[str, Any]:
        """What it was made with."""
        return dict(self.record["params"])

    @property
    def basis(self) -> str:
        """Name of the representation it was made in."""
        return basis_of(str(self.params["use_rep"]))

    @property
    def time_key(self) -> str:
        """The column of times."""
        return str(self.params["time_key"])

    @property
    def unit(self) -> str:
        """Unit of time, empty where the column has none."""
        return str(self.params.get("time_unit", ""))

    @cached_property
    def times(self) -> FloatArray:
        """When each cell was sampled `(n,)`, NaN where that is not known."""
        times = np.array(entry(self.adata, "obs", self.keys.time, "Fit again: cf.tl.flow(adata, ...)."), dtype=np.float64)
        if self.keys.time_inferred in self.adata.obs:
            times[self.adata.obs[self.keys.time_inferred].to_numpy(dtype=bool)] = np.nan
        return times

    @property
    def snapshots(self) -> FloatArray:
        """The times at which cells were sampled."""
        return np.unique(self.times[np.isfinite(self.times)])

    def at(self, time: float) -> str:
        """Write a time with its unit, or after the name of its column, which may say the unit."""
        return f"{time:g} {self.unit}" if self.unit else f"{self.time_key} {time:g}"

    def positions(self, cells: AnnData) -> FloatArray:
        """Return the positions of cells, of this AnnData or a predicted one, in the representation of the model `(n, d)`."""
        require_anndata(cells)
        return read_positions(cells, use_rep=str(self.params["use_rep"]), n_dims=int(self.params["n_dims"]))
