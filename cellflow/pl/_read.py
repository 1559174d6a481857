"""The parts of an AnnData that figures show: parameters of a fit, positions, times, coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.bases import basis_of, find_basis, spelled, where_of
from cellflow.adapter.cells import Cells
from cellflow.adapter.components import Components, Plane, plane_of
from cellflow.adapter.fit_times import read_times
from cellflow.adapter.fitted import read_cells
from cellflow.adapter.hashes import require_made_for
from cellflow.adapter.keys import Keys
from cellflow.adapter.positions import read_positions
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.adapter.units import TimeUnit
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["PlottedFit"]


@dataclass(frozen=True, eq=False)
class PlottedFit:
    """A fit that is stored in an AnnData, as far as figures need it."""

    adata: AnnData
    key: str

    def __post_init__(self) -> None:
        require_anndata(self.adata)

    @property
    def keys(self) -> Keys:
        """Names of its results."""
        return Keys(self.key)

    @cached_property
    def record(self) -> dict[str, Any]:
        """The record of the fit in `uns`."""
        return record_of(self.adata, self.keys)

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the fit."""
        return dict(self.record["params"])

    @property
    def basis(self) -> str:
        """Name of its representation."""
        return basis_of(str(self.params["use_rep"]))

    @property
    def time_key(self) -> str:
        """The column of times."""
        return str(self.params["time_key"])

    @property
    def unit(self) -> str:
        """Unit of time, empty where the column has none."""
        return str(self.params.get("time_unit", ""))

    @property
    def time_unit(self) -> TimeUnit:
        """Converts times in arguments to numbers."""
        return TimeUnit.of(self.unit, str(self.params.get("time_zero", "")), self.time_key)

    @cached_property
    def times(self) -> FloatArray:
        """Time of each cell, shape `(n,)`, NaN where it is not known."""
        return read_times(self.adata, self.keys, self.record).own

    @cached_property
    def cells(self) -> Cells:
        """The cells, whose positions are those of the fit."""
        return read_cells(self.adata, self.keys, self.record)[0]

    @property
    def x(self) -> FloatArray:
        """Positions of the cells in the representation of the model `(n, d)`."""
        return self.cells.x

    def require_made_for(self, basis: str, positions: FloatArray, arrows: FloatArray) -> None:
        """Make sure that the arrows of a basis fit to its present coordinates.

        Raises
        ------
        InputError
            The coordinates have changed since `cf.tl.velocity` was called, or the arrows.
        """
        key = self.keys.velocity(basis)
        known = self.record.get("made_for", {})
        if key not in known:  # written by cellflow 0.1.0
            return
        where = where_of(
            str(self.params["use_rep"]) if basis == self.basis else find_basis(self.adata, basis)
        )
        about = {"what": f"adata.obsm[{key!r}]", "basis": where, "again": self.velocity_call(basis)}
        require_made_for(known[key], self.adata.obs_names.to_numpy(), positions, arrows, **about)

    def velocity_call(self, basis: str) -> str:
        """The call that writes the arrows of a basis."""
        named = "" if basis == self.basis else f", basis={basis!r}"
        return f"cf.tl.velocity(adata{named}{self.keys.argument})"

    @property
    def snapshots(self) -> FloatArray:
        """The times at which cells were sampled.

        Raises
        ------
        InputError
            There is no cell whose time was measured.
        """
        known = np.unique(self.times[np.isfinite(self.times)])
        if not len(known):
            msg = (
                f"No cell of adata has a measured time: adata.obs[{self.keys.time_inferred!r}] is"
                f" True for all {len(self.times):,}. Expected some of the cells that the flow was"
                " fitted to; add them, or fit again with cf.tl.flow."
            )
            raise InputError(msg)
        return known

    def at(self, time: float) -> str:
        """A time as text, with its unit, or after the name of its column."""
        return f"{time:g} {self.unit}" if self.unit else f"{self.time_key} {time:g}"

    def map_basis(self, basis: str | None) -> str | None:
        """The embedding of a map: by default the UMAP, or None (the representation) without one."""
        return "umap" if basis is None and spelled(self.adata, "umap") is not None else basis

    def coordinates(
        self, basis: object, components: Components = None
    ) -> tuple[str, FloatArray, Plane]:
        """Find an embedding, by default the representation of the model.

        Returns
        -------
        Its name as in `velocity_{basis}`, the coordinates of the cells in all its columns, float64,
        shape `(n, d)`, and which columns to draw.

        Raises
        ------
        MissingKeyError
            There is no such embedding.
        InputError
            Coordinates that are no finite numbers, or components that are not there.
        """
        if basis is None or (isinstance(basis, str) and basis_of(basis) == self.basis):
            name = self.basis
            xy = self.x
        else:
            key = find_basis(self.adata, basis)
            name = basis_of(key)
            xy = read_positions(self.adata, use_rep=key)
        return name, xy.astype(np.float64), plane_of(name, xy.shape[1], components)

    def positions(self, cells: AnnData) -> FloatArray:
        """Positions of other cells in the representation of the model, shape `(n, d)`."""
        require_anndata(cells)
        return read_positions(
            cells, use_rep=str(self.params["use_rep"]), n_dims=int(self.params["n_dims"])
        )
