"""The fitted velocities as streamlines over an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, MissingKeyError, closest
from cellflow.pl._axes import INK, beside, canvas, embedding_axes, map_size, paint
from cellflow.pl._colours import read_colours
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["stream"]

#: Streamlines closer than this run into each other; their grid grows with the square.
_DENSEST = 30.0


@guarded
def stream(
    adata: AnnData,
    *,
    basis: str = "umap",
    components: Components = None,
    color: str | None = None,
    density: float = 1.2,
    smoothing: float = 1.0,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes:
    """Draw the velocities as streamlines over the cells.

    Streamlines are drawn where there are cells, thicker where cells move faster. They show the
    direction of the present velocities in the plane of the figure; they are no trajectories of
    cells (see `cf.pl.trajectories`).

    Parameters
    ----------
    adata
        With `obsm["X_{basis}"]` and the velocities that `cf.tl.velocity` wrote to
        `obsm["velocity_{basis}"]`.
    basis
        The embedding to draw on.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`, counted from 1 as scanpy does; the
        first two by default. Component 1 of a diffusion map is column 1 of `obsm["X_diffmap"]`:
        column 0 is its stationary state.
    color
        A column of `obs` or a gene; the time of the snapshots by default. Categories take the
        colours in `uns["{color}_colors"]`, a list in their order or a dictionary. The legend names
        the 35 largest, or 17 where names are long.
    density
        Closeness of streamlines.
    smoothing
        Width of the kernel that averages the arrows of cells, in fortieths of the figure.
    key
        `key_added` of the fit.
    ax
        Axes to draw on; those of a new figure by default.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No fit, no embedding, no velocities or other ones than for this embedding, no such
        components, column or gene, colours that are none, or a number that is not positive. No
        figure is made then.

    References
    ----------
    La Manno et al., RNA velocity of single cells, Nature 2018; Bergen et al., Generalizing RNA
    velocity to transient cell states through dynamical modeling, Nature Biotechnology 2020.

    Examples
    --------
    >>> cf.tl.velocity(adata, basis="umap")  # doctest: +SKIP
    >>> cf.pl.stream(adata, basis="umap", color="hours")  # doctest: +SKIP
    """
    check_arguments(stream, locals())
    from cellflow.analysis.embedding import on_grid

    fitted = PlottedFit(adata, key)
    density = as_number("density", density, above=0.0, most=_DENSEST)
    smoothing = as_number("smoothing", smoothing, above=0.0)
    if basis is None:
        msg = "basis=None; expected the name of an embedding, such as 'umap'."
        raise InputError(msg)
    basis, positions, plane = fitted.coordinates(basis, components)
    arrows = plane.of(_arrows(fitted, basis, positions))
    xy = plane.of(positions)
    colours = read_colours(adata, color, fitted)

    with canvas(ax, **map_size(xy, **beside(colours))) as ax:
        paint(ax, xy, colours, fitted=fitted, alpha=0.55)
        gx, gy, field = on_grid(xy, arrows, smoothing=smoothing)
        speed = np.linalg.norm(field, axis=2)
        fast = np.nanpercentile(speed, 95) if np.isfinite(speed).any() else 0.0
        if fast > 0:
            ax.streamplot(
                gx,
                gy,
                np.ma.masked_invalid(field[..., 0]),
                np.ma.masked_invalid(field[..., 1]),
                density=density,
                color=INK,
                linewidth=0.4 + 1.0 * np.nan_to_num(np.minimum(speed / fast, 1.0)),
                arrowsize=0.9,
                arrowstyle="-|>",
                minlength=0.08,
                zorder=3,
            )
        embedding_axes(ax, plane)
    return ax


def _arrows(fitted: PlottedFit, basis: str, positions: FloatArray) -> FloatArray:
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
