"""Predicted populations over the real ones, or beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from cellflow.adapter.bases import spelled
from cellflow.adapter.components import Components, Plane
from cellflow.adapter.predicted_times import Source, as_times, predicted_times
from cellflow.adapter.units import Time
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, closest
from cellflow.pl._axes import OBSERVED, PREDICTED
from cellflow.pl._clouds import Cloud, as_shares
from cellflow.pl._grid import require_one
from cellflow.pl._overlay import Scene, draw_overlay, draw_side_by_side
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["population"]

_BEFORE = "#b8a9c9"
_AFTER = "#a9c3a0"
_KINDS = ("overlay", "side by side")


@guarded
def population(
    adata: AnnData,
    predicted: AnnData,
    *,
    time: Time | Sequence[Time] | None = None,
    kind: Literal["overlay", "side by side"] = "overlay",
    contours: Sequence[float] | None = (0.5, 0.9),
    basis: str | None = None,
    components: Components = None,
    title: str | None = None,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw predicted populations over the real ones, or beside them.

    Over each other, a prediction of one time is drawn with the snapshots before and after it, and
    the densities along both axes stand above and right of it, each with area one. Of several times
    there is a panel for each.

    Parameters
    ----------
    adata
        The measured cells, with a fit.
    predicted
        The result of `cf.tl.predict`, of one or several times.
    time
        Times of the prediction that are drawn; all that it has by default. Needed where the
        prediction does not say its time. Cells measured at that time are the truth; where there are
        none, the snapshots before and after it are drawn.
    kind
        `"overlay"`: both in one panel. `"side by side"`: observed cells above, predicted ones
        below.
    contours
        Lines around the densest places that hold these shares of the cells, by weight; None for
        none. Solid ones are of observed cells, dashed ones of predicted cells.
    basis
        The representation of the model by default (its first two dimensions), or an embedding. The
        coordinates in it are those of the prediction, where it has some; else each predicted cell
        is drawn among the real cells nearest to it, of the snapshots before and after its time.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`; see `cf.pl.stream`.
    title
        Text above the figure.
    key, ax
        See `cf.pl.stream`. `ax` is for one panel.

    Returns
    -------
    The Axes; several in a list, by row.

    Raises
    ------
    InputError
        No fit, no such embedding or components, a prediction from another representation, times
        that it does not have, another `kind`, shares that are none, one Axes for several panels, or
        no cell whose time was measured. No figure is made then.

    Examples
    --------
    >>> later = cf.tl.predict(adata, time=36)
    >>> ax = cf.pl.population(adata, later, basis="umap")
    """
    check_arguments(population, locals())
    if kind not in _KINDS:
        msg = f"kind={shown(kind)}; expected one of {list(_KINDS)}{closest(kind, _KINDS)}."
        raise InputError(msg)
    shares = as_shares(contours)
    fitted = PlottedFit(adata, key)
    asked = as_times(fitted.time_unit, time)
    name, positions, plane = fitted.coordinates(basis, components)
    real = plane.of(positions)
    source = Source(adata, fitted.keys, fitted.time_key, fitted.time_unit, fitted.times)
    times = predicted_times(predicted, source, asked)
    cloud = _placed(fitted, predicted, times, name, positions, plane)
    weight = _weights(predicted)
    wanted = np.unique(times[np.isfinite(times)]) if asked is None else np.array(asked)
    clouds: dict[float, list[Cloud]] = {}
    for at in wanted.tolist():
        rows = np.flatnonzero(np.isclose(times, at, rtol=1e-9, atol=1e-12))
        share = None if weight is None else weight[rows]
        own = Cloud("predicted", at, cloud[rows], share, PREDICTED)
        clouds[at] = [own, *_measured(fitted, real, at)]
    scene = Scene(fitted, plane, real, clouds, shares, title)
    require_one(ax, len(wanted) * (1 if kind == "overlay" else 2), "populations")
    return draw_overlay(scene, ax) if kind == "overlay" else draw_side_by_side(scene)


def _placed(
    fitted: PlottedFit,
    predicted: AnnData,
    times: FloatArray,
    name: str,
    positions: FloatArray,
    plane: Plane,
) -> FloatArray:
    """Predicted cells at their times `(m,)` in the plane of the figure, `(m, 2)`."""
    from cellflow.analysis.drawn_paths import Surroundings, places_among, reach_of

    y = fitted.positions(predicted).astype(np.float64)
    if name == fitted.basis:
        return plane.of(y)
    key = spelled(predicted, name)
    if key is not None:
        own = np.asarray(predicted.obsm[key], dtype=np.float64)
        if own.shape[1:] == positions.shape[1:] and np.isfinite(own).all():
            return plane.of(own)
    xy = plane.of(positions)
    cells = Surroundings(fitted.x, xy, fitted.times)
    return places_among(y, np.nan_to_num(times), cells, reach_of(xy))


def _weights(predicted: AnnData) -> FloatArray | None:
    """Weights that `cf.tl.predict` gave the cells, `(m,)`."""
    if "weight" not in predicted.obs:
        return None
    weight = predicted.obs["weight"].to_numpy(dtype=np.float64)
    usable = np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0
    return np.asarray(weight) if usable else None


def _measured(fitted: PlottedFit, real: FloatArray, at: float) -> list[Cloud]:
    """Cells that were measured at a time, before and after it."""
    known = fitted.snapshots
    found = [("observed", t, OBSERVED) for t in known[known == at]]
    found += [("before", t, _BEFORE) for t in known[known < at][-1:]]
    found += [("after", t, _AFTER) for t in known[known > at][:1]]
    weight = fitted.cells.weight
    clouds = []
    for what, t, shade in found:
        rows = np.flatnonzero(fitted.times == t)
        share = None if weight is None else np.nan_to_num(weight[rows])
        clouds.append(Cloud(what, float(t), real[rows], share, shade))
    return clouds
