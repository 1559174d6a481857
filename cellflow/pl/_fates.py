"""Fate probabilities on an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.errors import InputError, MissingKeyError, closest
from cellflow.pl._axes import MAP, canvas, colour_bar, embedding_axes, map_size, scatter
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["fates"]


@guarded
def fates(
    adata: AnnData,
    fate: str,
    *,
    basis: str = "umap",
    components: Components = None,
    backward: bool = False,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes:
    """Draw the probability of one fate of each cell on an embedding, from 0 to 1.

    Parameters
    ----------
    adata
        Cells with the fates that `cf.tl.fates` wrote.
    fate
        A label, or `"undecided"`.
    basis
        The embedding to draw on.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`; see `cf.pl.stream`.
    backward
        Draw the probability of an origin instead, that `cf.tl.ancestors` wrote.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes.

    Raises
    ------
    MissingKeyError
        No fit, no fates, or no such embedding.
    InputError
        No such fate, or components that do not exist. No figure is made then.

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")  # doctest: +SKIP
    >>> cf.pl.fates(adata, "Neutrophil", basis="umap")  # doctest: +SKIP
    """
    check_arguments(fates, locals())
    fitted = PlottedFit(adata, key)
    call = "ancestors" if backward else "fates"
    name = fitted.keys.lineages(backward=backward)
    if call not in fitted.record or name not in adata.obsm:
        msg = (
            f"adata.obsm has no {name!r} of this fit. Compute it first:"
            f" cf.tl.{call}(adata, ...{fitted.keys.argument})."
        )
        raise MissingKeyError(msg)
    known = [str(label) for label in fitted.record[call]["names"]]
    if fate not in known:
        msg = f"fate={fate!r} is none of {known}{closest(fate, known)}"
        raise InputError(msg)
    values = np.asarray(adata.obsm[name], dtype=np.float64)[:, known.index(fate)]
    _, positions, plane = fitted.coordinates(basis, components)
    xy = plane.of(positions)
    what = "origin" if backward else "fate"
    with canvas(ax, **map_size(xy)) as ax:
        drawn = scatter(ax, xy, values=values, cmap=MAP)
        drawn.set_clim(0.0, 1.0)
        colour_bar(ax, drawn, f"probability of the {what} {fate}")
        embedding_axes(ax, plane)
    return ax
