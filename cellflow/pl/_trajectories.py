"""Trajectories of single cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.adapter.components import Components
from cellflow.adapter.paths import read_paths
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.pl._axes import INK, MAP, time_bar
from cellflow.pl._chosen import spread_rows
from cellflow.pl._maps import draw_maps
from cellflow.pl._palettes import Palette
from cellflow.pl._points import drawing_order
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, read_style

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection

    from cellflow.analysis.drawn_paths import DrawnPaths

__all__ = ["trajectories"]

#: Opacity of a path where there are no cells, and where there are as many as usual.
_FAINTEST = 0.12
_CLEAREST = 0.95


@guarded
def trajectories(
    adata: AnnData,
    *,
    basis: str | None = None,
    components: Components = None,
    color: str | Sequence[str] | None = None,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
    n_cells: int = 60,
    random_state: RandomState = 0,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw trajectories of single cells over the other cells.

    The colour of a line is the time; a dot marks the cell where it was measured. Lines fade where
    there are few cells: what a fit says there is hardly supported by data.

    In the representation of the model the lines show two of its dimensions. In another embedding
    a line is drawn through the cells nearest to its states, of the snapshots before and after each
    time: it follows the cells by construction, and is no evidence of a path between them. It is
    broken at gaps that are wider than a neighbourhood (the distance to the 15th neighbour, which
    95 % of the cells do not exceed; to nearer ones in less than 1,500 cells): the embedding has
    torn neighbours apart there, and no cell moves through the gap.

    Parameters
    ----------
    adata
        Cells with the trajectories that `cf.tl.trajectories` wrote.
    basis
        An embedding; the representation of the model by default.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`; see `cf.pl.stream`.
    color
        Colour of the cells, as in `cf.pl.stream`; the lines are black then. By default the cells
        are grey, and the lines have the colour of the time.
    n_cells
        Number of cells, the same from each snapshot as far as possible.
    random_state
        Seed of their choice.
    palette, size, title, legend_loc, key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several panels.

    Raises
    ------
    MissingKeyError
        No fit, no trajectories, or no such embedding, column or gene.
    InputError
        `n_cells` below one, components that do not exist, or no cell whose time was measured; see
        `cf.pl.stream`. No figure is made then.

    See Also
    --------
    cellflow.tl.trajectories, cellflow.get.trajectories

    Examples
    --------
    >>> cf.tl.trajectories(adata, n_times=10)
    >>> ax = cf.pl.trajectories(adata, n_cells=30)
    >>> ax = cf.pl.trajectories(adata, basis="umap", n_cells=30)
    """
    check_arguments(trajectories, locals())
    from cellflow.analysis.drawn_paths import DrawnPaths, Surroundings, drawn_paths, reach_of

    n_cells = as_count("n_cells", n_cells)
    fitted = PlottedFit(adata, key)
    name, positions, plane = fitted.coordinates(basis, components)
    states = read_paths(adata, fitted.keys, fitted.record, fitted.cells, samples=False)
    xy = plane.of(positions)
    style = read_style(
        fitted,
        color=color,
        palette=palette,
        size=size,
        title=title,
        legend_loc=legend_loc,
        plain=True,
    )
    rows = drawing_order(adata.obs_names.to_numpy(), xy)
    rows = rows[spread_rows(fitted.times[rows], fitted.snapshots, n_cells, random_state)]
    times = np.asarray(fitted.record["trajectory_times"], dtype=np.float64)
    paths = np.asarray(states[rows], dtype=np.float64)
    reach = reach_of(xy)
    if name == fitted.basis:
        joined = np.ones((len(rows), len(times) - 1), dtype=bool)
        lines = DrawnPaths(plane.of(paths), times, joined)
    else:
        cells = Surroundings(fitted.x, xy, fitted.times)
        lines = drawn_paths(paths, times, rows, cells, reach)
    dots = _Dots(xy[rows], fitted.times[rows])

    def over(ax: Axes, panel: int) -> None:
        by_time = style.colours[panel] is None
        drawn = _draw(ax, lines, xy, reach, by_time=by_time)
        _draw_dots(ax, dots, times, by_time=by_time)
        if by_time and style.legend_loc != "none":
            time_bar(ax, drawn, fitted)

    return draw_maps(fitted, xy, plane, style, ax=ax, alpha=0.7, over=over)


class _Dots(NamedTuple):
    """Measured cells that are followed: coordinates `(n, 2)` and times `(n,)`."""

    xy: FloatArray
    times: FloatArray


def _draw(
    ax: Axes, lines: DrawnPaths, xy: FloatArray, reach: float, *, by_time: bool
) -> LineCollection:
    """Draw paths over the cells `(n, 2)`, faint where there are few of them."""
    from matplotlib.collections import LineCollection

    from cellflow.analysis.drawn_paths import crowding

    pieces = np.stack([lines.places[:, :-1], lines.places[:, 1:]], axis=2)[lines.joined]
    middles = np.broadcast_to((lines.times[:-1] + lines.times[1:]) / 2.0, lines.joined.shape)
    usual = crowding(pieces.mean(axis=1), xy, reach)
    look: dict[str, Any] = {"color": INK}
    if by_time:
        look = {"array": middles[lines.joined], "cmap": MAP}
    drawn = LineCollection(
        list(pieces),
        linewidths=1.2,
        alpha=np.clip(usual, _FAINTEST, _CLEAREST),
        capstyle="butt",
        zorder=2,
        **look,
    )
    drawn.set_clim(lines.times.min(), lines.times.max())
    ax.add_collection(drawn)
    ax.autoscale_view()
    return drawn


def _draw_dots(ax: Axes, dots: _Dots, times: FloatArray, *, by_time: bool) -> None:
    look: dict[str, Any] = {"color": INK}
    if by_time:
        look = {"c": dots.times, "cmap": MAP, "vmin": times.min(), "vmax": times.max()}
        look |= {"plotnonfinite": True, "edgecolors": INK}
    ax.scatter(dots.xy[:, 0], dots.xy[:, 1], s=14, linewidths=0.5, zorder=3, **look)
