"""Densities on an embedding: of each cell, or of the population at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.adapter.components import Components, Plane
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.units import Time
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, MissingKeyError
from cellflow.pl._axes import legend
from cellflow.pl._clouds import as_shares
from cellflow.pl._colours import MAP, Values, numbers_of
from cellflow.pl._image import box_of
from cellflow.pl._maps import draw_maps
from cellflow.pl._palettes import Palette, colormap_of
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, style_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["density"]

#: Sequential, from light to dark in grey too (of matplotlib).
_SHADES = "Blues"
#: The colours of cells end at these percentiles, so that no cell decides them alone.
_ENDS = (1.0, 99.0)
#: Width of the kernel, in widths of a neighbourhood, and its least share of the map.
_WIDTH = 0.6
_LEAST = 0.02
#: Grid points along the longer side of a map.
_GRID = 200
#: Most cells that are moved to a time; shares inside a line are then known within 0.014.
_MOST = 5_000


class _OnGrid(NamedTuple):
    """A density `(b, a)`, the coordinates of its grid, `(a,)` and `(b,)`, and levels of lines."""

    x: FloatArray
    y: FloatArray
    density: FloatArray
    levels: list[float]


@guarded
def density(
    adata: AnnData,
    *,
    time: Time | Sequence[Time] | None = None,
    basis: str | None = None,
    components: Components = None,
    contours: Sequence[float] = (0.25, 0.5, 0.75, 0.95),
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the log-density of each cell, or the density of the modelled population at a time.

    Without `time`, cells have the colour of their log-density at their own time, which
    `cf.tl.log_density` wrote; the colours end at the first and last percentile.

    With `time`, the population that the fit predicts at it (see `cf.tl.predict`) is drawn by lines
    around the densest places that hold given shares of its cells. In an embedding that is not the
    representation of the model each predicted cell is drawn among the measured cells nearest to it;
    the densities are those of the picture, smoothed over a neighbourhood, and not of the
    representation. At most 5,000 cells are moved to a time, drawn by their weights without repeats
    where the snapshots have more, the same ones in every call.

    Parameters
    ----------
    adata
        Cells with a fit.
    time
        One time, or several with a panel each, measured or not: numbers in the unit of the fit, or
        labels such as `"day 3"`.
    contours
        Shares of the predicted population inside the lines, from 0 to 1.
    palette
        A colormap of matplotlib.
    basis, components, size, title, legend_loc, key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several times.

    Raises
    ------
    MissingKeyError
        No fit, no log-densities (without `time`), or no such embedding.
    InputError
        No such time, or one outside of those of the fit; shares that are not between 0 and 1; see
        `cf.pl.stream`. No figure is made then.

    See Also
    --------
    cellflow.tl.log_density, cellflow.tl.predict, cellflow.pl.population

    References
    ----------
    Chen et al., Neural ordinary differential equations, NeurIPS 2018.

    Examples
    --------
    >>> ax = cf.pl.density(adata, time=36)
    >>> cf.tl.log_density(adata)
    >>> ax = cf.pl.density(adata, basis="umap")
    """
    check_arguments(density, locals())
    fitted = PlottedFit(adata, key)
    fitted.record  # noqa: B018 (raises where there is no fit)
    name, positions, plane = fitted.coordinates(fitted.map_basis(basis), components)
    xy = plane.of(positions)
    look: dict[str, Any] = {"size": size, "title": title, "legend_loc": legend_loc}
    if time is None:
        colours = _of_cells(fitted, colormap_of(palette, MAP))
        return draw_maps(fitted, xy, plane, style_of(fitted, [colours], **look), ax=ax)
    shares = as_shares(contours)
    several = isinstance(time, list | tuple | np.ndarray)
    times = _times(fitted, list(time) if several else [time])  # type: ignore[arg-type]
    cmap = colormap_of(palette, _SHADES)
    if title is None:
        look["title"] = [f"modelled density, {fitted.at(at)}" for at in times]
    style = style_of(fitted, [None] * len(times), **look)
    drawn = _predicted(fitted, times, shares, xy, plane, name)

    def over(ax: Axes, panel: int) -> None:
        _draw(ax, drawn[panel], shares, cmap)
        _fit(ax, drawn, shares, xy)
        if shares and style.legend_loc != "none":
            legend(ax, title="share inside")

    return draw_maps(fitted, xy, plane, style, ax=ax, over=over)


