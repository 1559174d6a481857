"""Panels of predicted and real populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.components import Plane
from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray
from cellflow.pl._axes import (
    FAINT,
    INK,
    canvas,
    embedding_axes,
    legend_width,
    map_size,
    scatter,
)
from cellflow.pl._clouds import Cloud, draw_contours, draw_margins, extent
from cellflow.pl._grid import panels
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Scene", "draw_overlay", "draw_side_by_side"]

#: Clouds that have contours, and the styles of their lines, which differ in grey as well.
_LINES = {"observed": "solid", "predicted": "dashed"}
#: Area of all dots together in square points, and of the smallest and the largest dot.
_DOTS = 40_000.0
_SMALLEST = 4.0
_LARGEST = 32.0
#: Inches of one of several panels.
_WIDTH = 3.2
#: Panels in a row.
_ABREAST = 4


@dataclass(frozen=True, eq=False)
class Scene:
    """What is drawn.

    Parameters
    ----------
    fitted
        The fit.
    plane, real
        The columns of the embedding, and all measured cells in it, shape `(n, 2)`.
    clouds
        Of each time: predicted, and observed or before and after.
    shares
        Of the cells inside contours.
    title
        Text above the figure.
    """

    fitted: PlottedFit
    plane: Plane
    real: FloatArray
    clouds: Mapping[float, Sequence[Cloud]]
    shares: Sequence[float]
    title: str | None

    @property
    def limits(self) -> FloatArray:
        """Low and high of both axes, shape `(2, 2)`, the same for all panels."""
        clouds = [c for at in self.clouds.values() for c in at]
        lined = [extent(c, self.shares) for c in clouds if c.what in _LINES]
        every = [self.real, *(c.xy for c in clouds), *lined]
        points = np.concatenate(every)
        low = points.min(axis=0)
        high = points.max(axis=0)
        margin = 0.04 * np.maximum(high - low, 1e-12)
        return np.array([low - margin, high + margin])

    @property
    def size(self) -> float:
        """Area of a dot in square points, by the number of all cells."""
        return float(np.clip(_DOTS / max(len(self.real), 1), _SMALLEST, _LARGEST))

    def name(self, cloud: Cloud) -> str:
        """What a legend calls a cloud."""
        n = f"n = {len(cloud.xy):,}"
        return drawable(f"{cloud.what}, {self.fitted.at(cloud.time)} ({n})", longest=80)

    @property
    def lines(self) -> str:
        """What the contours hold, in words."""
        said = ", ".join(f"{100 * share:g}" for share in self.shares[::-1])
        return f"lines: {said} % of cells"


def draw_overlay(scene: Scene, ax: Axes | None) -> Axes | list[Axes]:
    """Draw predicted cells over the real ones, each time in a panel."""
    if len(scene.clouds) == 1:
        return _draw_one(scene, ax)
    size: dict[str, Any] = map_size(scene.real, width=_WIDTH, beside=0.0, above=0.3)
    with panels(ax, len(scene.clouds), columns=_ABREAST, **size) as every:
        for k, (time, clouds) in enumerate(scene.clouds.items()):
            true = [c for c in clouds if c.what == "observed"] or clouds[1:]
            _draw_panel(every[k], scene, [clouds[0], *true])
            _name(every[k], scene.fitted.at(time))
        _finish(every, scene)
    return every


def draw_side_by_side(scene: Scene) -> list[Axes]:
    """Draw real cells above predicted ones, each time in a column; one time beside each other."""
    n = len(scene.clouds)
    size: dict[str, Any] = map_size(scene.real, width=_WIDTH, beside=0.0, above=0.3)
    with panels(None, 2 * n, columns=max(n, 2), **size) as every:
        for k, clouds in enumerate(scene.clouds.values()):
            true = [c for c in clouds if c.what == "observed"] or list(clouds[1:])
            _draw_panel(every[k], scene, true)
            _name(every[k], "\n".join(map(scene.name, true)))
            _draw_panel(every[n + k], scene, clouds[:1])
            _name(every[n + k], scene.name(clouds[0]))
        _finish(every, scene, named=True)
    return every


def _draw_one(scene: Scene, ax: Axes | None) -> Axes:
    """One time with its neighbours, and the densities along both axes."""
    clouds = next(iter(scene.clouds.values()))
    names = list(map(scene.name, clouds))
    above = 0.6 + (0.3 if scene.title else 0.0)
    size: dict[str, Any] = map_size(scene.real, beside=1.0 + legend_width(names), above=above)
    with canvas(ax, **size) as ax:
        _draw_panel(ax, scene, clouds, names)
        _legend(ax, [ax], scene, 8.0, {"loc": "upper left", "bbox_to_anchor": (1.17, 1.0)})
        draw_margins(ax, clouds)
        if scene.title:
            # Above the densities, which stand outside of the Axes.
            ax.set_title(scene.title, fontsize=10, color=INK, y=1.16)
    return ax


def _draw_panel(
    ax: Axes, scene: Scene, clouds: Sequence[Cloud], names: Sequence[str] | None = None
) -> None:
    """Cells and contours of one panel, over all other cells."""
    low, high = scene.limits
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    scatter(ax, scene.real, color=FAINT, alpha=0.35, zorder=0)
    for depth, cloud in enumerate(clouds):
        label = cloud.what if names is None else names[depth]
        alpha = 0.35 if cloud.what in _LINES and scene.shares else 0.7
        style: dict[str, Any] = {"alpha": alpha, "label": label, "zorder": 1 - depth / 10}
        scatter(ax, cloud.xy, color=cloud.shade, **style).set_sizes([scene.size])
    for cloud in clouds:
        if cloud.what in _LINES:
            draw_contours(ax, cloud, scene.shares, _LINES[cloud.what])
    embedding_axes(ax, scene.plane)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _name(ax: Axes, text: str) -> None:
    ax.set_title(text, fontsize=9, color=INK, loc="left")


def _legend(
    on: Any, every: Sequence[Axes], scene: Scene, size: float, place: Mapping[str, Any]
) -> None:
    """Draw a legend of all clouds on an Axes or a figure: a dot, over a line where it has one."""
    from matplotlib.lines import Line2D

    shades: dict[str, Any] = {}
    for ax in every:
        found: Any = zip(*ax.get_legend_handles_labels(), strict=True)
        shades |= {name: handle.get_facecolor()[0][:3] for handle, name in found}
    handles = []
    for name, shade in shades.items():
        style = _LINES.get(name.partition(",")[0]) if scene.shares else None
        handles.append(Line2D([], [], color=shade, ls=style or "none", lw=1.4, marker="o", ms=5))
    title = scene.lines if scene.shares else None
    families = font_families([*shades, title or ""])[0]
    on.legend(
        handles,
        list(shades),
        borderaxespad=0.0,
        frameon=False,
        handlelength=2.6,
        prop={"size": size, "family": families},
        title=title,
        title_fontproperties={"size": 9, "family": families},
        alignment="left",
        **place,
    )


def _finish(every: Sequence[Axes], scene: Scene, *, named: bool = False) -> None:
    """Write the title of the figure, and what the colours and lines are."""
    figure = every[0].figure
    if not named:
        _legend(figure, every, scene, 9.0, {"loc": "outside lower left", "ncols": 4})
    elif scene.shares:
        figure.supxlabel(scene.lines, fontsize=9, color=INK, x=0.01, ha="left")
    if scene.title:
        figure.suptitle(scene.title, fontsize=10, color=INK)
