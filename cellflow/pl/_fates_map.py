"""Fate probabilities on an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.pl._colours import MAP, Values
from cellflow.pl._maps import draw_maps
from cellflow.pl._palettes import Palette, colormap_of
from cellflow.pl._read import PlottedFit
from cellflow.pl._style import LegendLoc, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["on_map"]


def on_map(
    fitted: PlottedFit,
    names: Sequence[str],
    *,
    basis: str | None = None,
    components: Components = None,
    backward: bool,
    palette: Palette = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: LegendLoc | None = "right margin",
    ax: Axes | None,
) -> Axes | list[Axes]:
    """Draw the probability of each fate in `names` on an embedding, from 0 to 1.

    Several panels have the names as their titles.
    """
    known = [str(name) for name in fitted.record["ancestors" if backward else "fates"]["names"]]
    values = np.asarray(fitted.adata.obsm[fitted.keys.lineages(backward=backward)])
    _, positions, plane = fitted.coordinates(fitted.map_basis(basis), components)
    several = len(names) > 1
    title = list(names) if several and title is None else title
    what = "probability of the origin" if backward else "probability of the fate"
    cmap = colormap_of(palette, MAP)
    colours = [
        Values(what if several else f"{what} {name}", each, cmap=cmap, limits=(0.0, 1.0))
        for name in names
        for each in [values[:, known.index(name)].astype(np.float64)]
    ]
    style = style_of(fitted, colours, size=size, title=title, legend_loc=legend_loc)
    return draw_maps(fitted, plane.of(positions), plane, style, ax=ax)