def _of_cells(fitted: PlottedFit, cmap: str) -> Values:
    """Log-densities of the cells."""
    name = fitted.keys.log_density
    if name not in fitted.adata.obs:
        msg = (
            f"No {name!r} in adata.obs. Compute the log-densities first:"
            f" cf.tl.log_density(adata{fitted.keys.argument}); or pass time= for the density of the"
            " population at a time."
        )
        raise MissingKeyError(msg)
    values = numbers_of(fitted.adata.obs[name], f"adata.obs[{name!r}]")
    known = values[np.isfinite(values)]
    if not len(known):
        msg = f"adata.obs[{name!r}] holds no finite number; expected those of cf.tl.log_density."
        raise InputError(msg)
    low, high = np.percentile(known, _ENDS)
    return Values("log-density", values, cmap=cmap, limits=(float(low), float(high)))


def _times(fitted: PlottedFit, asked: Sequence[object]) -> list[float]:
    if not len(asked):
        msg = "time=[] names no panel; expected one time of the fit, or several."
        raise InputError(msg)
    return [fitted.time_unit.number("time", value) for value in asked]


def _predicted(
    fitted: PlottedFit,
    times: Sequence[float],
    shares: Sequence[float],
    xy: FloatArray,
    plane: Plane,
    basis: str,
) -> list[_OnGrid]:
    """Density of the population at each time on a grid over the cells `xy` `(n, 2)`."""
    from cellflow.analysis.drawn_paths import Surroundings, places_among, reach_of
    from cellflow.analysis.embedding import density_on_grid
    from cellflow.analysis.prediction import predict, sources

    whole = read_fitted(fitted.adata, fitted.key)
    whole.observed.require(times, "the density")
    snapshots = whole.cells.snapshots()
    reach = reach_of(xy)
    width = max(_WIDTH * reach, _LEAST * float(np.ptp(xy, axis=0).max()))
    cells = Surroundings(fitted.x, xy, fitted.times)
    made = []
    for at in times:
        many = sum(len(p) for p, _ in sources(snapshots, at)) > _MOST
        drawn: dict[str, Any] = {"n_obs": _MOST, "rng": np.random.default_rng(0)} if many else {}
        found = predict(whole.flow, snapshots, at, **drawn)
        if basis == fitted.basis:
            places = plane.of(found.x)
        else:
            places = places_among(found.x, np.full(len(found.x), at), cells, reach)
        box = box_of(np.concatenate([xy, places])) + np.array([[-3.0], [3.0]]) * width
        grid = density_on_grid(places, found.weight, box, width=width, n_grid=_GRID)
        made.append(_OnGrid(*grid, _levels(*grid, places, found.weight, shares)))
    return made


def _levels(
    x: FloatArray,
    y: FloatArray,
    density: FloatArray,
    places: FloatArray,
    weight: FloatArray,
    shares: Sequence[float],
) -> list[float]:
    """Densities that given shares of the cells at `places` `(n, 2)` exceed."""
    from scipy.interpolate import RegularGridInterpolator

    at_cells = RegularGridInterpolator((y, x), density, bounds_error=False, fill_value=0.0)(
        places[:, ::-1]
    )
    order = np.argsort(-at_cells, kind="stable")
    mass = np.cumsum(weight[order])
    last = np.searchsorted(mass, np.asarray(shares) * mass[-1])
    return [float(level) for level in at_cells[order][np.minimum(last, len(order) - 1)]]


def _fit(ax: Axes, drawn: Sequence[_OnGrid], shares: Sequence[float], xy: FloatArray) -> None:
    """Show the cells `(n, 2)` and all that the lines enclose, the same in every panel."""
    box = box_of(xy)
    for grid in drawn if shares else ():
        inside = grid.density >= grid.levels[0]
        x = grid.x[inside.any(axis=0)]
        y = grid.y[inside.any(axis=1)]
        margin = 0.02 * np.ptp(box, axis=0)
        box[0] = np.minimum(box[0], np.array([x.min(), y.min()]) - margin)
        box[1] = np.maximum(box[1], np.array([x.max(), y.max()]) + margin)
    ax.set(xlim=box[:, 0], ylim=box[:, 1])


def _draw(ax: Axes, grid: _OnGrid, shares: Sequence[float], cmap: str) -> None:
    """Fill the places that hold each share, decreasing, with handles for a legend."""
    from matplotlib import colormaps

    values = grid[:3]
    shades = colormaps[cmap](np.linspace(0.25, 0.95, len(shares)))
    for level, share, shade in zip(grid.levels, shares, shades, strict=True):
        ax.contourf(*values, levels=[level, np.inf], colors=[shade], alpha=0.55, zorder=2)
        ax.contour(*values, levels=[level], colors=[shade], linewidths=1.2, zorder=3)
        ax.scatter([], [], color=shade, marker="s", label=f"{100 * share:g} %")
