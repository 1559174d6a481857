"""A predicted population over the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.adapter.units import Time
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._text import drawable
from cellflow.core._typing import FloatArray
from cellflow.pl._axes import (
    FAINT,
    OBSERVED,
    PREDICTED,
    canvas,
    embedding_axes,
    legend,
    legend_width,
    map_size,
    scatter,
)
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["population"]

_BEFORE = "#b8a9c9"
_AFTER = "#a9c3a0"


@guarded
def population(
    adata: AnnData,
    predicted: AnnData,
    *,
    time: Time,
    basis: str | None = None,
    components: Components = None,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes:
    """Draw a predicted population over the real one, between the snapshots before and after it.

    The densities along both axes are drawn above and right of it, each with area one.

    Parameters
    ----------
    adata
        The measured cells, with a fit.
    predicted
        The result of `cf.tl.predict`.
    time
        The time of the prediction. Cells measured at that time are drawn as the truth; where there
        are none, only the snapshots before and after it.
    basis
        The representation of the model by default (its first two dimensions), or an embedding,
        where each predicted cell is drawn at the mean of the real cells nearest to it.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`; see `cf.pl.stream`.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes.

    Raises
    ------
    InputError
        No fit, no such embedding or components, a prediction from another representation, a time
        that is no number, or no cell whose time was measured. No figure is made then.

    Examples
    --------
    >>> later = cf.tl.predict(adata, time=36)  # doctest: +SKIP
    >>> cf.pl.population(adata, later, time=36)  # doctest: +SKIP
    """
    check_arguments(population, locals())
    from cellflow.analysis.embedding import place

    fitted = PlottedFit(adata, key)
    at = fitted.time_unit.number("time", time)
    name, positions, plane = fitted.coordinates(basis, components)
    real = plane.of(positions)
    y = fitted.positions(predicted).astype(np.float64)
    cloud = plane.of(y) if name == fitted.basis else place(y, fitted.x, real)
    known = fitted.snapshots

    measured = [("observed", t, OBSERVED) for t in known[known == at]]
    measured += [("before", t, _BEFORE) for t in known[known < at][-1:]]
    measured += [("after", t, _AFTER) for t in known[known > at][:1]]
    clouds = [(f"predicted, {fitted.at(at)}", cloud, PREDICTED)]
    clouds += [
        (f"{what}, {fitted.at(t)}", real[fitted.times == t], shade) for what, t, shade in measured
    ]

    names = [drawable(f"{label} (n = {len(points):,})", longest=80) for label, points, _ in clouds]
    with canvas(ax, **map_size(real, beside=1.0 + legend_width(names), above=0.6)) as ax:
        scatter(ax, real, color=FAINT, alpha=0.35, zorder=0)
        for depth, (name, (_, points, shade)) in enumerate(zip(names, clouds, strict=True)):
            scatter(ax, points, color=shade, label=name, zorder=1 - depth / 10)
        legend(ax, x=1.17)
        embedding_axes(ax, plane)
        _margins(ax, clouds)
    return ax


def _margins(ax: Axes, clouds: Sequence[tuple[str, FloatArray, str]]) -> None:
    """Draw the density of each cloud along both axes, above and right of the Axes."""
    from scipy.stats import gaussian_kde

    ax.autoscale_view()
    for axis, place in enumerate(((0.0, 1.01, 1.0, 0.14), (1.01, 0.0, 0.14, 1.0))):
        shared = (ax, None) if axis == 0 else (None, ax)
        margin = ax.inset_axes(place, sharex=shared[0], sharey=shared[1])
        margin.set_axis_off()
        low, high = (ax.get_xlim, ax.get_ylim)[axis]()
        grid = np.linspace(low, high, 200)
        for _, points, shade in clouds:
            if len(points) > 2 and np.ptp(points[:, axis]) > 0:
                height = gaussian_kde(points[:, axis])(grid)
                fill = margin.fill_between if axis == 0 else margin.fill_betweenx
                fill(grid, height, color=shade, alpha=0.25, lw=0)
                margin.plot(*((grid, height) if axis == 0 else (height, grid)), color=shade, lw=1.2)
