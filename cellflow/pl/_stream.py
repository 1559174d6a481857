"""The learned flow as streamlines over an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow._numbers import as_number
from cellflow._settings import guarded
from cellflow.adapter.keys import basis_of
from cellflow.pl._axes import INK, embedding_axes, map_axes, paint
from cellflow.pl._read import Fitted, coordinates, entry

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["stream"]


@guarded
def stream(
    adata: AnnData,
    *,
    basis: str = "umap",
    color: str | None = None,
    density: float = 1.2,
    smoothing: float = 1.0,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes:
    """Draw the velocities as streamlines over the cells.

    Streamlines are drawn where there are cells, thicker where cells move faster. They show where the model moves cells now, in
    the plane of the picture; they are no paths of cells (`cf.pl.trajectories` draws those).

    Parameters
    ----------
    adata
        With `obsm["X_{basis}"]` and the velocities that `cf.tl.velocity` wrote to `obsm["velocity_{basis}"]`.
    basis
        The embedding to draw on.
    color
        A column of `obs` or a gene; the time of the snapshots by default.
    density
        Closeness of streamlines.
    smoothing
        Width of the kernel that averages the arrows of cells, in fortieths of the picture.
    key
        Where the fit was stored.
    ax
        Where to draw; a new figure by default.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No fit, no embedding, no velocities, no such column or gene, or a number that is not positive.
    """
    from cellflow.analysis.embedding import on_grid

    fitted = Fitted(adata, key)
    density, smoothing = as_number("density", density, above=0), as_number("smoothing", smoothing, above=0)
    basis = basis_of(basis)
    color = fitted.time_key if color is None else color
    xy = coordinates(adata, basis)
    compute = f"Compute it: cf.tl.velocity(adata, basis={basis!r})."
    arrows = np.asarray(entry(adata, "obsm", fitted.keys.velocity(basis), compute), dtype=np.float64)

    ax = map_axes(ax, xy)
    paint(ax, adata, xy, color, fitted=fitted, alpha=0.55)
    gx, gy, field = on_grid(xy, arrows[:, :2], smoothing=smoothing)
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
    embedding_axes(ax, basis)
    return ax
