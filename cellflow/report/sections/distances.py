"""Distances at equal numbers of cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.evaluation.names import FLOOR, STRAIGHT
from cellflow.report import pictures
from cellflow.report.contents import Contents
from cellflow.report.held import Held
from cellflow.report.markup import Markup, element, heading
from cellflow.report.pictures import INK, ORANGE, SOFT, Letters

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["distances"]

_CAPTION = (
    "W1 at equal numbers of cells, mean over seeds. Bars: 95 % interval of the difference to OT"
    " interpolation, over splits of the hidden cells. Orange: models. Black: no model. No"
    " bar where OT interpolation is as near as the noise floor."
)


class _Mark(NamedTuple):
    """One method in a panel: its W1 with the interval."""

    name: str
    kind: str
    value: float
    low: float
    high: float


class _Panel(NamedTuple):
    """One hidden time: the methods, and W1 of the noise floor and of OT interpolation."""

    marks: Sequence[_Mark]
    floor: float
    straight: float


def distances(contents: Contents) -> Iterator[Markup]:
    """The picture of distances at equal numbers of cells."""
    held = contents.held
    yield heading("How far from the hidden cells")
    yield element(
        "p",
        "Left is better. Every row has the same number of cells. The dashed line is interpolation"
        " without a model, the dotted one the noise floor: real cells against real cells.",
    )
    panels = {held.at(time): _panel(held, time) for time in held.times}
    for part in pictures.groups(panels):
        yield _drawn(part)


def _panel(held: Held, time: float) -> _Panel:
    floor = held.half(time, FLOOR)
    straight = held.half(time, STRAIGHT)
    rows = [row for _, row in held.summary(time).iterrows() if row["kind"] != "floor"]
    marks = [_mark(row, straight - floor, straight) for row in rows]
    return _Panel(marks, floor, straight)


def _mark(row: pd.Series, unit: float, straight: float) -> _Mark:
    """A row with its interval; `unit` is the W1 of one unit of skill."""
    name = f"{row['method']}, {row['protocol']}" if row["protocol"] else str(row["method"])
    low = straight - row["skill_high"] * unit
    high = straight - row["skill_low"] * unit
    return _Mark(name, str(row["kind"]), float(row["w1_half"]), float(low), float(high))


def _drawn(panels: Mapping[str, _Panel]) -> Markup:
    values: dict[str, list[float]] = {}
    for mark in (mark for panel in panels.values() for mark in panel.marks):
        values.setdefault(mark.name, []).append(mark.value)
    known = {name: found for name, found in values.items() if np.isfinite(found).any()}
    means = {name: float(np.nanmean(found)) for name, found in known.items()}
    names = sorted(means, key=means.__getitem__)
    letters = Letters.of(*names, *panels)
    width = max(pictures.WIDTH, 2.4 + 2.2 * len(panels))
    drawing = pictures.blank(width, 0.95 + 0.27 * len(names))
    axes = pictures.axes_in_a_row(drawing, len(panels), share_y=True)
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        _draw_panel(ax, panel, names)
        pictures.titled(ax, letters(title))
        pictures.names_of_rows(ax, [letters(name) for name in names], 0.6)
        pictures.framed(ax, "bottom")
    drawing.supxlabel("W1 to the hidden cells, equal numbers of cells", fontsize=8.5, color=SOFT)
    alt = "Distance of every method to the hidden cells, by hidden time"
    return pictures.finished(drawing, letters, _CAPTION, alt=alt)


def _draw_panel(ax: Axes, panel: _Panel, names: Sequence[str]) -> None:
    for value, style, label in ((panel.floor, ":", FLOOR), (panel.straight, "--", STRAIGHT)):
        if np.isfinite(value):
            ax.axvline(value, color=SOFT, lw=1.0, ls=style, zorder=0, label=label)
    for mark in panel.marks:
        if not np.isfinite(mark.value):
            continue
        row = names.index(mark.name)
        shade = ORANGE if mark.kind == "model" else INK
        if np.isfinite(mark.low) and np.isfinite(mark.high):
            ends = [mark.low, mark.high]
            ax.plot(ends, [row, row], color=shade, lw=2.2, alpha=0.45, solid_capstyle="round")
        ax.plot(mark.value, row, "o", color=shade, ms=6, zorder=3)
    ax.grid(axis="y", color="#f0f0f0", lw=0.8)
    ax.set_axisbelow(True)
    ax.margins(x=0.08)
