"""Positions of moving cells at each picture of an animation, and the artists that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.analysis.drawn_paths import DrawnPaths
from cellflow.core._typing import FloatArray, IntArray
from cellflow.pl._axes import FAINT, INK, MAP, colour_bar, legend, scatter, time_bar
from cellflow.pl._colours import Groups, Values
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

__all__ = ["Film", "animate", "film_of", "trails"]


@dataclass(frozen=True, eq=False)
class Film:
    """Where each cell is in each picture.

    Parameters
    ----------
    times
        Of the pictures, shape `(F,)`.
    xy
        Coordinates in the plane, shape `(F, n, 2)`.
    joined
        Whether a line is drawn from each picture to the next, shape `(F - 1, n)`.
    """

    times: FloatArray
    xy: FloatArray
    joined: np.ndarray


def film_of(lines: DrawnPaths, at: FloatArray) -> Film:
    """Places of drawn paths at the times `(F,)` of pictures.

    Between two places that are joined it moves on a line; over a gap it jumps in the middle.
    """
    after = np.clip(np.searchsorted(lines.times, at), 1, len(lines.times) - 1)
    share = (at - lines.times[after - 1]) / (lines.times[after] - lines.times[after - 1])
    share = np.where(lines.joined[:, after - 1], share, np.round(share))[:, :, None]
    before = lines.places[:, after - 1]
    xy = before + share * (lines.places[:, after] - before)
    # Gaps up to each picture; a line needs that there is none on its way.
    gaps = np.cumsum(~lines.joined, axis=1)
    first = np.where(after > 1, gaps[:, np.maximum(after - 2, 0)], 0)
    last = gaps[:, after - 1]
    joined = last[:, 1:] == first[:, :-1]
    return Film(at, xy.swapaxes(0, 1), joined.T)


def animate(
    ax: Axes,
    film: Film,
    rows: IntArray,
    colours: Values | Groups,
    fitted: PlottedFit,
    xy: FloatArray,
    *,
    trail: int,
    fps: int,
    title: str | None,
) -> FuncAnimation:
    """Draw all cells in grey and the moving ones in their colours, picture by picture."""
    from matplotlib.animation import FuncAnimation
    from matplotlib.collections import LineCollection

    figure: Any = ax.figure

    every = np.concatenate([xy, film.xy.reshape(-1, 2)])
    low = every.min(axis=0)
    high = every.max(axis=0)
    margin = 0.03 * np.maximum(high - low, 1e-12)
    ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]))
    ax.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
    scatter(ax, xy, color=FAINT, alpha=0.7, zorder=0)
    dots = _dots(ax, film.xy[0], rows, colours, fitted)
    lines = LineCollection([], colors=dots.get_facecolor(), linewidths=0.9, alpha=0.6, zorder=2)
    ax.add_collection(lines)
    words = ax.set_title("", fontsize=10, color=INK, loc="left")

    def show(frame: int) -> Sequence[Any]:
        dots.set_offsets(film.xy[frame])
        lines.set_segments(list(trails(film, frame, trail)))
        words.set_text("\n".join(filter(None, [title, _said(fitted, film.times, frame)])))
        return dots, lines, words

    show(0)
    # The layout stays as it is in the first picture.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return FuncAnimation(figure, show, frames=len(film.times), interval=1000.0 / fps)


def _dots(
    ax: Axes, xy: FloatArray, rows: IntArray, colours: Values | Groups, fitted: PlottedFit
) -> Any:
    """The moving cells, with their legend or colour bar."""
    style: dict[str, Any] = {"s": 16, "edgecolors": INK, "linewidths": 0.3, "zorder": 3}
    if isinstance(colours, Groups):
        codes = colours.codes[rows]
        table = [*colours.shades, FAINT]  # -1, without a group, is the last
        dots = ax.scatter(xy[:, 0], xy[:, 1], c=[table[code] for code in codes], **style)
        for code in np.unique(codes[codes >= 0]):
            ax.plot([], [], "o", ms=5, color=colours.shades[code], label=colours.names[code])
        legend(ax, title=colours.name)
        return dots
    low = float(np.nanmin(colours.values))
    limits: dict[str, Any] = {"vmin": low, "vmax": float(np.nanmax(colours.values))}
    values = np.where(np.isfinite(colours.values[rows]), colours.values[rows], low)
    dots = ax.scatter(xy[:, 0], xy[:, 1], c=values, cmap=MAP, **limits, **style)
    if colours.is_time:
        time_bar(ax, dots, fitted)
    else:
        colour_bar(ax, dots, colours.name)
    dots.update_scalarmappable()
    return dots


def trails(film: Film, frame: int, n: int) -> FloatArray:
    """Lines behind the cells over the last `n` pictures, `(m, n + 1, 2)`, NaN before a gap."""
    start = max(0, frame - n)
    lines = film.xy[start : frame + 1].swapaxes(0, 1).copy()
    broken = ~film.joined[start:frame].T
    before = np.flip(np.cumsum(np.flip(broken, axis=1), axis=1), axis=1) > 0
    lines[:, :-1][before] = np.nan
    return lines


def _said(fitted: PlottedFit, times: FloatArray, frame: int) -> str:
    """The time of a picture, in as many digits as differ between two pictures."""
    step = (times[-1] - times[0]) / max(len(times) - 1, 1)
    digits = max(0, int(np.ceil(-np.log10(step)))) if step > 0 else 0
    value = f"{times[frame]:.{digits}f}"
    return f"{value} {fitted.unit}" if fitted.unit else f"{fitted.time_key} {value}"
