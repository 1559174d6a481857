"""Pictures of a report as PNG in base64; matplotlib's global state stays as it is."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.report.markup import Markup, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "FAINT",
    "INK",
    "ORANGE",
    "SOFT",
    "WIDTH",
    "Letters",
    "axes_in_a_row",
    "blank",
    "dots",
    "finished",
    "framed",
    "groups",
    "legend_below",
    "names_of_rows",
    "titled",
]

INK = "#262626"
SOFT = "#565656"
FAINT = "#dcdcdc"
#: Hidden cells.
BLUE = "#0072b2"
#: Predictions.
ORANGE = "#d55e00"
#: Inches of a picture as wide as the page.
WIDTH = 10.4
_DPI = 160
#: Panels side by side in one picture.
_ABREAST = 5
#: Stands for a character that no installed font has; the text of the page has the character itself.
_NO_GLYPH = "\u25a1"


class Letters(NamedTuple):
    """Text that can be drawn: the fonts for it, and the characters that none of them has."""

    families: Sequence[str]
    missing: frozenset[str]

    @classmethod
    def of(cls, *texts: str) -> Letters:
        """Fonts for these texts."""
        return cls(*font_families(texts))

    def __call__(self, text: str) -> str:
        """The text without characters that cannot be drawn."""
        return drawable("".join(_NO_GLYPH if c in self.missing else c for c in text))


def groups(panels: Mapping[str, Any], abreast: int = _ABREAST) -> Iterator[dict[str, Any]]:
    """Panels in groups that fit beside each other."""
    names = list(panels)
    for start in range(0, len(names), abreast):
        yield {name: panels[name] for name in names[start : start + abreast]}


def blank(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")


def axes_in_a_row(drawing: Figure, n: int, *, share_x: bool = False, share_y: bool = False) -> Any:
    """Axes side by side."""
    return drawing.subplots(1, n, sharex=share_x, sharey=share_y, squeeze=False)[0]


def titled(ax: Axes, text: str) -> None:
    """Write the title of a panel."""
    ax.set_title(text, fontsize=9.5, color=INK, loc="left", pad=5)


def framed(ax: Axes, *sides: str, ticks: float = 0.0) -> None:
    """Keep these sides of the frame only, and ticks of this length."""
    ax.tick_params(axis="both", length=ticks, labelsize=8.5, colors=INK)
    hidden = [side for side in ("top", "right", "left", "bottom") if side not in sides]
    ax.spines[hidden].set_visible(False)
    ax.spines[list(sides)].set_color(FAINT)


def names_of_rows(ax: Axes, names: Sequence[str], margin: float) -> None:
    """Name rows from top to bottom, with a margin in rows at both ends."""
    ax.set_ylim(len(names) - 1 + margin, -margin)
    ax.set_yticks(range(len(names)), names, fontsize=9, color=INK)


def dots(shades: Sequence[str]) -> list[Any]:
    """Dots for a legend."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], ls="", marker="o", ms=5, mew=0, color=shade) for shade in shades]


def legend_below(drawing: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Draw one legend for all panels."""
    drawing.legend(
        handles,
        labels,
        loc="outside lower right",
        ncols=len(labels),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def finished(drawing: Figure, letters: Letters, caption: str, *, alt: str) -> Markup:
    """The figure as a piece of the page, with its caption and what it shows in words.

    In 256 colours: a third of the bytes, and no difference to the eye.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text
    from PIL import Image

    for text in drawing.findobj(Text):
        text.set_fontfamily(letters.families)
    canvas: Any = FigureCanvasAgg(drawing)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    image = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    image.save(file, format="png", optimize=True)
    png = base64.b64encode(file.getvalue()).decode("ascii")
    return figure(png, caption, alt=alt, inches=float(drawing.get_figwidth()))
