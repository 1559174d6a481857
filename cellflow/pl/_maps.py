"""Maps of cells, one panel a colour, whose size no legend changes: what all maps are drawn by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.components import Plane
from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError
from cellflow.pl._axes import INK, canvas, colour_bar, embedding_axes, largest, legend, time_bar
from cellflow.pl._colours import Groups, Values
from cellflow.pl._labels import medians, write_labels
from cellflow.pl._layout import arrange, new_maps
from cellflow.pl._points import Cells, draw_groups, draw_plain, draw_values
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, Style

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["draw_maps", "map_panels", "paint", "remember_colours"]

#: Width of a map in inches, alone and beside others.
_ALONE = 5.2
_BESIDE = 3.9
#: Height of a map relative to its width.
_FLATTEST = 0.5
_TALLEST = 1.3


def draw_maps(
    fitted: PlottedFit,
    xy: FloatArray,
    plane: Plane,
    style: Style,
    *,
    ax: Axes | None,
    alpha: float = 0.8,
    over: Callable[[Axes, int], None] | None = None,
) -> Axes | list[Axes]:
    """Draw cells in each of the colours of a style, and what lies over them.

    Colours of groups that `uns` does not have yet are written to it at the end.

    Parameters
    ----------
    xy
        Coordinates of the cells in the figure, shape `(n, 2)`.
    plane
        What the axes are called.
    ax
        Of one panel; those of a new figure by default.
    alpha
        Opacity of the cells.
    over
        Called as `over(ax, number)` for each panel after its cells are drawn.

    Returns
    -------
    The Axes, or a list of them for several panels.

    Raises
    ------
    InputError
        `ax` with several panels.
    """
    names = fitted.adata.obs_names.to_numpy()
    cells = Cells.of(names, xy, size=style.size, alpha=alpha)
    with map_panels(ax, xy, len(style.colours)) as axes:
        for number, one in enumerate(axes):
            colours = style.colours[number]
            paint(one, cells, colours, fitted=fitted, legend_loc=style.legend_loc)
            if over is not None:
                over(one, number)
            embedding_axes(one, plane)
            _title(one, style.titles[number])
        if style.legend_loc == "on data":
            _label(axes, cells, style.colours)
    remember_colours(fitted.adata, style.colours)
    return axes if len(axes) > 1 else axes[0]


@contextmanager
def map_panels(ax: Axes | None, xy: FloatArray, n: int = 1) -> Iterator[list[Axes]]:
    """Give `ax`, or `n` Axes of a new figure, each in the shape of the map `xy` `(k, 2)`.

    The maps of a new figure keep their size, and the figure becomes as large as their legends need.

    Raises
    ------
    InputError
        `ax` with several panels.
    """
    if ax is not None:
        if n != 1:
            msg = (
                f"ax= is one Axes, but there are {n} panels. Expected one panel with it; leave ax="
                " out to get a figure with all of them."
            )
            raise InputError(msg)
        with canvas(ax) as given:
            yield [given]
        return
    from matplotlib import pyplot as plt

    across, up = np.maximum(np.ptp(xy, axis=0), np.finfo(np.float64).tiny)
    width = _ALONE if n == 1 else _BESIDE
    height = width * float(np.clip(up / across, _FLATTEST, _TALLEST))
    columns = {1: 1, 2: 2, 4: 2}.get(n, 3)
    figure = plt.figure(layout="none")
    try:
        axes = new_maps(n, columns, width, height, figure=figure)
        yield axes
        arrange(axes, columns, width, height)
    except BaseException:
        plt.close(figure)
        raise


def paint(
    ax: Axes,
    cells: Cells,
    colours: Values | Groups | None,
    *,
    fitted: PlottedFit,
    legend_loc: LegendLoc = "right margin",
) -> None:
    """Draw cells in their colours, with a colour bar or a legend beside them."""
    if colours is None:
        draw_plain(ax, cells)
        return
    if isinstance(colours, Groups):
        named = largest(ax, colours)
        draw_groups(ax, cells, colours, named)
        if legend_loc not in ("on data", "none"):
            hidden = int((colours.sizes > 0).sum()) - len(named)
            inside = None if legend_loc == "right margin" else legend_loc
            legend(ax, title=colours.name, more=hidden, inside=inside)
        return
    drawn = draw_values(ax, cells, colours)
    if legend_loc == "none":
        return
    if colours.is_time:
        time_bar(ax, drawn, fitted)
    else:
        colour_bar(ax, drawn, colours.name)


def remember_colours(adata: AnnData, colours: Sequence[Values | Groups | None]) -> None:
    """Write colours of groups to `uns["{name}_colors"]`, as scanpy does; not into a view."""
    for each in colours:
        if isinstance(each, Groups) and each.to_store is not None and not adata.is_view:
            adata.uns[f"{each.name}_colors"] = list(each.to_store)


def _label(axes: Sequence[Axes], cells: Cells, colours: Sequence[Values | Groups | None]) -> None:
    """Write names of groups on the maps, after the layout of a given figure is known."""
    figure: Any = axes[0].figure
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
    for ax, each in zip(axes, colours, strict=True):
        if isinstance(each, Groups):
            places = medians(cells.xy, each.codes[cells.order], len(each.names))
            write_labels(ax, places, each.names, each.sizes)


def _title(ax: Axes, text: str) -> None:
    if text:
        families = font_families([text])[0]
        ax.set_title(drawable(text, longest=80), fontsize=10, color=INK, fontfamily=families)
