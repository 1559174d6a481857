"""The place of a given Axes in its figure, which legends, bars and titles do not leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.errors import InputWarning

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["inside_place", "place_of"]

#: Space to the edge of the figure, in inches.
_EDGE = 0.05
#: Smallest share of its width or height that an Axes shrinks to.
_LEAST = 0.4
#: Times that sizes are measured again; labels change when an Axes shrinks.
_STEPS = 12
#: A step helps where it leaves at most this share of what reaches beyond the place.
_BETTER = 0.9
#: What is not seen, in pixels.
_PIXEL = 0.5
#: Smallest font of a legend that is written smaller, in points.
_SMALL = 6.0


@contextmanager
def inside_place(ax: Axes) -> Iterator[None]:
    """Shrink an Axes after drawing until it lies in its place with all that belongs to it.

    A figure with a layout of its own (`layout="constrained"`) does this by itself.

    Warns
    -----
    InputWarning
        The place is too small.
    """
    if _is_laid_out(ax):
        yield
        return
    place = place_of(ax)
    figure: Any = ax.figure
    before = list(figure.axes)
    yield
    _shrink([ax, *(each for each in figure.axes if each not in before)], place)


def place_of(ax: Axes) -> FloatArray:
    """Left, lower, right and upper end of the place of an Axes, as shares of its figure.

    To the edges of the figure where there is no neighbour. Between two neighbours, the space is for
    the labels of the right one; above each other, each has half of it.
    """
    figure: Any = ax.figure
    box = _box(ax)
    edge = _EDGE * figure.dpi / np.tile(figure.bbox.size, 2)
    place = np.array([0.0, 0.0, 1.0, 1.0]) + edge * [1.0, 1.0, -1.0, -1.0]
    for other in map(_box, (each for each in figure.axes if each is not ax)):
        beside = _overlap(box, other, 1)
        above = _overlap(box, other, 0)
        if beside and other[2] <= box[0]:
            place[0] = max(place[0], other[2])
        elif beside and other[0] >= box[2]:
            place[2] = min(place[2], box[2])
        elif above and other[3] <= box[1]:
            place[1] = max(place[1], (other[3] + box[1]) / 2.0)
        elif above and other[1] >= box[3]:
            place[3] = min(place[3], (other[1] + box[3]) / 2.0)
    # An Axes that reaches beyond its place, such as to the edge of the figure, keeps its size.
    return np.array([*np.minimum(place[:2], box[:2]), *np.maximum(place[2:], box[2:])])


def _is_laid_out(ax: Axes) -> bool:
    """Whether something else decides where an Axes is."""
    from matplotlib.layout_engine import PlaceHolderLayoutEngine

    figure: Any = ax.figure
    engine = figure.get_layout_engine()
    free = engine is None or isinstance(engine, PlaceHolderLayoutEngine)
    return not free or ax.get_axes_locator() is not None


def _box(ax: Axes) -> FloatArray:
    return np.array(ax.get_position(original=True).extents)


def _overlap(box: FloatArray, other: FloatArray, axis: int) -> bool:
    return bool(min(box[axis + 2], other[axis + 2]) > max(box[axis], other[axis]))


def _shrink(parts: Sequence[Axes], place: FloatArray) -> None:
    """Shrink Axes together until what they draw lies in `place`; write legends smaller first."""
    figure: Any = parts[0].figure
    first = _union([_box(part) for part in parts])
    least = _LEAST * (first[2:] - first[:2])
    old = list(map(_box, parts))
    if _fits(parts, place, least):
        return
    texts = [text for part in parts for text in _legend_texts(part)]
    if any(text.get_fontsize() > _SMALL for text in texts):
        for text in texts:
            text.set_fontsize(min(text.get_fontsize(), _SMALL))
        _move(parts, old)
        if _fits(parts, place, least):
            return
    width, height = (first[2:] - first[:2]) * figure.bbox.size / figure.dpi
    msg = (
        f"ax= has {width:.1f} x {height:.1f} inches, which is too little for the legend and the"
        " labels; they reach beyond it. Expected a larger Axes, or leave ax= out."
    )
    warn(msg, InputWarning)


def _fits(parts: Sequence[Axes], place: FloatArray, least: FloatArray) -> bool:
    """Shrink Axes to `least` `(2,)` at most, and say whether they lie in `place` then.

    A direction in which a step does not help, as with a label that is longer than its axis, is left
    as it was before this step.
    """
    pixels = np.tile(parts[0].figure.bbox.size, 2)
    helps = np.ones(2, dtype=bool)
    over = _over(parts, place)
    for _ in range(_STEPS):
        if (over * pixels <= _PIXEL).all() or not helps.any():
            break
        old = list(map(_box, parts))
        box = _union(old)
        size = box[2:] - box[:2]
        share = np.minimum(1.0, (size - least) / np.maximum(over[:2] + over[2:], 1e-12))
        step = over * np.tile(np.maximum(share, 0.0) * helps, 2)
        start = np.tile(box[:2], 2)
        scale = np.tile((size - step[:2] - step[2:]) / size, 2)
        new = [start + np.tile(step[:2], 2) + (each - start) * scale for each in old]
        _move(parts, new)
        now = _over(parts, place)
        better = now[:2] + now[2:] <= _BETTER * (over[:2] + over[2:])
        if not better.all():
            helps &= better
            kept = np.tile(better, 2)
            _move(parts, [np.where(kept, n, o) for n, o in zip(new, old, strict=True)])
            now = _over(parts, place)
        over = now
    return bool((over * pixels <= 1.0).all())


def _move(parts: Sequence[Axes], boxes: Sequence[FloatArray]) -> None:
    for part, box in zip(parts, boxes, strict=True):
        part.set_position((*box[:2], *(box[2:] - box[:2])))
        part.set_in_layout(True)


def _legend_texts(ax: Axes) -> list[Any]:
    found = ax.get_legend()
    return [] if found is None else [*found.get_texts(), found.get_title()]


def _over(parts: Sequence[Axes], place: FloatArray) -> FloatArray:
    """How far what is drawn reaches beyond each side of `place`, as shares of the figure."""
    figure: Any = parts[0].figure
    boxes = [part.get_tightbbox() for part in parts]
    back = figure.transSubfigure.inverted()
    drawn = _union([np.array(box.transformed(back).extents) for box in boxes if box is not None])
    return np.maximum([*(place[:2] - drawn[:2]), *(drawn[2:] - place[2:])], 0.0)


def _union(boxes: Sequence[FloatArray]) -> FloatArray:
    every = np.array(boxes)
    return np.array([*every[:, :2].min(axis=0), *every[:, 2:].max(axis=0)])
