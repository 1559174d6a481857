"""Velocities of cells in an embedding, as maps draw them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.adapter.components import Components, Plane
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, MissingKeyError, closest
from cellflow.pl._read import PlottedFit

__all__ = ["Arrows", "lengths", "read_arrows"]


@dataclass(frozen=True, eq=False)
class Arrows:
    """Cells and their velocities in a figure: `xy` and `velocity`, `(n, 2)`, of a `plane`."""

    xy: FloatArray
    velocity: FloatArray
    plane: Plane


def read_arrows(fitted: PlottedFit, basis: str | None, components: Components) -> Arrows:
    """Read the velocities that `cf.tl.velocity` wrote for an embedding.

    Raises
    ------
    MissingKeyError
        No such embedding, or no velocities for it.
    InputError
        Velocities that are no finite numbers or belong to other coordinates, or
        components that do not exist.
    """
    name, positions, plane = fitted.coordinates(fitted.map_basis(basis), components)
    velocity = _velocity(fitted, name, positions)
    return Arrows(plane.of(positions), plane.of(velocity), plane)


def lengths(velocity: FloatArray, longest: float) -> float:
    """Units of velocity in a unit of length, so that 95 % of arrows are at most `longest`.

    Arrows `(m, 2)` that are NaN are ignored; 1 where nothing moves.
    """
    speed = np.linalg.norm(velocity.reshape(-1, 2), axis=1)
    speed = speed[np.isfinite(speed)]
    fast = float(np.percentile(speed, 95)) if len(speed) else 0.0
    fast = fast or float(speed.max(initial=0.0))
    return fast / longest if fast > 0 else 1.0


def _velocity(fitted: PlottedFit, basis: str, positions: FloatArray) -> FloatArray:
    """Velocities of the cells in the columns that they have positions in, `(n, d)`."""
    key = fitted.keys.velocity(basis)
    compute = fitted.velocity_call(basis)
    if key not in fitted.adata.obsm:
        known = list(map(str, fitted.adata.obsm))
        hint = closest(key, known)
        msg = f"No {key!r} in adata.obsm; found {known}{hint}. Compute it: {compute}."
        raise MissingKeyError(msg)
    found = fitted.adata.obsm[key]
    where = f"adata.obsm[{key!r}]"
    width = positions.shape[1]
    shape = tuple(getattr(found, "shape", ()))
    if len(shape) != 2 or shape[1] < width:
        msg = (
            f"{where} has shape {shape}; expected {positions.shape}, an arrow for each cell."
            f" Compute it again: {compute}."
        )
        raise InputError(msg)
    arrows = np.asarray(found.toarray() if hasattr(found, "toarray") else found)
    if arrows.dtype.kind not in "fiu":
        msg = (
            f"{where} has dtype {arrows.dtype}; expected real numbers. Compute it again: {compute}."
        )
        raise InputError(msg)
    # The velocity in the model's own representation is as wide as that, also where the model uses
    # fewer dimensions.
    arrows = arrows[:, :width].astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(arrows).all(axis=1))
    if len(bad):
        cell = fitted.adata.obs_names[bad[0]]
        found = f"{where} is not finite for {len(bad)} cells (first: {cell!r})"
        msg = f"{found}; expected finite arrows. Compute it again: {compute}."
        raise InputError(msg)
    fitted.require_made_for(basis, positions, arrows)
    return arrows
