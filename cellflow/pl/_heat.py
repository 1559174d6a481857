"""Matrices as heat maps, with their names, and numbers where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._text import drawable, font_families
from cellflow.core._typing import FloatArray
from cellflow.pl._axes import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_heat", "name_columns", "name_rows", "write_numbers"]

#: Width of a letter of a name, in inches.
_LETTER = 0.075
#: Font sizes of names and numbers, in points; numbers that do not fit in the smallest are omitted.
_NAME = 8.0
_NUMBERS = (8.0, 7.0, 6.0)
#: Rows and columns from which the lines between cells would cover them.
_MANY = 60
#: Share of the width and the height of a cell that a number may take.
_FILLED = np.array([0.84, 0.95])
#: Luminance of a colour from which black is read better on it.
_BRIGHT = 0.5
#: Cells without a value.
_NOTHING = "#bdbdbd"


def draw_heat(
    ax: Axes,
    values: FloatArray,
    *,
    cmap: str,
    limits: tuple[float, float],
    rows: Sequence[str],
    columns: Sequence[str],
    row_names: bool = True,
    italic: bool = False,
) -> Any:
    """Draw a matrix `(r, c)`; cells without a value are hatched.

    Parameters
    ----------
    ax
        Where to draw.
    values
        The first row is drawn at the top.
    cmap, limits
        The colormap, and the values at its ends.
    rows, columns
        Names.
    row_names
        Whether to write the names of the rows.
    italic
        Whether names are those of genes.
    """
    masked = np.ma.masked_invalid(values)
    drawn = ax.imshow(
        masked, cmap=cmap, vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest"
    )
    if masked.mask.any():
        ax.patch.set(facecolor="white", hatch="/////", edgecolor=_NOTHING, linewidth=0.0)
    name_rows(ax, rows if row_names else [""] * len(rows))
    name_columns(ax, columns)
    if italic:
        for text in [*ax.get_xticklabels(), *ax.get_yticklabels()]:
            text.set_fontstyle("italic")
    if max(values.shape) <= _MANY:
        lines: dict[str, Any] = {"which": "minor", "color": "white", "linewidth": 0.8}
        ax.set_xticks(np.arange(1, values.shape[1]) - 0.5, minor=True)
        ax.set_yticks(np.arange(1, values.shape[0]) - 0.5, minor=True)
        ax.grid(**lines)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    return drawn


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Write names beside the rows 0, 1, ..."""
    words = [drawable(name) for name in names]
    style: dict[str, Any] = {"fontsize": _NAME, "color": INK, "fontfamily": font_families(words)[0]}
    ax.set_yticks(np.arange(len(words)), words, **style)


def name_columns(ax: Axes, names: Sequence[str]) -> None:
    """Write names below the columns 0, 1, ..., at an angle where they are long."""
    words = [drawable(name) for name in names]
    style: dict[str, Any] = {"fontsize": _NAME, "color": INK, "fontfamily": font_families(words)[0]}
    width = ax.get_window_extent().width / ax.figure.dpi / max(len(words), 1)
    if max(map(len, words), default=0) * _LETTER > width:
        style |= {"rotation": 45, "ha": "right", "va": "top", "rotation_mode": "anchor"}
        if width < _LETTER * 2:
            style |= {"rotation": 90, "va": "center"}
    ax.set_xticks(np.arange(len(words)), words, **style)


def write_numbers(ax: Axes, drawn: Any, choices: Sequence[np.ndarray]) -> None:
    """Write the first of several texts that fits into all its cells; nothing where none does.

    Parameters
    ----------
    ax
        With the heat map.
    drawn
        The heat map of `draw_heat`.
    choices
        Texts for each cell, `(r, c)`; empty ones are not written.
    """
    shape = choices[0].shape
    cell = np.array(ax.get_window_extent().size) / [shape[1], shape[0]]
    size = cell * _FILLED
    for texts in choices:
        for font in _NUMBERS:
            if _fits(ax, texts, font, size):
                _write(ax, drawn, texts, font)
                return


def _fits(ax: Axes, texts: np.ndarray, font: float, size: FloatArray) -> bool:
    longest = max(texts.ravel().tolist(), key=lambda t: max(map(len, t.split("\n"))))
    trial = ax.text(0, 0, longest, fontsize=font, linespacing=1.1)
    box = trial.get_window_extent()
    trial.remove()
    return bool(box.width <= size[0] and box.height <= size[1])


def _write(ax: Axes, drawn: Any, texts: np.ndarray, font: float) -> None:
    shades = drawn.to_rgba(drawn.get_array())
    luminance = shades[..., :3] @ [0.299, 0.587, 0.114]
    for (row, column), text in np.ndenumerate(texts):
        if text:
            ink = "black" if luminance[row, column] >= _BRIGHT else "white"
            look: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 1.1}
            ax.text(column, row, text, fontsize=font, color=ink, **look)
