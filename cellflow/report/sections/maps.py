"""Real beside predicted cells, in two dimensions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.adapter.components import Plane, axis_name, plane_of
from cellflow.adapter.positions import read_positions
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray
from cellflow.evaluation.names import NEXT, OBSERVED, PREVIOUS, STRAIGHT
from cellflow.report import pictures
from cellflow.report.clouds import NO_REFERENCE
from cellflow.report.contents import Contents
from cellflow.report.held import Held
from cellflow.report.markup import Markup, element, heading
from cellflow.report.pictures import BLUE, FAINT, ORANGE, SOFT, Letters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["maps"]

#: Predictions that are drawn.
_DRAWN = 2
#: Most cells of one colour in a panel; more only cover each other.
_MAX_POINTS = 1500
#: Colour and name of each cloud.
_CLOUDS = {
    OBSERVED: (BLUE, "hidden cells"),
    "predicted": (ORANGE, "predicted"),
    "before": ("#a58bbf", "snapshot before"),
    "after": ("#86ae78", "snapshot after"),
}


class _Panel(NamedTuple):
    """Clouds drawn over each other: the kind of each, and its positions `(n, 2)`."""

    title: str
    clouds: Sequence[tuple[str, FloatArray]]


def maps(contents: Contents) -> Iterator[Markup]:
    """Real against predicted cells, in the first two dimensions and on an embedding."""
    held = contents.held
    yield heading("Predicted and real cells")
    if not held.drawn(_DRAWN):
        yield element("p", "No method gave a prediction that could be drawn.")
        return
    yield element(
        "p",
        "Where blue and orange mix evenly, the prediction is right. The first picture of each row"
        " shows the hidden cells between the snapshots before and after, the nearest that the"
        " methods have seen.",
    )
    yield element("h3", "First two dimensions")
    caption = (
        f"First two of {held.params['n_dims']} dimensions, at one scale; as many cells of either"
        " colour."
    )
    plane = plane_of(str(held.params["use_rep"]), int(held.params["n_dims"]))
    for time in held.times:
        yield from _map(held, time, plane.of, plane, caption)
    if contents.embedding is not None:
        yield from _on_embedding(contents, contents.embedding)


def _on_embedding(contents: Contents, embedding: str) -> Iterator[Markup]:
    positions = read_positions(contents.adata, use_rep=embedding).astype(np.float64)
    known = np.asarray(np.isfinite(positions).all(axis=1))
    plane = plane_of(embedding, positions.shape[1])
    yield element("h3", f"On the embedding ({axis_name(embedding)})")
    caption = (
        "Every cell is placed at the mean of the real cells nearest to it, so this picture cannot"
        " show predictions that lie outside of the real cells."
    )
    drawn = []
    for time in contents.held.times:
        reference = contents.held.reference(contents.adata, time, known)
        if reference is not None:
            place = partial(reference.placed, embedding=plane.of(positions))
            drawn += list(_map(contents.held, time, place, plane, caption))
    yield from drawn or [element("p", NO_REFERENCE)]


def _map(
    held: Held, time: float, place: Callable[[FloatArray], FloatArray], plane: Plane, caption: str
) -> Iterator[Markup]:
    """The hidden cells between their neighbours, then below each prediction."""
    observed = held.cloud(time, OBSERVED)
    if observed is None:
        return
    here = (OBSERVED, place(observed.x))
    around = [("before", PREVIOUS), ("after", NEXT)]
    neighbours = [
        (kind, place(c.x)) for kind, name in around if (c := held.cloud(time, name)) is not None
    ]
    panels = [_Panel(held.at(time), [*neighbours, here])] if neighbours else []
    for name in (*held.drawn(_DRAWN), STRAIGHT):
        cloud = held.cloud(time, name)
        if cloud is not None:
            panels.append(_Panel(name, [here, ("predicted", place(cloud.evenly()))]))
    axes = " and ".join(filter(None, plane.axes))
    alt = f"{axes}: cells of {held.at(time)}, real and predicted"
    yield _drawn(panels, plane.axes, f"{held.at(time)}. {caption}", alt)


def _drawn(panels: Sequence[_Panel], axes: tuple[str, str], caption: str, alt: str) -> Markup:
    """Draw panels side by side, at one scale."""
    letters = Letters.of(*axes, *(panel.title for panel in panels))
    every = np.concatenate([points for panel in panels for _, points in panel.clouds])
    # With all cells in view, a few cells far out would leave the others a dot.
    low, high = np.quantile(every, [0.002, 0.998], axis=0)
    middle = (low + high) / 2
    side = np.maximum(high - low, 1e-12) * 0.56
    up = float(np.clip(side[1] / side[0], 0.6, 1.25))
    width = pictures.WIDTH / max(len(panels), 3)
    drawing = pictures.blank(width * len(panels), width * up + 0.75)
    # As many cells of each, so that an even mixture looks even.
    n = min(_MAX_POINTS, *(len(points) for panel in panels for _, points in panel.clouds))
    for k, panel in enumerate(panels):
        ax = drawing.add_subplot(1, len(panels), k + 1)
        _scatter(ax, panel, n)
        ax.set(xlim=(middle[0] - side[0], middle[0] + side[0]))
        ax.set(ylim=(middle[1] - side[1], middle[1] + side[1]))
        ax.set(xticks=[], yticks=[])
        pictures.titled(ax, letters(panel.title))
        for spine in ax.spines.values():
            spine.set_color(FAINT)
        ax.set_xlabel(letters(axes[0]), fontsize=8, color=SOFT, loc="left", labelpad=3)
        if k == 0:
            ax.set_ylabel(letters(axes[1]), fontsize=8, color=SOFT, loc="bottom", labelpad=3)
    there = {kind for panel in panels for kind, _ in panel.clouds}
    shades, names = zip(*(_CLOUDS[kind] for kind in _CLOUDS if kind in there), strict=True)
    pictures.legend_below(drawing, pictures.dots(shades), names)
    return pictures.finished(drawing, letters, caption, alt=alt)


def _scatter(ax: Axes, panel: _Panel, n: int) -> None:
    """Draw `n` cells of each cloud in random order, so that no cloud covers another."""
    drawn = []
    shades = []
    for kind, points in panel.clouds:
        drawn.append(points[stream(0).permutation(len(points))[:n]])
        shades += [_CLOUDS[kind][0]] * n
    xy = np.concatenate(drawn)
    order = stream(1).permutation(len(xy))
    size = float(np.clip(9_000 / len(xy), 2.5, 22.0))
    x, y = xy[order].T
    ax.scatter(x, y, s=size, c=np.array(shades)[order], alpha=0.55, linewidths=0)
