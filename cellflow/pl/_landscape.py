"""The potential of the velocity as a landscape on an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.adapter.components import Components
from cellflow.adapter.units import Time
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, MissingKeyError
from cellflow.pl._axes import INK, colour_bar
from cellflow.pl._colours import MAP, numbers_of
from cellflow.pl._maps import draw_maps
from cellflow.pl._palettes import Palette, colormap_of
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, style_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.contour import QuadContourSet

__all__ = ["landscape"]

#: Grid points along the longer side of a map.
_GRID = 160
#: Most lines of equal potential; more would run into each other.
_MOST_LINES = 40


class _Part(NamedTuple):
    """A population with a potential of its own.

    Which cells `(n,)`, its name, and the share that is not explained, from 0 to 1 or NaN.
    """

    cells: np.ndarray
    name: str
    unexplained: float


@guarded
def landscape(
    adata: AnnData,
    *,
    time: Time | None = None,
    basis: str | None = None,
    components: Components = None,
    contours: int = 12,
    smoothing: float = 1.5,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw the potential of the velocity as coloured heights with lines of equal height.

    Cells move downhill, as far as a potential explains how they move. The share of the squared
    velocity that it does not explain is written under each landscape: where it is large, cells
    circulate, and the picture does not show their motion.

    Heights are in squared units of the representation per unit of time. Where every snapshot has a
    potential of its own (the default of `cf.tl.potential`), each has a panel: they are not parts of
    one landscape. All panels have the same colours and lines for the same heights. Cells of other
    times are drawn in grey.

    Parameters
    ----------
    adata
        Cells with the potential that `cf.tl.potential` wrote.
    time
        One snapshot, a number in the unit of the fit or a label; all by default.
    contours
        Number of lines.
    smoothing
        Width of the kernel that averages the potentials of cells, in fortieths of the longer side
        of the map.
    palette
        A colormap of matplotlib.
    basis, components, size, title, legend_loc, key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes, or a list of them for several populations.

    Raises
    ------
    MissingKeyError
        No fit, no potential, or no such embedding.
    InputError
        A time without a potential, `ax` for several populations (pass `time`), or a number that is
        not positive. No figure is made then.

    See Also
    --------
    cellflow.tl.potential, cellflow.get.potential

    References
    ----------
    Zhou et al., Quasi-potential landscape in complex multi-stable systems, Journal of the Royal
    Society Interface 2012.

    Examples
    --------
    >>> cf.tl.potential(adata)
    >>> ax = cf.pl.landscape(adata, time=24, basis="umap")
    """
    check_arguments(landscape, locals())
    fitted = PlottedFit(adata, key)
    contours = as_count("contours", contours, most=_MOST_LINES)
    smoothing = as_number("smoothing", smoothing, above=0.0)
    heights = _heights(fitted)
    parts = _parts(fitted, np.isfinite(heights), time)
    _, positions, plane = fitted.coordinates(fitted.map_basis(basis), components)
    xy = plane.of(positions)
    cmap = colormap_of(palette, MAP)
    levels = _levels([heights[part.cells] for part in parts], contours)
    titles = [part.name for part in parts] if title is None else title
    style = style_of(fitted, [None] * len(parts), size=size, title=titles, legend_loc=legend_loc)

    def over(ax: Axes, panel: int) -> None:
        part = parts[panel]
        drawn = _draw(ax, xy[part.cells], heights[part.cells], smoothing, levels, cmap)
        if style.legend_loc != "none":
            colour_bar(ax, drawn, "potential (cells move downhill)")
        _say(ax, part.unexplained)

    return draw_maps(fitted, xy, plane, style, ax=ax, alpha=0.5, over=over)


def _heights(fitted: PlottedFit) -> FloatArray:
    """Potential of each cell `(n,)`, NaN where there is none."""
    name = fitted.keys.potential
    if "potential" not in fitted.record or name not in fitted.adata.obs:
        msg = (
            f"adata has no potential of the fit in adata.uns[{fitted.key!r}]. Expected one: call"
            f" cf.tl.potential(adata{fitted.keys.argument})."
        )
        raise MissingKeyError(msg)
    return numbers_of(fitted.adata.obs[name], f"adata.obs[{name!r}]")


def _parts(fitted: PlottedFit, known: np.ndarray, time: Time | None) -> list[_Part]:
    """Populations that have a potential, or those of one time.

    Raises
    ------
    InputError
        There is none.
    """
    about = fitted.record["potential"]
    asked = None if time is None else fitted.time_unit.number("time", time)
    conditions = fitted.cells.conditions
    features = fitted.cells.context
    parts = []
    for row in about["table"].itertuples():
        cells = known.copy()
        if about["by_snapshot"]:
            cells &= fitted.cells.time == row.time
        if conditions is not None and features is not None and row.condition:
            labels = np.array([conditions.label(each) for each in np.asarray(features)])
            cells &= labels == row.condition
        if cells.any() and (asked is None or row.time == asked):
            name = ", ".join(filter(None, [fitted.at(row.time), str(row.condition)]))
            parts.append(_Part(cells, name, float(row.unexplained)))
    if not parts:
        times = sorted({float(t) for t in about["table"]["time"]})
        msg = (
            f"time={time!r}: no cell of adata has a potential of that time. Expected one of"
            f" {times}, or call cf.tl.potential(adata, time={time!r}{fitted.keys.argument})."
        )
        raise InputError(msg)
    return parts


def _levels(heights: Sequence[FloatArray], lines: int) -> FloatArray:
    """Levels of all panels, from the lowest to the highest of their cells but one in a hundred."""
    ends = np.array([np.percentile(each, [1.0, 99.0]) for each in heights])
    low = float(ends[:, 0].min())
    high = float(ends[:, 1].max())
    return np.linspace(low, high if high > low else low + 1.0, lines + 1)


def _draw(
    ax: Axes, xy: FloatArray, heights: FloatArray, smoothing: float, levels: FloatArray, cmap: str
) -> QuadContourSet:
    """Draw heights of cells `(n,)` as colours and lines at levels `(k,)`."""
    from cellflow.analysis.embedding import on_grid

    both = np.column_stack([heights, heights])
    gx, gy, field = on_grid(xy, both, n_grid=_GRID, smoothing=smoothing)
    ground = np.ma.masked_invalid(field[..., 0])
    drawn = ax.contourf(
        gx, gy, ground, levels=levels, cmap=cmap, extend="both", alpha=0.85, zorder=2
    )
    ax.contour(
        gx, gy, ground, levels=levels, colors=INK, linewidths=0.5, linestyles="solid", zorder=2.5
    )
    ax.scatter(
        xy[:, 0], xy[:, 1], s=2.0, color=INK, alpha=0.35, linewidths=0, zorder=3, rasterized=True
    )
    return drawn


def _say(ax: Axes, unexplained: float) -> None:
    """Write under a landscape what it does not explain."""
    words = "share of the motion not explained: not known"
    if np.isfinite(unexplained):
        share = 100.0 * unexplained
        number = (
            "less than 0.1" if share < 0.1 else f"{share:.1f}" if share < 1.0 else f"{share:.0f}"
        )
        words = f"{number} % of the motion not explained"
    ax.text(1.0, -0.015, words, ha="right", va="top", fontsize=8, color=INK, transform=ax.transAxes)
