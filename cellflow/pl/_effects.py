"""Effects of conditions: one panel of one quantity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.pl._axes import INK, OBSERVED, PREDICTED, legend
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Effects", "draw_distance", "draw_forest", "draw_over_time"]

#: Colours and shapes of series (Okabe and Ito), distinct in grey by their shape.
_SERIES = (
    *((PREDICTED, "o"), (OBSERVED, "s"), ("#009e73", "^"), ("#cc79a7", "D")),
    *(("#e69f00", "v"), ("#56b4e9", "P"), (INK, "X"), ("#8a8a8a", "<")),
)
#: Share of a row, or of the distance between two times, that series take.
_SPREAD = 0.5
_GREY = "#8a8a8a"


@dataclass(frozen=True, eq=False)
class Effects:
    """The table of `cf.get.comparison`, and how it is drawn.

    Parameters
    ----------
    table
        All effects.
    alpha
        Level of adjusted p-values.
    fitted
        The fit, for its unit of time.
    over
        `"group"` or `"time"`.
    """

    table: pd.DataFrame
    alpha: float
    fitted: PlottedFit
    over: str

    def of(self, quantity: str) -> pd.DataFrame:
        """Rows of one quantity: of the whole course, or of each interval."""
        rows = self.table[self.table["quantity"].astype(str) == quantity]
        if quantity not in ("speed", "growth"):
            return rows
        whole = rows["time"].isna()
        return rows[whole if self.over == "group" else ~whole]

    def n_rows(self, quantity: str) -> int:
        """Rows of text that a panel has space for."""
        rows = self.of(quantity)
        return 8 if quantity == "distance" or self.over == "time" else len(rows)

    @property
    def axis(self) -> str:
        """Label of the axis of time."""
        unit = f" ({self.fitted.unit})" if self.fitted.unit else ""
        return f"{self.fitted.time_key}{unit}"

    def label(self, quantity: str) -> str:
        """Label of the axis of effects."""
        per = self.fitted.unit.removesuffix("s") or "unit of time"
        what = {
            "speed": f"speed per {per}",
            "growth": f"growth per {per}",
            "fate": "share",
            "distance": "energy distance",
        }
        return what[quantity]


def draw_forest(ax: Axes, effects: Effects, quantity: str) -> None:
    """Draw the effects on each group, with their p-values beside them."""
    rows = effects.of(quantity)
    conditions = list(dict.fromkeys(rows["condition"].astype(str)))
    several = len(conditions) > 1
    names = [_row_name(row, several=several) for row in rows.itertuples()]
    ax.axvline(0.0, color=INK, lw=0.8, ls=":", zorder=0)
    for k, condition in enumerate(conditions):
        mine = (rows["condition"].astype(str) == condition).to_numpy()
        y = np.flatnonzero(mine)
        part = rows[mine]
        ax.hlines(y, part["low"], part["high"], color=_SERIES[k % len(_SERIES)][0], lw=1.6)
        _points(ax, part["effect"], y, part["q"] <= effects.alpha, k, None)
    found: Any = rows.itertuples()
    for k, row in enumerate(found):
        said = f"p {_p(row.p)}, q {_p(row.q)}"
        style: dict[str, Any] = {
            "transform": ax.get_yaxis_transform(),
            "va": "center",
            "color": INK,
        }
        ax.text(1.02, k, said, fontsize=7.5, **style)
    labels = [drawable(name, longest=60) for name in names]
    ax.set_yticks(range(len(names)), labels, fontfamily=font_families(names)[0])
    ax.set_ylim(len(names) - 0.4, -0.6)
    less = f"{'each' if several else conditions[0]} less {rows['reference'].iloc[0]}"
    what = f"difference of {effects.label(quantity)}, {drawable(less, longest=60)}"
    ax.set_xlabel(f"{what}\n(filled: q at most {effects.alpha:g})", fontsize=9, color=INK)
    _frame(ax, quantity, rows)


def draw_over_time(ax: Axes, effects: Effects, quantity: str) -> None:
    """Draw the effects on each group in each interval, at the start of the interval."""
    rows = effects.of(quantity)
    times = np.unique(rows["time"])
    keys = list(dict.fromkeys(zip(rows["group"], rows["condition"], strict=True)))
    several = len({condition for _, condition in keys}) > 1
    ax.axhline(0.0, color=INK, lw=0.8, ls=":", zorder=0)
    step = float(np.diff(times).min()) if len(times) > 1 else 1.0
    for k, (group, condition) in enumerate(keys):
        part = rows[(rows["group"] == group) & (rows["condition"] == condition)]
        x = part["time"].to_numpy(dtype=float) + step * _offset(k, len(keys))
        ax.vlines(x, part["low"], part["high"], color=_SERIES[k % len(_SERIES)][0], lw=1.6)
        name = f"{group}, {condition}" if several else str(group)
        _points(ax, x, part["effect"], part["q"] <= effects.alpha, k, drawable(name))
    ax.set_xticks(times, [f"{t:g}" for t in times])
    ax.set_xlabel(f"start of the interval, {effects.axis}", fontsize=9, color=INK)
    ax.set_ylabel(f"difference of {effects.label(quantity)}", fontsize=9, color=INK)
    _frame(ax, quantity, rows)
    _legend(ax, effects)


def draw_distance(ax: Axes, effects: Effects, quantity: str) -> None:
    """Draw how far the populations are from each other over time, and when they diverge."""
    rows = effects.of(quantity)
    diverged = effects.of("divergence")
    for k, condition in enumerate(dict.fromkeys(rows["condition"].astype(str))):
        part = rows[rows["condition"].astype(str) == condition].sort_values("time")
        shade = _SERIES[k % len(_SERIES)][0]
        time = part["time"].to_numpy(dtype=float)
        ax.plot(time, part["reference_value"], color=shade, lw=1.2, ls="--", zorder=1)
        ax.plot(time, part["condition_value"], color=shade, lw=1.2, zorder=1)
        between = drawable(f"{condition} and {part['reference'].iloc[0]}", longest=60)
        _points(ax, time, part["condition_value"], part["q"] <= effects.alpha, k, between)
        when = diverged[diverged["condition"].astype(str) == condition]
        _mark(ax, when, shade, k)
    ax.set_xticks(np.unique(rows["time"]), [f"{t:g}" for t in np.unique(rows["time"])])
    ax.set_xlabel(effects.axis, fontsize=9, color=INK)
    ax.set_ylabel(effects.label(quantity), fontsize=9, color=INK)
    ax.plot([], [], color=_GREY, lw=1.2, ls="--", label="between samples\nof one condition")
    ax.plot([], [], color=_GREY, lw=3.0, marker=">", ms=7, label="diverges within")
    _frame(ax, quantity, rows)
    _legend(ax, effects)


def _mark(ax: Axes, when: pd.DataFrame, shade: str, k: int) -> None:
    """A bar from the last time without a shown difference to the first one with it."""
    found: Any = when.itertuples()
    for row in found:
        if np.isfinite(row.high):
            start = row.low if np.isfinite(row.low) else row.high
            y = 0.97 - 0.04 * k
            style: dict[str, Any] = {
                "transform": ax.get_xaxis_transform(),
                "color": shade,
                "zorder": 2,
            }
            ax.plot([start, row.high], [y, y], lw=3.0, solid_capstyle="butt", **style)
            ax.plot([row.high], [y], marker=">", ms=7, ls="", **style)
            ax.set_ylim(top=max(ax.get_ylim()[1], ax.dataLim.y1 * 1.15))


def _points(ax: Axes, x: object, y: object, is_sure: pd.Series, k: int, label: str | None) -> None:
    """Points of one series, filled where they are significant."""
    shade, marker = _SERIES[k % len(_SERIES)]
    x = np.asarray(x)
    y = np.asarray(y)
    sure = np.asarray(is_sure, dtype=bool)
    style: dict[str, Any] = {
        "ls": "",
        "marker": marker,
        "ms": 6.5,
        "mew": 1.4,
        "mec": shade,
        "zorder": 3,
    }
    ax.plot(x[~sure], y[~sure], mfc="white", **style)
    ax.plot(x[sure], y[sure], mfc=shade, **style)
    if label is not None:
        ax.plot([], [], mfc=shade, label=label, **style)


def _offset(k: int, n: int) -> float:
    return 0.0 if n == 1 else _SPREAD * (k / (n - 1) - 0.5)


def _row_name(row: Any, *, several: bool) -> str:
    fate = str(getattr(row, "fate", "") or "")
    name = f"{row.group} to {fate}" if fate else str(row.group)
    return f"{name}, {row.condition}" if several else name


def _p(value: float) -> str:
    """A p-value in few digits."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.2g}" if value >= 0.001 else "< 0.001"


def _frame(ax: Axes, quantity: str, rows: pd.DataFrame) -> None:
    """Title with the numbers of samples, and the axes."""
    unit = str(rows["unit"].iloc[0])
    counts = [rows[f"n_{side}"].max() for side in ("reference", "condition")]
    units = "samples" if unit == "sample" else "random parts of the cells"
    said = f"{quantity} ({counts[1]:g} against {counts[0]:g} {units})"
    ax.set_title(said, fontsize=9, color=INK, loc="left")
    ax.tick_params(labelsize=8.5, colors=INK)
    ax.spines[["top", "right"]].set_visible(False)


def _legend(ax: Axes, effects: Effects) -> None:
    """Series, and what a filled point is."""
    style: dict[str, Any] = {"ls": "", "marker": "o", "ms": 6.5, "mew": 1.4, "mec": _GREY}
    ax.plot([], [], mfc=_GREY, label=f"q at most {effects.alpha:g}", **style)
    ax.plot([], [], mfc="white", label=f"q above {effects.alpha:g}", **style)
    legend(ax)
