"""One measure of a hold-out: the rows of its table as marks by held-out time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.adapter.benchmark import Benchmark
from cellflow.core._text import drawable
from cellflow.core._typing import FloatArray
from cellflow.pl._axes import INK, PREDICTED, legend

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["MEASURES", "HeldRow", "draw_measure", "held_rows"]

#: Columns that can be drawn, and the words on their axis.
MEASURES = {
    "w1_half": "W1 at equal numbers of cells\n(less is better)",
    "energy_half": "energy distance, equal numbers of cells\n(less is better)",
    "skill": "skill\n(0: OT interpolation, 1: noise floor)",
    "w1": "W1\n(less is better)",
    "w2": "W2\n(less is better)",
    "energy": "energy distance\n(less is better)",
    "mmd": "squared MMD\n(less is better)",
    "sliced_w1": "sliced W1\n(less is better)",
    "variance_ratio": "predicted over observed variance\n(1 is right)",
    "mean_error": "error of the mean\n(less is better)",
    "c2st": "accuracy of a classifier\n(0.5 is best)",
    "composition_error": "share of cells in a wrong type\n(less is better)",
}
#: Columns at the half size, and what the verdict calls them.
_COMPARED = {"w1_half": "w1", "energy_half": "energy", "composition_error": "composition"}
#: Value that is right, where it is not the least.
_RIGHT = {"variance_ratio": 1.0, "c2st": 0.5}
#: Models by shape and colour (Okabe and Ito), baselines by shape alone.
_MODELS = (
    *((PREDICTED, "o"), ("#0072b2", "D"), ("#009e73", "s"), ("#cc79a7", "^")),
    *(("#56b4e9", "v"), ("#e69f00", "P")),
)
_BASELINES = ("<", ">", "X", "s", "d", "p", "*", "h")
_GREY = "#6f6f6f"
#: Width of a time, in units of the distance between two.
_SLOT = 0.76
#: Opacity of the bands behind the marks of models.
_PALE = 0.25


class HeldRow(NamedTuple):
    """A row of a hold-out at all times: what it is, its label, and how it is drawn."""

    kind: str
    method: str
    protocol: str
    shade: str
    marker: str
    filled: bool = False

    @property
    def label(self) -> str:
        """In the legend."""
        name = f"{self.method}, {self.protocol}" if self.protocol else self.method
        return drawable(name, longest=34)


def held_rows(table: pd.DataFrame, protocols: Sequence[str]) -> list[HeldRow]:
    """Models by these protocols, then baselines; the noise floor last."""
    from cellflow.evaluation.names import STRAIGHT

    keys = list(dict.fromkeys(zip(table["kind"], table["method"], table["protocol"], strict=True)))
    models = [key for key in keys if key[0] == "model" and key[2] in protocols]
    others = [key for key in keys if key[0] == "baseline"]
    rows = [HeldRow(*key, *_MODELS[k % len(_MODELS)], filled=True) for k, key in enumerate(models)]
    for k, key in enumerate(others):
        straight = key[1] == STRAIGHT
        marker = "s" if straight else _BASELINES[k % len(_BASELINES)]
        rows.append(HeldRow(*key, INK if straight else _GREY, marker, filled=straight))
    return rows + [HeldRow(*key, _GREY, "_") for key in keys if key[0] == "floor"]


def draw_measure(
    ax: Axes, held: Benchmark, rows: Sequence[HeldRow], name: str, *, with_legend: bool
) -> None:
    """Draw one column of the table by held-out time."""
    times = sorted(held.table["time"].unique())
    n = sum(row.kind != "floor" for row in rows)
    places = (np.arange(n) - (n - 1) / 2.0) * _SLOT / max(n, 1)
    values = np.array([[_value(held, row, name, time) for time in times] for row in rows])
    for k, row in enumerate(rows):
        if row.kind == "floor":
            _draw_floor(ax, row.method, values[k])
        else:
            x = np.arange(len(times)) + places[k]
            _draw_row(ax, row, x, values[k])
            _draw_chance(ax, row, x, [_chance(held, row, name, time) for time in times])
    if name in _RIGHT:
        ax.axhline(_RIGHT[name], color=INK, lw=0.8, ls=":", zorder=0)
    for k in range(1, len(times)):
        ax.axvline(k - 0.5, color="#e6e6e6", lw=0.8, zorder=0)
    ax.set_xticks(range(len(times)), [f"{t:g}" for t in times])
    ax.set_xlim(-0.5, len(times) - 0.5)
    ax.set_ylabel(MEASURES[name], fontsize=9, color=INK)
    ax.tick_params(labelsize=8.5, colors=INK)
    ax.tick_params(axis="x", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    _say_missing(ax, rows, values)
    if with_legend:
        _name_bars(ax, name)
        legend(ax)


def _draw_floor(ax: Axes, name: str, found: FloatArray) -> None:
    from matplotlib.patches import Rectangle

    for k, (value, low, high) in enumerate(found):
        if np.isfinite(low + high):
            band = (k - _SLOT / 2, low), _SLOT, high - low
            ax.add_patch(Rectangle(*band, color=_GREY, alpha=0.15, lw=0, zorder=0))
        label = name if k == 0 else None
        ends = [k - _SLOT / 2 - 0.06, k + _SLOT / 2 + 0.06]
        ax.plot(ends, [value, value], color=_GREY, lw=2.4, label=label, zorder=1)


def _draw_row(ax: Axes, row: HeldRow, x: FloatArray, found: FloatArray) -> None:
    """Marks of one row, with their intervals; hollow ones are baselines."""
    value, low, high = found.T
    known = np.isfinite(value)
    bars = known & np.isfinite(low) & np.isfinite(high)
    width = 1.6 if row.kind == "model" else 0.8
    ax.vlines(x[bars], low[bars], high[bars], color=row.shade, lw=width, zorder=2)
    ax.plot(
        x[known],
        value[known],
        ls="",
        marker=row.marker,
        ms=8 if row.kind == "model" else 6,
        mfc=row.shade if row.filled else "white",
        mec=row.shade,
        mew=1.2,
        label=row.label,
        zorder=3,
    )


def _draw_chance(
    ax: Axes, row: HeldRow, x: FloatArray, bands: Sequence[tuple[float, float]]
) -> None:
    """Draw behind the marks of a model which values chance explains."""
    low, high = np.array(bands).T
    known = np.isfinite(low + high)
    if known.any():
        style: dict[str, Any] = {"color": row.shade, "alpha": _PALE, "lw": 9.0, "zorder": 1.5}
        ax.vlines(x[known], low[known], high[known], **style)


def _say_missing(ax: Axes, rows: Sequence[HeldRow], values: FloatArray) -> None:
    """Say where no model has a value, shape `(n_rows, n_times, 3)`."""
    models = [k for k, row in enumerate(rows) if row.kind == "model"]
    for k in range(values.shape[1]) if models else ():
        if not np.isfinite(values[models, k, 0]).any():
            where: dict[str, Any] = {
                "xycoords": ("data", "axes fraction"),
                "ha": "center",
                "va": "bottom",
            }
            ax.annotate("no value", (k, 0.02), fontsize=8, color=INK, **where)


def _value(held: Benchmark, row: HeldRow, name: str, time: float) -> tuple[float, float, float]:
    """Value of a row at a time, mean over seeds, and its interval (NaN for none)."""
    table = held.table
    same = (table["kind"] == row.kind) & (table["method"] == row.method)
    here = table[same & (table["protocol"] == row.protocol) & (table["time"] == time)]
    nothing = (np.nan, np.nan)
    if not len(here):
        return (np.nan, *nothing)
    value = float(here[name].mean())
    if f"{name}_low" in here:
        return value, float(here[f"{name}_low"].mean()), float(here[f"{name}_high"].mean())
    return (value, *nothing)


def _chance(held: Benchmark, row: HeldRow, name: str, time: float) -> tuple[float, float]:
    """Values that do not differ from OT interpolation, by the interval of the difference.

    That interval excludes zero exactly where the value of the model is outside; NaN for none.
    """
    from cellflow.evaluation.comparison import quantile

    if row.kind != "model" or name not in _COMPARED or held.comparisons is None:
        return np.nan, np.nan
    found = held.comparisons
    same = (found["method"].astype(str) == row.method) & (found["time"] == time)
    same &= found["protocol"].astype(str) == row.protocol
    found = found[same & (found["measure"].astype(str) == _COMPARED[name])]
    if not len(found):
        return np.nan, np.nan
    base = float(found["base"].iloc[0])
    half = quantile(float(found["freedom"].iloc[0])) * float(found["error"].iloc[0])
    return max(base - half, 0.0), base + half


def _name_bars(ax: Axes, name: str) -> None:
    """Say in the legend what the bars or bands of a measure are."""
    style: dict[str, Any] = {"ls": "", "marker": "|", "ms": 12, "mew": 1.6, "color": PREDICTED}
    if name in _COMPARED:
        style |= {"marker": "s", "ms": 9, "mew": 0, "alpha": _PALE}
        about = "around OT interpolation: a model\noutside differs from it (95 %)"
        ax.plot([], [], label=about, **style)
    elif name in ("w1", "skill"):
        ax.plot([], [], label="95 % interval", **style)
