"""Names of groups written on a map, so that no two of them overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

__all__ = ["medians", "separated", "write_labels"]

#: Font sizes for few and for many names.
_LARGE = 9.0
_SMALL = 7.0
#: Above this number of names, the small font.
_FEW = 12
#: Free space around a name, in points.
_GAP = 1.5
#: Directions in which a free place is looked for.
_DIRECTIONS = 24
#: A name that is farther away than this, in heights of a line, has a line to its cells.
_NEAR = 1.5


def medians(xy: FloatArray, codes: IntArray, n: int) -> FloatArray:
    """Median of the coordinates of each group, shape `(n, 2)`; NaN for groups without cells."""
    found = np.full((n, 2), np.nan)
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        if len(rows) and codes[rows[0]] >= 0:
            found[codes[rows[0]]] = np.median(xy[rows], axis=0)
    return found


def separated(anchors: FloatArray, sizes: FloatArray, inside: FloatArray) -> FloatArray:
    """Places of boxes near their anchors, none of which overlap.

    Boxes are placed in their order, each at the free place nearest to its anchor on rings around
    it, within `inside` where it has such a place.

    Parameters
    ----------
    anchors
        Where the centres should be, shape `(k, 2)`.
    sizes
        Width and height of each box, shape `(k, 2)`.
    inside
        Corners of the preferred area, `[[left, bottom], [right, top]]`.

    Returns
    -------
    Centres, shape `(k, 2)`.

    Examples
    --------
    >>> anchors, sizes = np.zeros((2, 2)), np.full((2, 2), 2.0)
    >>> centres = separated(anchors, sizes, np.array([[-9.0, -9.0], [9.0, 9.0]]))
    >>> bool((np.abs(centres[0] - centres[1]) >= 2.0).any())
    True
    """
    centres = np.zeros((0, 2))
    for k, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
        apart = (size + sizes[:k]) / 2.0
        centres = np.vstack([centres, _free(anchor, size, centres, apart, inside)])
    return centres


def _free(
    anchor: FloatArray, size: FloatArray, taken: FloatArray, apart: FloatArray, inside: FloatArray
) -> FloatArray:
    """The free place nearest to an anchor; `apart` are the distances from the taken ones."""
    step = float(size.min()) / 2.0
    angles = np.arange(_DIRECTIONS) * (2.0 * np.pi / _DIRECTIONS) + np.pi / 2.0
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    low = inside[0] + size / 2.0
    high = np.maximum(inside[1] - size / 2.0, low)
    rings = int(np.ceil(np.linalg.norm(inside[1] - inside[0]) / step))
    start = np.clip(anchor, low, high)
    tried = start + np.concatenate([np.zeros((1, 2)), *(ring * step * r for r in range(1, rings))])
    free = _are_free(tried, taken, apart)
    within = free & (tried >= low - 1e-9).all(axis=1) & (tried <= high + 1e-9).all(axis=1)
    chosen = within if within.any() else free
    while not chosen.any():  # the area is full: below it
        tried = tried - [0.0, inside[1, 1] - inside[0, 1]]
        chosen = _are_free(tried, taken, apart)
    place: FloatArray = tried[np.argmax(chosen)]
    return place


def _are_free(tried: FloatArray, taken: FloatArray, apart: FloatArray) -> np.ndarray:
    distance = np.abs(tried[:, None] - taken[None])
    apart_in_one = np.any(distance >= apart[None] - 1e-9, axis=2)
    return np.asarray(np.all(apart_in_one, axis=1))


def write_labels(ax: Axes, anchors: FloatArray, names: Sequence[str], sizes: IntArray) -> None:
    """Write names at their anchors `(k, 2)` in data coordinates, with a white outline.

    Names of large groups, by `sizes` `(k,)`, are nearer to their anchors. A name that has to go
    farther away has a line to its anchor.
    """
    from matplotlib.patheffects import withStroke

    shown = np.flatnonzero(np.isfinite(anchors).all(axis=1))
    shown = shown[np.argsort(-sizes[shown], kind="stable")]
    if not len(shown):
        return
    font = _LARGE if len(shown) <= _FEW else _SMALL
    words = [drawable(names[k]) for k in shown.tolist()]
    outline = [withStroke(linewidth=2.5, foreground="white")]
    texts = [
        ax.text(
            anchors[k, 0],
            anchors[k, 1],
            word,
            fontsize=font,
            fontfamily=font_families([word])[0],
            ha="center",
            va="center",
            zorder=6,
            path_effects=outline,
        )
        for k, word in zip(shown, words, strict=True)
    ]
    _place(ax, texts, anchors[shown])


def _place(ax: Axes, texts: Sequence[Text], anchors: FloatArray) -> None:
    ax.autoscale(enable=False)
    ax.apply_aspect()
    gap = 2.0 * _GAP * ax.figure.dpi / 72.0
    boxes = np.array([text.get_window_extent().size for text in texts]) + gap
    area = ax.get_window_extent().get_points()
    pixels = ax.transData.transform(anchors)
    centres = separated(pixels, boxes, area)
    places = ax.transData.inverted().transform(centres)
    line: dict[str, Any] = {"color": "#262626", "lw": 0.6, "zorder": 5, "solid_capstyle": "round"}
    moved = np.linalg.norm(centres - pixels, axis=1)
    for k, text in enumerate(texts):
        text.set_position(places[k])
        if moved[k] > _NEAR * boxes[k, 1]:
            ax.plot(*np.stack([places[k], anchors[k]]).T, **line)
