"""A reliability diagram with the numbers of cells, and shares of fates beside measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.pl._axes import INK, OBSERVED, PREDICTED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_reliability", "draw_shares", "stages_of"]

#: Foot and height of the bars of the numbers of cells, below zero on the axis of shares.
_FOOT = -0.36
_TALLEST = 0.17


class _Stage(NamedTuple):
    """Before or after calibration: how it is drawn, and which side of a place it is on."""

    name: str
    label: str
    shade: str
    marker: str
    side: int


_STAGES = (
    _Stage("before", "before calibration", OBSERVED, "o", -1),
    _Stage("after", "after calibration", PREDICTED, "s", 1),
)


def stages_of(table: pd.DataFrame) -> Iterator[tuple[_Stage, pd.DataFrame]]:
    """Rows of each stage that the table has."""
    for stage in _STAGES:
        rows = table[table["stage"] == stage.name]
        if len(rows):
            yield stage, rows


def draw_reliability(ax: Axes, table: pd.DataFrame) -> None:
    """Draw observed shares over predicted probabilities of one fate, with the cells of each bin."""
    ax.plot([0, 1], [0, 1], color=INK, lw=0.9, ls="--", label="as predicted", zorder=1)
    for stage, rows in stages_of(table):
        x = rows["predicted"].to_numpy(dtype=np.float64)
        y = rows["observed"].to_numpy(dtype=np.float64)
        low = rows["low"].to_numpy(dtype=np.float64)
        high = rows["high"].to_numpy(dtype=np.float64)
        ax.vlines(x, low, high, color=stage.shade, lw=1.2, zorder=2)
        hollow = "white" if stage.side < 0 else stage.shade
        style: dict[str, Any] = {"ls": "", "marker": stage.marker, "ms": 6, "mew": 1.3, "zorder": 3}
        ax.plot(x, y, color=stage.shade, mfc=hollow, mec=stage.shade, label=stage.label, **style)
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    ax.set(xlim=(-0.02, 1.02), ylim=(_FOOT - 0.005, 1.02), xticks=ticks, yticks=ticks)
    ax.set_aspect("equal", adjustable="box")
    ax.axhline(0.0, color="#d0d0d0", lw=0.8, zorder=0)
    ax.set_xlabel("predicted probability", fontsize=9, color=INK)
    ax.set_ylabel("observed share", fontsize=9, color=INK, y=0.63)
    _frame(ax)
    _draw_numbers(ax, table)


def _draw_numbers(ax: Axes, table: pd.DataFrame) -> None:
    """Numbers of cells by bin, as bars with their values, below the diagram."""
    bins = max(int(table["bin"].max()) + 1, 10)
    width = 0.42 / bins
    scale = _TALLEST / float(table["n_cells"].max())
    for stage, rows in stages_of(table):
        place = (rows["bin"].to_numpy() + 0.5) / bins + stage.side * width / 2.0
        count = rows["n_cells"].to_numpy()
        fill: dict[str, Any] = {
            "facecolor": stage.shade if stage.side > 0 else "white",
            "edgecolor": stage.shade,
        }
        ax.bar(place, scale * count, width=width, bottom=_FOOT, lw=0.9, **fill)
        for x, n in zip(place, count, strict=True):
            style: dict[str, Any] = {
                "ha": "center",
                "va": "bottom",
                "rotation": 90,
                "fontsize": 6.5,
            }
            ax.text(x, _FOOT + scale * n + 0.015, f"{n:,}", color=INK, **style)
    beside: dict[str, Any] = {
        "transform": ax.get_yaxis_transform(),
        "ha": "right",
        "va": "center",
        "color": INK,
    }
    ax.text(-0.03, _FOOT + _TALLEST / 2.0, "cells", fontsize=8.5, **beside)


def draw_shares(ax: Axes, table: pd.DataFrame, names: Sequence[str]) -> None:
    """Draw the shares of fates that one snapshot predicts, beside those measured at the end."""
    place = {name: k for k, name in enumerate(names)}
    first = True
    for stage, rows in stages_of(table[table["fate"].isin(names)]):
        y = np.array([place[str(name)] for name in rows["fate"]], dtype=np.float64)
        if first:
            low, high = (rows[side].to_numpy(dtype=np.float64) for side in ("low", "high"))
            measured = rows["observed"].to_numpy(dtype=np.float64)
            ax.hlines(y, low, high, color=INK, lw=1.2, zorder=2)
            style: dict[str, Any] = {
                "ls": "",
                "marker": "|",
                "ms": 11,
                "mew": 1.8,
                "color": INK,
                "zorder": 3,
            }
            ax.plot(measured, y, label="measured at the end", **style)
            first = False
        hollow = "white" if stage.side < 0 else stage.shade
        ax.plot(
            rows["predicted"].to_numpy(dtype=np.float64),
            y + 0.16 * stage.side,
            ls="",
            marker=stage.marker,
            ms=6,
            mew=1.3,
            mfc=hollow,
            mec=stage.shade,
            label=stage.label,
            zorder=4,
        )
    ax.set_ylim(len(names) - 0.5, -0.5)
    labels = [drawable(name) for name in names]
    ax.set_yticks(range(len(names)), labels, fontsize=9, fontfamily=font_families(names)[0])
    ax.set_xlim(left=0.0)
    ax.set_xlabel("share of the descendants", fontsize=9, color=INK)
    ax.grid(axis="x", color="#ececec", lw=0.8)
    ax.set_axisbelow(True)
    _frame(ax)


def _frame(ax: Axes) -> None:
    ax.tick_params(labelsize=8.5, colors=INK)
    ax.spines[["top", "right"]].set_visible(False)
