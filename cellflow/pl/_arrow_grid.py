"""The fitted velocities as arrows on a grid, or one a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.pl._arrows import lengths, read_arrows
from cellflow.pl._axes import INK
from cellflow.pl._chosen import spread_rows
from cellflow.pl._maps import draw_maps
from cellflow.pl._palettes import Palette
from cellflow.pl._points import drawing_order
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, read_style

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["grid", "quiver"]

#: Most arrows along the longer side of a grid; more would touch each other.
_DENSEST = 100
#: Length of a long arrow of a grid, in distances between arrows.
_LONG = 1.4
#: Length of a long arrow of a cell, as a share of the longer side of the map.
_SHARE = 0.05


@guarded
def grid(
    adata: AnnData,
    *,
    basis: str | None = None,
    components: Components = None,
    color: str | Sequence[str] | None = None,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
    n_grid: int = 30,
    smoothing: float = 1.0,
    length: float = 1.0,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the velocities as arrows on a regular grid, each the mean of the cells around it.

    Arrows are drawn where there are cells, and show direction and speed of the present velocities
    in the plane of the figure. Lengths can be compared within a figure.

    Parameters
    ----------
    adata
        With `obsm["X_{basis}"]` and the velocities that `cf.tl.velocity` wrote to
        `obsm["velocity_{basis}"]`.
    n_grid
        Arrows along the longer side of the map.
    smoothing
        Width of the kernel that averages the arrows of cells, in fortieths of the longer side.
    length
        Length of the arrows, relative to the default: 95 % of them are then at most 1.4 times as
        long as the distance between two.
    basis, components, color, palette, size, title, legend_loc, key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several panels.

    Raises
    ------
    InputError
        See `cf.pl.stream`. No figure is made then.

    See Also
    --------
    cellflow.pl.stream, cellflow.pl.quiver

    References
    ----------
    La Manno et al., RNA velocity of single cells, Nature 2018.

    Examples
    --------
    >>> ax = cf.pl.grid(adata, basis="umap", color="hours")
    """
    check_arguments(grid, locals())
    from cellflow.analysis.embedding import on_grid

    fitted = PlottedFit(adata, key)
    n_grid = as_count("n_grid", n_grid, most=_DENSEST)
    smoothing = as_number("smoothing", smoothing, above=0.0)
    length = as_number("length", length, above=0.0)
    arrows = read_arrows(fitted, basis, components)
    style = read_style(
        fitted, color=color, palette=palette, size=size, title=title, legend_loc=legend_loc
    )

    def over(ax: Axes, _: int) -> None:
        gx, gy, field = on_grid(arrows.xy, arrows.velocity, n_grid=n_grid, smoothing=smoothing)
        there = np.isfinite(field).all(axis=2)
        places = np.stack(np.meshgrid(gx, gy), axis=-1)[there]
        _draw(ax, places, field[there], _LONG * length * float(gx[1] - gx[0]))

    return draw_maps(fitted, arrows.xy, arrows.plane, style, ax=ax, alpha=0.6, over=over)


@guarded
def quiver(
    adata: AnnData,
    *,
    basis: str | None = None,
    components: Components = None,
    color: str | Sequence[str] | None = None,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
    n_cells: int | None = 1000,
    length: float = 1.0,
    random_state: RandomState = 0,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the velocity of each cell, or of a sample of the cells, as an arrow.

    Nothing is averaged: neighbours whose arrows disagree are seen. Lengths can be compared within a
    figure.

    Parameters
    ----------
    adata
        With `obsm["X_{basis}"]` and the velocities that `cf.tl.velocity` wrote to
        `obsm["velocity_{basis}"]`.
    n_cells
        Number of arrows, the same from each snapshot as far as possible; None for all cells.
    length
        Length of the arrows, relative to the default: 95 % of them are then at most a twentieth of
        the longer side of the map.
    random_state
        Seed of the choice of cells.
    basis, components, color, palette, size, title, legend_loc, key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several panels.

    Raises
    ------
    InputError
        `n_cells` below one; see `cf.pl.stream`. No figure is made then.

    See Also
    --------
    cellflow.pl.stream, cellflow.pl.grid

    References
    ----------
    La Manno et al., RNA velocity of single cells, Nature 2018.

    Examples
    --------
    >>> ax = cf.pl.quiver(adata, basis="umap", color="cell_type", n_cells=100)
    """
    check_arguments(quiver, locals())
    fitted = PlottedFit(adata, key)
    n = None if n_cells is None else as_count("n_cells", n_cells)
    length = as_number("length", length, above=0.0)
    arrows = read_arrows(fitted, basis, components)
    style = read_style(
        fitted, color=color, palette=palette, size=size, title=title, legend_loc=legend_loc
    )
    rows = drawing_order(adata.obs_names.to_numpy(), arrows.xy)
    if n is not None:
        rows = rows[spread_rows(fitted.times[rows], fitted.snapshots, n, random_state)]
    longest = _SHARE * length * (float(np.ptp(arrows.xy, axis=0).max()) or 1.0)

    def over(ax: Axes, _: int) -> None:
        _draw(ax, arrows.xy[rows], arrows.velocity[rows], longest)

    return draw_maps(fitted, arrows.xy, arrows.plane, style, ax=ax, alpha=0.6, over=over)


def _draw(ax: Axes, places: FloatArray, velocity: FloatArray, longest: float) -> None:
    """Draw arrows `(m, 2)`, 95 % of which are at most `longest` in units of the coordinates."""
    ax.quiver(
        places[:, 0],
        places[:, 1],
        velocity[:, 0],
        velocity[:, 1],
        angles="xy",
        scale_units="xy",
        scale=lengths(velocity, longest),
        color=INK,
        width=0.0024,
        headwidth=4.0,
        headlength=5.0,
        headaxislength=4.5,
        zorder=3,
    )
