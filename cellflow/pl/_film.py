"""Positions of moving cells at each picture of an animation, and the artists that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.components import Plane
from cellflow.analysis.embedding import place
from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray
from cellflow.pl._axes import FAINT, INK, MAP, colour_bar, legend, scatter, time_bar
from cellflow.pl._colours import Groups, Values
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

__all__ = ["Film", "animate", "film_of"]

#: A place is without cells where the nearest one is farther than this share of the map's diagonal.
_EMPTY = 0.02
#: A step that is longer than this share of the diagonal is a jump, and has no line.
_JUMP = 0.06


@dataclass(frozen=True, eq=False)
class Film:
    """Where each cell is in each picture.

    Parameters
    ----------
    times
        Of the pictures, shape `(F,)`.
    xy
        Coordinates in the plane, shape `(F, n, 2)`.
    """

    times: FloatArray
    xy: FloatArray


def film_of(
    states: FloatArray,
    times: FloatArray,
    at: FloatArray,
    embedding: tuple[FloatArray, FloatArray] | None,
    plane: Plane,
) -> Film:
    """Interpolate paths in time, and place them in the plane of a figure.

    Parameters
    ----------
    states
        Paths, shape `(n, T, d)`.
    times
        Of their states, shape `(T,)`, increasing.
    at
        Times of the pictures, shape `(F,)`.
    embedding
        Positions of the measured cells in the representation, `(m, d)`, and in the plane, `(m, 2)`;
        None where the plane shows columns of the representation.
    plane
        These columns.
    """
    after = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    share = (at - times[after - 1]) / (times[after] - times[after - 1])
    moved = states[:, after - 1] + share[:, None] * (states[:, after] - states[:, after - 1])
    moved = moved.swapaxes(0, 1)
    if embedding is None:
        return Film(at, plane.of(moved))
    flat = moved.reshape(-1, moved.shape[-1])
    return Film(at, _on_cells(flat, *embedding).reshape(*moved.shape[:2], 2))


def _on_cells(states: FloatArray, x: FloatArray, xy: FloatArray) -> FloatArray:
    """Places of states `(k, d)`: the mean of the nearest cells, or the nearest one beside a gap."""
    placed = place(states, x, xy)
    diagonal = float(np.linalg.norm(np.ptp(xy, axis=0)))
    empty = np.flatnonzero(nearest(xy, placed, 1)[0][:, 0] > _EMPTY * diagonal)
    if len(empty):
        placed[empty] = xy[nearest(x, states[empty], 1)[1][:, 0]]
    return placed


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
    longest = _JUMP * float(np.linalg.norm(high - low))

    def show(frame: int) -> Sequence[Any]:
        dots.set_offsets(film.xy[frame])
        lines.set_segments(list(_trails(film.xy[max(0, frame - trail) : frame + 1], longest)))
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


def _trails(past: FloatArray, longest: float) -> FloatArray:
    """Lines behind the cells, `(n, F, 2)`, NaN where a cell jumps: lines break there."""
    lines = past.swapaxes(0, 1).copy()
    jumps = np.linalg.norm(np.diff(lines, axis=1), axis=2) > longest
    # What lies before the last jump is not drawn.
    before = np.flip(np.cumsum(np.flip(jumps, axis=1), axis=1), axis=1) > 0
    lines[:, :-1][before] = np.nan
    return lines


def _said(fitted: PlottedFit, times: FloatArray, frame: int) -> str:
    """The time of a picture, in as many digits as differ between two pictures."""
    step = (times[-1] - times[0]) / max(len(times) - 1, 1)
    digits = max(0, int(np.ceil(-np.log10(step)))) if step > 0 else 0
    value = f"{times[frame]:.{digits}f}"
    return f"{value} {fitted.unit}" if fitted.unit else f"{fitted.time_key} {value}"
