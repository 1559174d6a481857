"""Whether predictions are as wide as the cells are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow import metrics
from cellflow.core._typing import FloatArray
from cellflow.evaluation.names import OBSERVED, STRAIGHT
from cellflow.report import pictures
from cellflow.report.clouds import Cloud
from cellflow.report.contents import Contents
from cellflow.report.held import Held
from cellflow.report.markup import Markup, element, heading, table
from cellflow.report.pictures import INK, ORANGE, SOFT, Letters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["calibration"]

#: Levels of the table.
_LEVELS = (0.5, 0.8, 0.95)
#: Levels of the curves.
_GRID = np.linspace(0.0, 1.0, 51)


class _Coverage(NamedTuple):
    """Shares of hidden cells inside central intervals, at one hidden time.

    By level of `_GRID` and dimension, `(51, d)`; the same of OT interpolation, mean over
    dimensions, `(51,)` or None; and by level of `_LEVELS` and dimension, `(3, d)`.
    """

    curves: FloatArray
    straight: FloatArray | None
    shares: FloatArray


def calibration(contents: Contents) -> Iterator[Markup]:
    """Whether predictions are as wide as the cells are."""
    held = contents.held
    names = held.drawn(1)
    found = {held.at(time): _coverage(held, time, names[0]) for time in held.times if names}
    panels = {title: coverage for title, coverage in found.items() if coverage is not None}
    if not panels:
        return
    yield heading("Is the prediction as wide as the cells are?")
    yield element(
        "p",
        "The central half of the predicted cells should span the central half of the hidden ones,"
        " in every dimension. On the dashed diagonal it does; below it the prediction is too narrow"
        " or beside the cells, above it too wide.",
    )
    caption = (
        f"{names[0]}: hidden cells inside central intervals of the prediction. Thin lines: single"
        " dimensions."
    )
    for part in pictures.groups(panels):
        yield _drawn(part, caption)
    heads = [f"inside the central {100 * level:.0f} %" for level in _LEVELS]
    rows = [("", [title, *_in_percent(coverage)]) for title, coverage in panels.items()]
    yield table(["hidden", *heads], rows)
    yield element(
        "p",
        "Percent of the hidden cells, mean over dimensions, in brackets the least and the most.",
        class_="soft",
    )


def _coverage(held: Held, time: float, name: str) -> _Coverage | None:
    observed = held.cloud(time, OBSERVED)
    predicted = held.cloud(time, name)
    straight = held.cloud(time, STRAIGHT)
    if observed is None or predicted is None:
        return None
    return _Coverage(
        _inside(predicted, observed, _GRID),
        None if straight is None else _inside(straight, observed, _GRID).mean(axis=1),
        _inside(predicted, observed, _LEVELS),
    )


def _inside(predicted: Cloud, observed: Cloud, level: Sequence[float] | FloatArray) -> FloatArray:
    return metrics.calibration(
        predicted.x,
        observed.x,
        level=level,
        predicted_weight=predicted.weight,
        observed_weight=observed.weight,
    ).coverage


def _in_percent(coverage: _Coverage) -> Iterator[str]:
    for row in 100 * coverage.shares:
        yield f"{row.mean():.0f} ({row.min():.0f} to {row.max():.0f})"


def _drawn(panels: Mapping[str, _Coverage], caption: str) -> Markup:
    """Draw coverage over level; the diagonal is a calibrated prediction."""
    letters = Letters.of(*panels)
    width = pictures.WIDTH / max(len(panels), 3)
    drawing = pictures.blank(width * len(panels), width + 0.6)
    axes = pictures.axes_in_a_row(drawing, len(panels), share_x=True, share_y=True)
    for k, (ax, (title, coverage)) in enumerate(zip(axes, panels.items(), strict=True)):
        _draw_panel(ax, coverage)
        pictures.titled(ax, letters(title))
        pictures.framed(ax, "bottom", "left", ticks=2)
        if k == 0:
            ax.set_ylabel("hidden cells inside, %", fontsize=8.5, color=SOFT)
    drawing.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside upper left",
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        ncols=min(2, len(panels)),
    )
    drawing.supxlabel("central interval of the prediction, %", fontsize=8.5, color=SOFT)
    alt = "Coverage of central intervals over their level"
    return pictures.finished(drawing, letters, caption, alt=alt)


def _draw_panel(ax: Axes, coverage: _Coverage) -> None:
    level = 100 * _GRID
    inside = 100 * coverage.curves
    ax.plot([0, 100], [0, 100], color=SOFT, lw=1.0, ls="--")
    ax.plot(level, inside, color=ORANGE, lw=0.8, alpha=0.3)
    if coverage.straight is not None:
        ax.plot(level, 100 * coverage.straight, color=INK, lw=1.2, ls=":", label=STRAIGHT)
    mean = 100 * coverage.curves.mean(axis=1)
    ax.plot(level, mean, color=ORANGE, lw=2.2, label="predicted, mean over dimensions")
    ticks = [0, 50, 80, 95]
    ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xticks=ticks, yticks=ticks)
