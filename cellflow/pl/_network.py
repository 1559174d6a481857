"""Regulation as arrows between genes on a circle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray
from cellflow.pl._axes import INK
from cellflow.pl._circle import circle_order, corners_of
from cellflow.pl._effect_rows import AGAINST, FAVOUR, key_of
from cellflow.pl._grid import sized_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST_GENES", "draw_network"]

#: Genes on a circle of which names and arrows are readable.
MOST_GENES = 16
#: Size of a panel in inches, and widths of the arrows in points.
_SIZE = 3.4
_WIDTHS = (0.7, 3.2)


def draw_network(
    values: FloatArray,
    sources: Sequence[str],
    targets: Sequence[str],
    titles: Sequence[str],
    label: str,
    *,
    n_edges: int,
    ax: Axes | None,
) -> Axes | list[Axes]:
    """Draw a panel for each group `(k, r, t)`, with arrows for its largest values.

    Genes are in one order in all panels, so that those with large values are neighbours. Values of
    a gene on itself are not drawn.

    Parameters
    ----------
    values
        Of regulators by targets.
    sources, targets
        Their names.
    titles
        Of the panels.
    label
        What the values are.
    n_edges
        Arrows in a panel.
    ax
        Of a single panel.
    """
    genes = list(dict.fromkeys([*sources, *targets]))
    every = np.zeros((len(values), len(genes), len(genes)))
    rows = [genes.index(name) for name in sources]
    columns = [genes.index(name) for name in targets]
    every[np.ix_(range(len(values)), rows, columns)] = np.nan_to_num(values)
    for matrix in every:
        np.fill_diagonal(matrix, 0.0)
    size = np.abs(every).max(axis=0)
    places = corners_of(circle_order(size + size.T))
    largest = float(size.max()) or 1.0
    with sized_panels(ax, len(values), width=_SIZE, height=_SIZE, columns=3) as axes:
        for one, matrix, title in zip(axes, every, titles, strict=True):
            flat = np.argsort(-np.abs(matrix).ravel(), kind="stable")[:n_edges]
            for source, target in zip(*np.unravel_index(flat, matrix.shape), strict=True):
                if matrix[source, target] != 0.0:
                    ends = places[source], places[target]
                    _arrow(one, *ends, matrix[source, target] / largest)
            _nodes(one, places, genes)
            one.set_title(drawable(title), fontsize=9, color=INK, pad=20)
        last = axes[min(len(axes), 3) - 1]
        last.plot([], [], color=FAVOUR, linewidth=2.0, label="activation →")
        last.plot([], [], color=AGAINST, linewidth=2.0, label="repression ⊣")
        key_of(last, [("text", f"width: {label},"), ("text", f"at most {largest:.2g}")])
    return axes[0] if len(axes) == 1 else axes


def _arrow(ax: Axes, start: FloatArray, end: FloatArray, value: float) -> None:
    """A bent arrow, so that both directions between two genes are seen."""
    from matplotlib.patches import FancyArrowPatch

    width = _WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * abs(value)
    # A bar at the end is repression, as in drawings of circuits.
    style = "|-|,widthA=0,widthB=2.2" if value < 0 else "-|>,head_length=4,head_width=2"
    first, last = (tuple(place.tolist()) for place in (start, end))
    patch = FancyArrowPatch(
        first,
        last,
        arrowstyle=style,
        connectionstyle="arc3,rad=0.16",
        linewidth=width,
        color=AGAINST if value < 0 else FAVOUR,
        shrinkA=9,
        shrinkB=11,
        zorder=1,
    )
    ax.add_patch(patch)


def _nodes(ax: Axes, places: FloatArray, genes: Sequence[str]) -> None:
    look: dict[str, Any] = {"s": 190, "color": "white", "edgecolors": INK, "linewidths": 1.0}
    ax.scatter(*places.T, zorder=2, **look)
    for (x, y), gene in zip(places, genes, strict=True):
        word = drawable(gene, longest=14)
        style: dict[str, Any] = {"fontsize": 8, "fontstyle": "italic", "color": INK}
        style |= {"ha": "center" if abs(x) < 0.2 else ("left" if x > 0 else "right")}
        style["va"] = "center" if abs(y) < 0.9 else ("bottom" if y > 0 else "top")
        ax.text(1.14 * x, 1.14 * y, word, fontfamily=font_families([word])[0], **style)
    ax.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="box")
    ax.spines[:].set_visible(False)
