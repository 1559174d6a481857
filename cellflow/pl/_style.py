"""How maps look, as one value: colours of each panel, size of dots, titles, place of the legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from cellflow.core._numbers import as_number
from cellflow.errors import InputError, InputTypeError
from cellflow.pl._colours import Groups, Values, read_colours
from cellflow.pl._palettes import Palette
from cellflow.pl._read import PlottedFit

__all__ = ["LegendLoc", "Style", "read_style", "style_of"]

#: Where the names of the groups are written.
LegendLoc: TypeAlias = Literal[
    "right margin",
    "on data",
    "none",
    "best",
    "upper right",
    "upper left",
    "lower left",
    "lower right",
    "right",
    "center left",
    "center right",
    "lower center",
    "upper center",
    "center",
]
_LEGENDS = get_args(LegendLoc)

#: Area of all dots together, in square points, as in scanpy.
_AREA = 120_000.0
#: Smallest and largest area of a dot that is chosen for the user, in square points.
_SMALLEST = 0.2
_LARGEST = 30.0


@dataclass(frozen=True, eq=False)
class Style:
    """How a map looks.

    Parameters
    ----------
    colours
        Of each panel; None where all cells are grey.
    titles
        Of each panel; empty for none.
    size
        Area of a dot in square points, the same in every panel.
    legend_loc
        Place of the names of groups; `"none"` leaves out colour bars too.
    """

    colours: tuple[Values | Groups | None, ...]
    titles: tuple[str, ...]
    size: float
    legend_loc: LegendLoc


def read_style(
    fitted: PlottedFit,
    *,
    color: str | Sequence[str] | None,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
    plain: bool = False,
) -> Style:
    """Read and check the arguments of a map that is coloured by columns or genes.

    Without a colour cells are coloured by their time, or with `plain` drawn in grey.

    Raises
    ------
    MissingKeyError
        There is no such column or gene.
    InputError
        No colour at all, another place of the legend, a size that is not positive, titles of
        another number than colours; see `read_colours`.
    """
    names = [color] if color is None or isinstance(color, str) else list(color)
    if not names:
        msg = "color=[] names no panel; expected a column of adata.obs or a gene, or several."
        raise InputError(msg)
    if plain and color is None:
        return style_of(fitted, [None], size=size, title=title, legend_loc=legend_loc)
    colours = [read_colours(fitted.adata, name, fitted, palette) for name in names]
    return style_of(fitted, colours, size=size, title=title, legend_loc=legend_loc)


def style_of(
    fitted: PlottedFit,
    colours: Sequence[Values | Groups | None],
    *,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
) -> Style:
    """Check the arguments of a map whose colours are known; see `read_style`."""
    legend_loc = "none" if legend_loc is None else legend_loc  # as scanpy
    if legend_loc not in _LEGENDS:
        msg = f"legend_loc={legend_loc!r}; expected one of {list(_LEGENDS)}."
        raise InputError(msg)
    n = max(fitted.adata.n_obs, 1)
    chosen = float(np.clip(_AREA / n, _SMALLEST, _LARGEST))
    area = chosen if size is None else as_number("size", size, above=0.0)
    titles = _titles(title, colours, legend_loc)
    return Style(tuple(colours), titles, area, legend_loc)


def _titles(
    title: str | Sequence[str] | None,
    colours: Sequence[Values | Groups | None],
    legend_loc: LegendLoc,
) -> tuple[str, ...]:
    """Titles of the panels; by default the names of the colours that nothing else names."""
    if title is None:
        return tuple(_own_title(colour, legend_loc) for colour in colours)
    if isinstance(title, str) and len(colours) == 1:
        return (title,)
    if isinstance(title, str) or not all(isinstance(text, str) for text in title):
        msg = f"title={title!r}; expected a list of {len(colours)} texts, one for each panel."
        raise InputTypeError(msg)
    if len(title) != len(colours):
        msg = f"title= has {len(title)} texts for {len(colours)} panels; expected one for each."
        raise InputError(msg)
    return tuple(title)


def _own_title(colour: Values | Groups | None, legend_loc: LegendLoc) -> str:
    """Name of colours of which no legend and no colour bar says what they are; else empty."""
    if colour is None:
        return ""
    unnamed = legend_loc == "none" or (legend_loc == "on data" and isinstance(colour, Groups))
    return colour.name if unnamed else ""
