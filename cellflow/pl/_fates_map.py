"""Fate probabilities on an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.core._typing import FloatArray
from cellflow.pl._colours import MAP, Values
from cellflow.pl._maps import draw_maps
from cellflow.pl._palettes import Palette, colormap_of
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["fates_map"]


def fates_map(
    fitted: PlottedFit,
    probability: FloatArray,
    names: Sequence[str],
    *,
    basis: str,
    components: Components,
    backward: bool,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc = "right margin",
    ax: Axes | None,
) -> Axes | list[Axes]:
    """Draw the probability of each fate in `names`, `(n, n_names)`, from 0 to 1."""
    _, positions, plane = fitted.coordinates(basis, components)
    what = "origin" if backward else "fate"
    cmap = colormap_of(palette, MAP)
    colours = [
        Values(f"probability of the {what} {name}", values, cmap=cmap, limits=(0.0, 1.0))
        for name, values in zip(names, np.asarray(probability, dtype=np.float64).T, strict=True)
    ]
    style = style_of(fitted, colours, size=size, title=title, legend_loc=legend_loc)
    return draw_maps(fitted, plane.of(positions), plane, style, ax=ax)
