"""Fate probabilities on an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError
from cellflow.pl._axes import MAP, canvas, colour_bar, embedding_axes, map_size, scatter
from cellflow.pl._read import PlottedFit

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
    ax: Axes | None,
) -> Axes | list[Axes]:
    """Draw the probability of each fate in `names`, `(n, n_names)`, from 0 to 1."""
    if ax is not None and len(names) > 1:
        msg = f"ax= is one Axes for {len(names)} fates. Expected one fate= with it, or no ax=."
        raise InputError(msg)
    _, positions, plane = fitted.coordinates(basis, components)
    xy = plane.of(positions)
    what = "origin" if backward else "fate"
    made = []
    for name, values in zip(names, np.asarray(probability).T, strict=True):
        with canvas(ax, **map_size(xy)) as drawn_on:
            drawn = scatter(drawn_on, xy, values=values, cmap=MAP)
            drawn.set_clim(0.0, 1.0)
            colour_bar(drawn_on, drawn, f"probability of the {what} {name}")
            embedding_axes(drawn_on, plane)
        made.append(drawn_on)
    return made[0] if len(made) == 1 else made
