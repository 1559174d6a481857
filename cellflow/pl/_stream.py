"""The fitted velocities as streamlines over an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number
from cellflow.core._settings import guarded
from cellflow.pl._arrows import Arrows, read_arrows
from cellflow.pl._axes import INK
from cellflow.pl._maps import draw_maps
from cellflow.pl._palettes import Palette
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, read_style

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["stream"]

#: Streamlines closer than this run into each other; their grid grows with the square.
_DENSEST = 30.0
#: Least closeness of streamlines across a flat map, relative to that along it.
_FLAT = 0.15


@guarded
def stream(
    adata: AnnData,
    *,
    basis: str | None = None,
    components: Components = None,
    color: str | Sequence[str] | None = None,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
    density: float = 1.2,
    smoothing: float = 1.0,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
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
        The embedding to draw on; the UMAP by default, or the representation of the model where
        there is no UMAP.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`, counted from 1 as scanpy does; the
        first two by default. Component 1 of a diffusion map is column 1 of `obsm["X_diffmap"]`:
        column 0 is its stationary state.
    color
        A column of `obs` or a gene, or several, each with a panel; the time of the snapshots by
        default. Cells without a value are drawn in grey, below the others. Which cell covers which
        depends on their names, not on their order.
    palette
        Colours of categories: a colormap of matplotlib, `"okabe_ito"` (eight colours for all
        readers), a list in the order of the categories, or a dictionary. By default those in
        `uns["{color}_colors"]`, else scanpy's default palettes of 20, 28 or 102 colours; these, and
        those of `palette`, are written to `uns["{color}_colors"]`, unless `adata` is a view. For
        numbers, a colormap.
    size
        Area of a dot in square points; by default 120,000 divided by the number of cells, as in
        scanpy, between 0.2 and 30. From 200,000 cells on the cells are an image, each pixel with
        the mean colour of its cells.
    title
        Of the panel, or a list with one text for each.
    legend_loc
        `"right margin"`, `"on data"` (names of categories at the medians of their cells), a place
        inside the map as matplotlib names it, such as `"lower left"`, or `"none"` (also None). A
        legend names the largest categories, at least 36.
    density
        Closeness of streamlines.
    smoothing
        Width of the kernel that averages the arrows of cells, in fortieths of the figure.
    key
        `key_added` of the fit.
    ax
        Axes to draw on, for one panel. By default those of a new figure, which is as large as the
        legends need; the map keeps its size. A given Axes stays in its place among others: it
        shrinks as its legend needs, unless the figure has a layout such as `"constrained"`.

    Returns
    -------
    The Axes, or a list of them for several panels.

    Raises
    ------
    InputError
        No fit, no embedding, no velocities or other ones than for this embedding, no such
        components, column or gene, colours that are none, a number that is not positive, or `ax`
        for several panels. No figure is made then.

    See Also
    --------
    cellflow.pl.grid, cellflow.pl.quiver, cellflow.tl.velocity

    References
    ----------
    La Manno et al., RNA velocity of single cells, Nature 2018; Bergen et al., Generalizing RNA
    velocity to transient cell states through dynamical modeling, Nature Biotechnology 2020.

    Examples
    --------
    >>> ax = cf.pl.stream(adata, basis="umap", color="cell_type")
    """
    check_arguments(stream, locals())
    fitted = PlottedFit(adata, key)
    density = as_number("density", density, above=0.0, most=_DENSEST)
    smoothing = as_number("smoothing", smoothing, above=0.0)
    arrows = read_arrows(fitted, basis, components)
    style = read_style(
        fitted, color=color, palette=palette, size=size, title=title, legend_loc=legend_loc
    )

    def over(ax: Axes, _: int) -> None:
        _streamlines(ax, arrows, density, smoothing)

    return draw_maps(fitted, arrows.xy, arrows.plane, style, ax=ax, alpha=0.6, over=over)


def _streamlines(ax: Axes, arrows: Arrows, density: float, smoothing: float) -> None:
    from cellflow.analysis.embedding import on_grid

    gx, gy, field = on_grid(arrows.xy, arrows.velocity, smoothing=smoothing)
    speed = np.linalg.norm(field, axis=2)
    fast = np.nanpercentile(speed, 95) if np.isfinite(speed).any() else 0.0
    # Lines are as close across as along a map that is longer than wide.
    side = np.array([np.ptp(gx), np.ptp(gy)])
    ratio = side / side.max()
    if fast > 0:
        ax.streamplot(
            gx,
            gy,
            np.ma.masked_invalid(field[..., 0]),
            np.ma.masked_invalid(field[..., 1]),
            density=(density * max(float(ratio[0]), _FLAT), density * max(float(ratio[1]), _FLAT)),
            color=INK,
            linewidth=0.4 + 1.0 * np.nan_to_num(np.minimum(speed / fast, 1.0)),
            arrowsize=0.9,
            arrowstyle="-|>",
            minlength=0.08,
            zorder=3,
        )
