"""A Sankey diagram: masses of labels at several times, and what flows between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray
from cellflow.pl._axes import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Sankey", "draw_sankey"]

#: Width of a node, in units of the distance between two times.
_NODE = 0.07
#: Space between all nodes of a time together, relative to the largest total.
_GAPS = 0.12
#: Size of names, in points.
_SIZE = 8.0
#: Height of a name relative to its size.
_LINE = 1.25


@dataclass(frozen=True, eq=False)
class Sankey:
    """What is drawn.

    Parameters
    ----------
    names
        Labels, from top to bottom, `k` of them.
    mass
        Of each label at each time, shape `(T, k)`.
    before, after
        Masses at both ends of what flows from each label (row) to each label (column) over each
        interval, shape `(T - 1, k, k)`; zero for a flow that is not drawn.
    shades
        Colour of each label.
    most
        Names beside one time at most; of more labels, the largest have one.
    """

    names: Sequence[str]
    mass: FloatArray
    before: FloatArray
    after: FloatArray
    shades: Mapping[str, Any]
    most: int

    @property
    def drawn(self) -> np.ndarray:
        """Which nodes have mass, shape `(T, k)`."""
        return self.mass > 0

    @property
    def named(self) -> np.ndarray:
        """Which nodes have a name beside them, shape `(T, k)`.

        Those of the first and of the last time; of a label that is at neither, its largest one.
        """
        wanted = np.zeros(self.mass.shape, dtype=bool)
        wanted[[0, -1]] = self.drawn[[0, -1]]
        inner = np.flatnonzero(~wanted.any(axis=0) & self.drawn.any(axis=0))
        wanted[np.argmax(self.mass[:, inner], axis=0), inner] = True
        rank = np.argsort(np.argsort(-np.where(wanted, self.mass, -1.0), axis=1), axis=1)
        return np.asarray(wanted & (rank < self.most))

    @property
    def n_unnamed(self) -> int:
        """Number of labels with mass that have a name nowhere."""
        return int((self.drawn.any(axis=0) & ~self.named.any(axis=0)).sum())

    @property
    def tops(self) -> FloatArray:
        """Upper end of each node, shape `(T, k)`; each time is centred at zero."""
        gap = _GAPS * self.mass.sum(axis=1).max() / max(len(self.names) - 1, 1)
        height = self.mass + gap * self.drawn
        above = np.cumsum(height, axis=1) - height
        total = height.sum(axis=1, keepdims=True) - gap
        return np.asarray(total / 2.0 - above)


def draw_sankey(ax: Axes, what: Sankey) -> None:
    """Draw nodes, flows in the colour of their source, and the names of the labels."""
    n_times = len(what.mass)
    tops = what.tops
    edge = (tops - what.mass).min()
    ax.set(xlim=(-_NODE, n_times - 1 + _NODE), ylim=(edge, tops.max()))
    for k in range(n_times - 1):
        _draw_flows(ax, what, tops, k)
    for k in range(n_times):
        for i in np.flatnonzero(what.drawn[k]):
            _draw_node(ax, what, k, int(i), float(tops[k, i]))
    _draw_names(ax, what, tops)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.tick_params(axis="x", length=0, labelsize=9, colors=INK)


def _draw_node(ax: Axes, what: Sankey, k: int, i: int, top: float) -> None:
    from matplotlib.patches import Rectangle

    name = what.names[i]
    mass = float(what.mass[k, i])
    node = Rectangle(
        (k - _NODE / 2, top - mass), _NODE, mass, facecolor=what.shades[name], lw=0.4, zorder=3
    )
    node.set_edgecolor(INK)
    node.set_gid(f"node {k} {name}")
    ax.add_patch(node)


def _draw_flows(ax: Axes, what: Sankey, tops: FloatArray, k: int) -> None:
    """Flows of one interval, each side by side in the order of the labels at the other end."""
    before = what.before[k]
    after = what.after[k]
    left = tops[k][:, None] - np.cumsum(before, axis=1) + before
    right = tops[k + 1][None, :] - np.cumsum(after, axis=0) + after
    # The large ones lie below the small ones.
    for flat in np.argsort(-(before + after), axis=None):
        i, j = divmod(int(flat), len(what.names))
        if before[i, j] + after[i, j] > 0:
            ends = ((left[i, j], before[i, j]), (right[i, j], after[i, j]))
            ribbon = _ribbon(k + _NODE / 2, k + 1 - _NODE / 2, *ends)
            ribbon.set(facecolor=what.shades[what.names[i]], alpha=0.45, linewidth=0.0, zorder=2)
            ribbon.set_gid(f"flow {k} {what.names[i]} to {what.names[j]}")
            ax.add_patch(ribbon)


def _ribbon(x0: float, x1: float, left: tuple[float, float], right: tuple[float, float]) -> Any:
    """A band between two vertical edges, each given by its upper end and its height."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    middle = (x0 + x1) / 2.0
    y0, h0 = left
    y1, h1 = right
    points = [(x0, y0), (middle, y0), (middle, y1), (x1, y1)]
    points += [(x1, y1 - h1), (middle, y1 - h1), (middle, y0 - h0), (x0, y0 - h0), (x0, y0)]
    curve = [Path.CURVE4] * 3
    return PathPatch(Path(points, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]))


def _draw_names(ax: Axes, what: Sankey, tops: FloatArray) -> None:
    """Names left of the first time, right of the others."""
    centre = tops - what.mass / 2.0
    named = what.named
    for k in range(len(named)):
        _column(ax, what, centre[k], np.flatnonzero(named[k]), k, -1 if k == 0 else 1)


def _column(
    ax: Axes, what: Sankey, centre: FloatArray, rows: np.ndarray, k: int, side: int
) -> None:
    """Names of the nodes `rows` of one time, moved apart where they would overlap."""
    if not len(rows):
        return
    low, high = ax.get_ylim()
    figure: Any = ax.figure
    inches = ax.get_position().height * figure.get_figheight()
    line = _SIZE * _LINE / 72.0 * (high - low) / inches
    places = spread_out(centre[rows], line)
    x = k + side * (_NODE / 2 + 0.015)
    inner = 0 < k < len(what.mass) - 1
    for i, y in zip(rows, places, strict=True):
        name = what.names[i]
        moved = abs(y - centre[i]) > 0.3 * line
        text = ax.annotate(
            drawable(name),
            (x, centre[i]),
            (x + side * (0.05 if moved else 0.015), y),
            ha="right" if side < 0 else "left",
            va="center",
            fontsize=_SIZE,
            color=INK,
            fontfamily=font_families([name])[0],
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": INK, "shrinkA": 0, "shrinkB": 0}
            if moved
            else None,
            zorder=4,
        )
        text.set_gid(f"name {k} {name}")
        if inner:
            text.set_bbox({"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.5})


def spread_out(wanted: FloatArray, least: float) -> FloatArray:
    """Places as near as possible to the wanted ones, decreasing ones, at least `least` apart.

    Least squares under the order, by pooling adjacent violators.
    """
    order = np.argsort(-wanted, kind="stable")
    shifted = wanted[order] + least * np.arange(len(wanted))
    blocks: list[tuple[float, int]] = []
    for value in shifted.tolist():
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    fitted = np.concatenate([np.full(n, value) for value, n in blocks])
    places = np.empty(len(wanted))
    places[order] = fitted - least * np.arange(len(wanted))
    return places
