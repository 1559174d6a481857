"""Sentences above figures, in lines that are as long as the figure is wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cellflow.core._text import clean, font_families
from cellflow.pl._axes import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["headline", "wrapped"]

#: Width of a letter relative to the size of the font, on average; that of matplotlib's default.
_LETTER = 0.56
#: Fewest letters in a line.
_LEAST = 24


def wrapped(text: str, inches: float, size: float) -> str:
    """Break sentences into lines of at most so many inches, for a font of `size` points."""
    letters = max(_LEAST, int(72.0 * inches / (_LETTER * size)))
    lines = [textwrap.fill(line, letters) for line in clean(text).split("\n")]
    # A dollar sign would begin mathematics.
    return "\n".join(lines).replace("$", r"\$")


def headline(every: Sequence[Axes], text: str, *, own: bool, size: float = 8.5) -> None:
    """Write sentences above the panels of a figure, or above one Axes of a user's figure.

    `own` says whether the figure has nothing else, so that they may be as wide as it.
    """
    figure: Any = every[0].figure
    style: dict[str, Any] = {"fontsize": size, "color": INK, "fontfamily": font_families([text])[0]}
    width = figure.get_figwidth()
    if own:
        figure.suptitle(wrapped(text, 0.96 * width, size), x=0.02, ha="left", **style)
        return
    inches = every[0].get_position().width * width
    every[0].set_title(wrapped(text, inches, size), loc="left", **style)
