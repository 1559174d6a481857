"""Parts of all figures: the Axes, accessible colours, legends and colour bars beside the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.components import Plane
from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, InputTypeError
from cellflow.pl._colours import MAP, Groups, Values
from cellflow.pl._layout import bar_beside, is_fixed
from cellflow.pl._place import inside_place
from cellflow.pl._points import FAINT
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FAINT",
    "INK",
    "MAP",
    "OBSERVED",
    "PREDICTED",
    "beside",
    "canvas",
    "colour_bar",
    "embedding_axes",
    "largest",
    "legend",
    "legend_width",
    "map_size",
    "rows_of",
    "scatter",
    "time_bar",
]

INK = "#262626"
OBSERVED = "#0072b2"
PREDICTED = "#d55e00"
#: Names in one column of a legend.
_ROWS = 18
#: Longest name, in characters, that leaves space for a second column.
_SHORT = 20
#: Width of a letter in a legend, in inches.
_LETTER = 0.075
#: Height of a row of a legend, in inches.
_ROW = 0.19
#: Width of a colour bar with its numbers, in inches.
_BAR = 1.2
#: Most ticks of a colour bar; more would overlap.
_MAX_TICKS = 10


@contextmanager
def canvas(ax: Axes | None, *, width: float = 6.4, height: float = 4.8) -> Iterator[Axes]:
    """Give `ax`, or the Axes of a new figure with space beside the data.

    A given Axes keeps its place in its figure: it shrinks as legends, bars and titles
    need. A new figure is closed if drawing fails.
    """
    if ax is not None:
        _require_axes(ax)
        with inside_place(ax):
            yield ax
        return
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    engine = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1, compress=True)
    figure, made = plt.subplots(figsize=(width, height), layout=engine)
    try:
        yield made
    except BaseException:
        plt.close(figure)
        raise


def _require_axes(ax: object) -> None:
    if not hasattr(ax, "add_collection") or getattr(ax, "figure", None) is None:
        gone = " that belongs to no figure any more" if hasattr(ax, "add_collection") else ""
        msg = (
            f"ax= is of type {type(ax).__name__}{gone}; expected one Axes, such as"
            " plt.subplots()[1]."
        )
        raise InputTypeError(msg)
    projection = getattr(ax, "name", "rectilinear")
    if projection != "rectilinear":
        msg = (
            f"ax= has the projection {projection!r}; expected a plain Axes, such as"
            " plt.subplots()[1]."
        )
        raise InputError(msg)


def map_size(
    xy: FloatArray, *, width: float = 5.2, beside: float = _BAR, above: float = 0.0, rows: float = 0
) -> dict[str, float]:
    """Size in inches of a figure in the shape of the map `xy` `(n, 2)`.

    With space `beside` and `above` it, and not lower than a legend with that many `rows`.
    """
    across, up = np.maximum(np.ptp(xy, axis=0), np.finfo(np.float64).tiny)
    height = width * float(np.clip(up / across, 0.5, 1.3)) + 0.4 + above
    return {"width": width + beside, "height": max(height, 0.6 + _ROW * rows)}


def embedding_axes(ax: Axes, plane: Plane) -> None:
    """Style an Axes for coordinates without units: equal scales, and two arrows as axes."""
    ax.set_aspect("equal", adjustable="box")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    arrow = {
        "arrowstyle": "-|>",
        "color": INK,
        "lw": 0.8,
        "shrinkA": 0,
        "shrinkB": 0,
        "mutation_scale": 7,
    }
    families = font_families(plane.axes)[0]
    text: dict[str, Any] = {
        "fontsize": 7,
        "color": INK,
        "transform": ax.transAxes,
        "fontfamily": families,
    }
    across, up = plane.axes
    for tip, name in zip(((0.12, 0.0), (0.0, 0.12)), plane.axes, strict=True):
        if name:
            ax.annotate("", tip, (0.0, 0.0), xycoords="axes fraction", arrowprops=arrow)
    ax.text(0.0, -0.015, drawable(across), ha="left", va="top", **text)
    if up:
        ax.text(-0.015, 0.0, drawable(up), ha="right", va="bottom", rotation=90, **text)


def scatter(
    ax: Axes,
    xy: FloatArray,
    *,
    color: Any = None,
    values: FloatArray | None = None,
    cmap: str = MAP,
    alpha: float = 0.7,
    label: str | None = None,
    zorder: float = 1,
) -> Any:
    """Draw cells in one colour or by values; in a vector file they are an image."""
    size = float(np.clip(30_000 / max(len(xy), 1), 3.0, 32.0))
    shade: dict[str, Any] = {"color": color} if values is None else {"c": values, "cmap": cmap}
    return ax.scatter(
        xy[:, 0],
        xy[:, 1],
        s=size,
        alpha=alpha,
        linewidths=0,
        label=label,
        zorder=zorder,
        rasterized=True,
        **shade,
    )


def rows_of(ax: Axes) -> int:
    """Names in one column of a legend beside an Axes."""
    return max(_ROWS, int(ax.get_window_extent().height / ax.figure.dpi / _ROW) - 1)


def largest(ax: Axes, colours: Groups) -> IntArray:
    """Groups that the legend names: the largest, in three columns where names are short."""
    return _named(colours, rows_of(ax))


def _named(colours: Groups, rows: int = _ROWS) -> IntArray:
    by_size = np.argsort(-colours.sizes, kind="stable")
    by_size = by_size[colours.sizes[by_size] > 0]
    short = all(len(colours.names[code]) <= _SHORT for code in by_size[: 3 * rows])
    most = (3 if short else 2) * rows
    # One row is for the number of the others.
    return np.sort(by_size if len(by_size) <= most else by_size[: most - 1])


def legend_width(names: Sequence[str]) -> float:
    """Width in inches of a legend with these names."""
    longest = max(map(len, names), default=0)
    return 0.5 + _LETTER * longest + (_LETTER * longest + 0.3) * ((len(names) - 1) // _ROWS)


def beside(colours: Values | Groups) -> dict[str, float]:
    """Space for the colour bar or the legend, as arguments of `map_size`."""
    if isinstance(colours, Values):
        return {}
    names = [drawable(colours.names[code]) for code in _named(colours)]
    return {"beside": max(_BAR, legend_width(names)), "rows": min(len(names), _ROWS)}


def colour_bar(ax: Axes, drawn: Any, label: str, ticks: Sequence[float] = ()) -> None:
    """Draw a narrow colour bar beside the data."""
    from matplotlib.cm import ScalarMappable

    place: dict[str, Any] = {"ax": ax, "shrink": 0.5, "aspect": 20, "pad": 0.02}
    place |= {"anchor": (0.0, 0.95)}
    if is_fixed(ax):
        place = {"cax": bar_beside(ax)}
    # The bar is opaque, although the cells are transparent.
    bar = ax.figure.colorbar(ScalarMappable(drawn.norm, drawn.cmap), **place)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8)
    bar.set_label(drawable(label), fontsize=9, fontfamily=font_families([label])[0])
    if ticks:
        bar.set_ticks(list(ticks), labels=[f"{t:g}" for t in ticks])


def time_bar(ax: Axes, drawn: Any, fitted: PlottedFit) -> None:
    """Draw a colour bar of time beside the data, with ticks at the times of the snapshots."""
    times = fitted.snapshots.tolist()
    label = f"{fitted.time_key} ({fitted.unit})" if fitted.unit else fitted.time_key
    colour_bar(ax, drawn, label, _apart(times))


def _apart(times: Sequence[float]) -> list[float]:
    """Times without those whose numbers would overlap on a colour bar; the last one is kept."""
    least = (times[-1] - times[0]) / _MAX_TICKS
    kept = [times[-1]]
    for time in reversed(times[:-1]):
        if kept[-1] - time >= least and (time == times[0] or time - times[0] >= least):
            kept.append(time)
    return kept[::-1]


def legend(
    ax: Axes,
    *,
    title: str | None = None,
    x: float = 1.02,
    more: int = 0,
    inside: str | None = None,
) -> None:
    """Draw the legend right of the data, or at a place `inside` the Axes, as matplotlib names it.

    Its last row is the number `more` of unnamed groups.
    """
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    loc: Any = inside or "upper left"
    if more:
        handles.append(Line2D([], [], ls=""))
        labels.append(f"and {more:,} more")
    families = font_families([*labels, title or ""])[0]
    box = ax.legend(
        handles,
        labels,
        loc=loc,
        bbox_to_anchor=None if inside else (x, 1.0),
        borderaxespad=0.2 if inside else 0.0,
        frameon=False,
        handletextpad=0.4,
        prop={"size": 8, "family": families},
        title=None if title is None else drawable(title),
        title_fontproperties={"size": 9, "family": families},
        alignment="left",
        ncols=1 + (len(labels) - 1) // rows_of(ax),
    )
    for handle in box.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([28.0])
            handle.set_alpha(1.0)
