"""The pictures of a report, each as a PNG in base64; nothing of matplotlib's global state is touched."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.core._random import stream
from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray
from cellflow.evaluation.names import FLOOR, OBSERVED, STRAIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Mark",
    "Panel",
    "Picture",
    "calibration_curves",
    "clouds",
    "composition_bars",
    "distances",
    "training",
    "transitions",
]

_INK = "#262626"
_SOFT = "#8a8a8a"
_FAINT = "#dcdcdc"
_BLUE = "#0072b2"
_PREDICTED = "#d55e00"
_BEFORE = "#a58bbf"
_AFTER = "#86ae78"
_SHADES = {OBSERVED: _BLUE, "predicted": _PREDICTED, "before": _BEFORE, "after": _AFTER}
_NAMES = {
    OBSERVED: "hidden cells",
    "predicted": "predicted",
    "before": "snapshot before",
    "after": "snapshot after",
}
_DPI = 160
#: Most cells of one colour in a panel; more only cover each other.
_MAX_POINTS = 1500
_WIDTH = 10.4
#: Characters of a name that stands beside a narrow square.
_SHORT = 24
#: A share of a type's mass that is written into its square.
_WRITTEN = 0.05
#: Stands for a character that no installed font has; the text of the page has the character itself.
_NO_GLYPH = "\u25a1"


class Picture(NamedTuple):
    """A PNG in base64, and its width."""

    png: str
    inches: float


class _Letters(NamedTuple):
    """Text that can be drawn: the fonts for it, and the characters that none of them has."""

    families: Sequence[str]
    missing: frozenset[str]

    @classmethod
    def of(cls, *texts: str) -> _Letters:
        return cls(*font_families(texts))

    def __call__(self, text: str) -> str:
        return drawable(
            "".join(_NO_GLYPH if character in self.missing else character for character in text)
        )


class Panel(NamedTuple):
    """Clouds to draw over each other: the role of each, and its positions `(n, 2)`."""

    title: str
    clouds: Sequence[tuple[str, FloatArray]]


class Mark(NamedTuple):
    """One method in the picture of distances."""

    name: str
    kind: str
    value: float
    low: float
    high: float


def clouds(panels: Sequence[Panel], *, axes: tuple[str, str]) -> Picture:
    """Draw panels side by side, at one scale; cells of all clouds in random order, so that none hides another."""
    letters = _Letters.of(*axes, *(panel.title for panel in panels))
    every = np.concatenate([points for panel in panels for _, points in panel.clouds])
    # A few cells far out would leave the others a dot.
    low, high = np.quantile(every, [0.002, 0.998], axis=0)
    middle = (low + high) / 2
    side = np.maximum(high - low, 1e-12) * 0.56
    up = float(np.clip(side[1] / side[0], 0.6, 1.25))
    width = _WIDTH / max(len(panels), 3)
    figure = _figure(width * len(panels), width * up + 0.75)
    # As many cells of each, so that an even mixture is one.
    n = min(_MAX_POINTS, *(len(points) for panel in panels for _, points in panel.clouds))
    for k, panel in enumerate(panels):
        ax = figure.add_subplot(1, len(panels), k + 1)
        _scatter(ax, panel, n)
        ax.set(
            xlim=(middle[0] - side[0], middle[0] + side[0]),
            ylim=(middle[1] - side[1], middle[1] + side[1]),
        )
        ax.set(xticks=[], yticks=[])
        ax.set_title(letters(panel.title), fontsize=9.5, color=_INK, loc="left", pad=5)
        for spine in ax.spines.values():
            spine.set_color(_FAINT)
        ax.set_xlabel(letters(axes[0]), fontsize=8, color=_SOFT, loc="left", labelpad=3)
        if k == 0:
            ax.set_ylabel(letters(axes[1]), fontsize=8, color=_SOFT, loc="bottom", labelpad=3)
    from matplotlib.lines import Line2D

    roles = [
        role for role in _SHADES if any(role == r for panel in panels for r, _ in panel.clouds)
    ]
    dots = [Line2D([], [], ls="", marker="o", ms=5, mew=0, color=_SHADES[role]) for role in roles]
    _legend_below(figure, dots, [_NAMES[role] for role in roles])
    return _png(figure, letters)


def _scatter(ax: Axes, panel: Panel, n: int) -> None:
    drawn = []
    shades = []
    for role, points in panel.clouds:
        drawn.append(points[stream(0).permutation(len(points))[:n]])
        shades += [_SHADES[role]] * n
    xy = np.concatenate(drawn)
    order = stream(1).permutation(len(xy))
    size = float(np.clip(9_000 / len(xy), 2.5, 22.0))
    ax.scatter(
        xy[order, 0], xy[order, 1], s=size, c=np.array(shades)[order], alpha=0.55, linewidths=0
    )


def distances(
    panels: Mapping[str, Sequence[Mark]],
    *,
    floor: Mapping[str, float],
    straight: Mapping[str, float],
) -> Picture:
    """Draw the distance of every method to the hidden cells, one panel per hidden time."""
    values: dict[str, list[float]] = {}
    for mark in (mark for marks in panels.values() for mark in marks):
        values.setdefault(mark.name, []).append(mark.value)
    means = {
        name: float(np.nanmean(found)) for name, found in values.items() if np.isfinite(found).any()
    }
    names = sorted(means, key=means.__getitem__)
    letters = _Letters.of(*names, *panels)
    width = max(_WIDTH, 2.4 + 2.2 * len(panels))
    figure = _figure(width, 0.95 + 0.27 * len(names))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    shades = {"model": _PREDICTED, "baseline": _INK, "floor": _SOFT}
    for ax, (title, marks) in zip(grid, panels.items(), strict=True):
        for value, style, label in (
            (floor[title], ":", FLOOR),
            (straight[title], "--", STRAIGHT),
        ):
            if np.isfinite(value):
                ax.axvline(value, color=_SOFT, lw=1.0, ls=style, zorder=0, label=label)
        for mark in marks:
            if np.isfinite(mark.value):
                row = names.index(mark.name)
                shade = shades[mark.kind]
                if np.isfinite(mark.low) and np.isfinite(mark.high):
                    ax.plot(
                        [mark.low, mark.high],
                        [row, row],
                        color=shade,
                        lw=2.2,
                        alpha=0.45,
                        solid_capstyle="round",
                    )
                ax.plot(mark.value, row, "o", color=shade, ms=6, zorder=3)
        ax.set_title(letters(title), fontsize=9.5, color=_INK, loc="left", pad=5)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_yticks(range(len(names)), [letters(name) for name in names], fontsize=9, color=_INK)
        ax.tick_params(axis="both", length=0, labelsize=8.5, colors=_INK)
        ax.grid(axis="y", color="#f0f0f0", lw=0.8)
        ax.set_axisbelow(True)
        ax.margins(x=0.08)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_color(_FAINT)
    figure.supxlabel("W1 to the hidden cells, equal numbers of cells", fontsize=8.5, color=_SOFT)
    return _png(figure, letters)


def composition_bars(
    panels: Mapping[str, tuple[Sequence[str], FloatArray, FloatArray, FloatArray | None]],
) -> Picture:
    """Draw shares of labels, observed beside predicted, and those of interpolation where given; one panel per hidden time."""
    labels = list(dict.fromkeys(name for names, *_ in panels.values() for name in names))
    letters = _Letters.of(*labels, *panels)
    figure = _figure(max(_WIDTH, 2.4 + 2.2 * len(panels)), 1.1 + 0.36 * len(labels))
    grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for k, (ax, (title, (names, observed, predicted, straight))) in enumerate(
        zip(grid, panels.items(), strict=True)
    ):
        rows = np.array([labels.index(name) for name in names])
        ax.barh(rows - 0.19, 100 * observed, height=0.34, color=_BLUE, alpha=0.85, label=OBSERVED)
        ax.barh(
            rows + 0.19,
            100 * predicted,
            height=0.34,
            color=_PREDICTED,
            alpha=0.85,
            label="predicted",
        )
        if straight is not None:
            ax.plot(
                100 * straight,
                rows + 0.19,
                "|",
                color=_INK,
                ms=9,
                mew=1.4,
                label=STRAIGHT,
            )
        ax.set_title(letters(title), fontsize=9.5, color=_INK, loc="left", pad=5)
        ax.set_ylim(len(labels) - 0.45, -0.55)
        ax.set_yticks(
            range(len(labels)), [letters(name) for name in labels], fontsize=9, color=_INK
        )
        ax.tick_params(axis="both", length=0, labelsize=8.5, colors=_INK)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_color(_FAINT)
        if k == 0:
            _legend_below(figure, *ax.get_legend_handles_labels())
    figure.supxlabel("share of cells, %", fontsize=8.5, color=_SOFT)
    return _png(figure, letters)


def calibration_curves(
    panels: Mapping[str, tuple[FloatArray, FloatArray, FloatArray | None]],
) -> Picture:
    """Draw the share of hidden cells inside central intervals over their level; the diagonal is a calibrated prediction.

    Panels hold levels `(k,)`, coverage by dimension `(k, d)`, and that of interpolation averaged
    over dimensions `(k,)`.
    """
    letters = _Letters.of(*panels)
    width = _WIDTH / max(len(panels), 3)
    figure = _figure(width * len(panels), width + 0.35)
    grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for k, (ax, (title, (level, coverage, straight))) in enumerate(
        zip(grid, panels.items(), strict=True)
    ):
        ax.plot([0, 100], [0, 100], color=_SOFT, lw=1.0, ls="--")
        ax.plot(100 * level, 100 * coverage, color=_PREDICTED, lw=0.8, alpha=0.3)
        if straight is not None:
            ax.plot(100 * level, 100 * straight, color=_INK, lw=1.2, ls=":", label=STRAIGHT)
        ax.plot(
            100 * level,
            100 * coverage.mean(axis=1),
            color=_PREDICTED,
            lw=2.2,
            label="predicted, mean over dimensions",
        )
        ax.set(
            xlim=(0, 100),
            ylim=(0, 100),
            aspect="equal",
            xticks=[0, 50, 80, 95],
            yticks=[0, 50, 80, 95],
        )
        ax.set_title(letters(title), fontsize=9.5, color=_INK, loc="left", pad=5)
        ax.tick_params(axis="both", length=2, labelsize=8.5, colors=_INK)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["bottom", "left"]].set_color(_FAINT)
        if k == 0:
            ax.set_ylabel("hidden cells inside, %", fontsize=8.5, color=_SOFT)
            ax.legend(
                frameon=False, fontsize=7.5, loc="upper left", labelcolor=_INK, borderaxespad=0.2
            )
    figure.supxlabel("central interval of the prediction, %", fontsize=8.5, color=_SOFT)
    return _png(figure, letters)


def transitions(panels: Mapping[str, tuple[Sequence[str], FloatArray]]) -> Picture:
    """Draw where the mass of each cell type goes: early types down, late types across, one panel per interval.

    Panels hold the types and the shares `(k, k)` of each row's mass; rows of absent types are NaN.
    """
    sizes = [len(labels) for labels, _ in panels.values()]
    side = 0.34 * max(sizes)
    figure = _figure(max(_WIDTH, 2.2 + (side + 0.5) * len(panels)), 1.9 + side)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    letters = _Letters.of(*(name for labels, _ in panels.values() for name in labels), *panels)
    for k, (ax, (title, (labels, shares))) in enumerate(zip(grid, panels.items(), strict=True)):
        ax.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
        for i, j in zip(*np.nonzero(np.nan_to_num(shares) >= _WRITTEN), strict=True):
            shade = "white" if shares[i, j] > 0.6 else _INK
            ax.text(
                j,
                i,
                f"{100 * shares[i, j]:.0f}",
                ha="center",
                va="center",
                fontsize=7.5,
                color=shade,
            )
        names = [letters(drawable(name, longest=_SHORT)) for name in labels]
        ax.set_xticks(range(len(labels)), names, fontsize=8, rotation=90, color=_INK)
        ax.set_yticks(
            range(len(labels)), names if k == 0 else [""] * len(labels), fontsize=8, color=_INK
        )
        ax.tick_params(axis="both", length=0)
        ax.set_title(letters(title), fontsize=9.5, color=_INK, loc="left", pad=5)
        ax.set_xlabel("type at the end", fontsize=8.5, color=_SOFT)
        if k == 0:
            ax.set_ylabel("type at the start", fontsize=8.5, color=_SOFT)
        for spine in ax.spines.values():
            spine.set_color(_FAINT)
    return _png(figure, letters)


def training(history: Mapping[str, FloatArray]) -> Picture:
    """Draw the loss over training steps."""
    figure = _figure(6.2, 2.6)
    ax = figure.add_subplot()
    ax.plot(
        np.asarray(history["step"]),
        np.asarray(history["loss"]),
        color=_BLUE,
        lw=1.3,
        label="training pairs",
    )
    if "val_step" in history and "val_loss" in history:
        ax.plot(
            np.asarray(history["val_step"]),
            np.asarray(history["val_loss"]),
            color=_PREDICTED,
            lw=1.8,
            label="held-out pairs",
        )
    ax.set_xlabel("training step", fontsize=8.5, color=_SOFT)
    ax.set_ylabel("loss", fontsize=8.5, color=_SOFT)
    ax.tick_params(axis="both", length=2, labelsize=8.5, colors=_INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["bottom", "left"]].set_color(_FAINT)
    ax.margins(x=0.01)
    ax.legend(frameon=False, fontsize=8.5, labelcolor=_INK)
    return _png(figure, _Letters.of())


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")


def _png(figure: Figure, letters: _Letters) -> Picture:
    """A figure in 256 colours: a third of the bytes, and no difference to the eye."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text
    from PIL import Image

    for text in figure.findobj(Text):
        text.set_fontfamily(letters.families)
    canvas: Any = FigureCanvasAgg(figure)
    file = io.BytesIO()
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    picture = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(file, format="png", optimize=True)
    return Picture(base64.b64encode(file.getvalue()).decode("ascii"), float(figure.get_figwidth()))


def _legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    figure.legend(
        handles, labels, loc="outside lower right", ncols=len(labels), frameon=False, fontsize=8.5, labelcolor=_INK,
        handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip
