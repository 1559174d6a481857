"""Paths of states, drawn in an embedding through the cells nearest to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["DrawnPaths", "Surroundings", "crowding", "drawn_paths", "places_among", "reach_of"]

#: Cells of a neighbourhood.
_NEIGHBOURS = 15
#: Places between two states of a path.
_BETWEEN = 8
#: Share of the cells whose neighbourhood is at most as wide as the reach.
_USUAL = 0.95
#: Standard deviation of the kernel that smooths a path, in places.
_SMOOTH = 4.0
#: Where on a piece of a path its distance from the cells is looked at, as shares of its length.
_CHECKED = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Weights below this count as none.
_LIGHT = 1e-6
#: Cells that stand for all where a usual distance is looked for.
_ASKED = 5_000
#: Cells of a snapshot among which neighbours are looked for.
_ENOUGH = 20_000
#: Places of one block, which bounds the memory.
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Cells among which paths are drawn.

    Parameters
    ----------
    x
        States, shape `(n, d)`.
    xy
        Coordinates in the figure, shape `(n, 2)`.
    times
        Shape `(n,)`, NaN for cells without one, which are compared with the states of every time.
    """

    x: FloatArray
    xy: FloatArray
    times: FloatArray


@dataclass(frozen=True, eq=False)
class DrawnPaths:
    """Paths in a figure.

    Parameters
    ----------
    places
        Shape `(n, k, 2)`.
    times
        Shape `(k,)`.
    joined
        Whether the piece between two places is drawn, shape `(n, k - 1)`.
    """

    places: FloatArray
    times: FloatArray
    joined: np.ndarray


def reach_of(xy: FloatArray) -> float:
    """How far cells of one neighbourhood are apart in a figure, of the cells `(n, 2)`.

    The distance to the 15th neighbour, of less than 1,500 cells to that of one in a hundred and at
    least the fourth, which 95 % of the cells do not exceed.
    """
    from scipy.spatial import cKDTree

    k = int(np.clip(len(xy) // 100, min(4, len(xy) - 1), _NEIGHBOURS))
    distance = cKDTree(xy).query(_some(xy, _ASKED), k=[k + 1])[0][:, 0]
    return float(np.quantile(distance, _USUAL)) or 1.0


def _some(points: FloatArray, n: int) -> FloatArray:
    """About `n` of very many points `(m, d)`, evenly along the first axis, whatever their order."""
    return points[_some_rows(points, n)]


def _some_rows(points: FloatArray, n: int) -> IntArray:
    if len(points) <= n:
        return np.arange(len(points))
    order = np.lexsort(points[:, :2].T[::-1])
    return order[np.linspace(0, len(points) - 1, n).astype(np.int64)]


def crowding(places: FloatArray, xy: FloatArray, reach: float) -> FloatArray:
    """Number of cells within `reach` of places `(..., 2)`, relative to the median of the cells."""
    from scipy.spatial import cKDTree

    tree = cKDTree(xy)
    some = _some(xy, _ASKED)
    usual = float(np.median(tree.query_ball_point(some, reach, return_length=True)))
    found = tree.query_ball_point(places.reshape(-1, 2), reach, return_length=True)
    return np.asarray(found, dtype=np.float64).reshape(places.shape[:-1]) / usual


def drawn_paths(
    states: FloatArray, times: FloatArray, rows: IntArray, cells: Surroundings, reach: float
) -> DrawnPaths:
    """Follow states through the cells nearest to them.

    Each state, and eight between two of them, is compared with the cells of the snapshots before
    and after its time, weighted by closeness in time, and with those without a time. It is drawn
    among the nearest ones: at the mean of those that are within `reach` of the most central one.
    The mean of all of them could lie in an empty part of the figure, where an embedding has torn
    neighbours apart. Places are smoothed along the path, but not over a step of more than twice the
    `reach`. A piece of a path is drawn where its ends are at most `reach` apart, and all of it is
    within half the `reach` of a cell, so that no line crosses a gap that is wider than that.

    Parameters
    ----------
    states
        Shape `(n, T, d)`, at
    times
        `(T,)`.
    rows
        The cell of each path, shape `(n,)`; the path is drawn through it.
    reach
        See `reach_of`.
    """
    fine = np.linspace(0.0, len(times) - 1.0, (len(times) - 1) * _BETWEEN + 1)
    low = np.minimum(fine.astype(np.int64), len(times) - 2)
    share = fine - low
    at = times[low] * (1.0 - share) + times[low + 1] * share
    between = states[:, low] * (1.0 - share)[:, None] + states[:, low + 1] * share[:, None]
    flat = between.reshape(-1, states.shape[2])
    places = places_among(flat, np.tile(at, len(states)), cells, reach)
    places = places.reshape(*between.shape[:2], 2)
    smooth = np.linalg.norm(np.diff(places, axis=1), axis=2) <= 2.0 * reach
    places = np.stack([_smoothed(*path) for path in zip(places, smooth, strict=True)])
    places += _bend(places, at, cells.xy[rows], cells.times[rows], reach)
    return DrawnPaths(places, at, _are_near(places, cells.xy, reach))


def places_among(
    states: FloatArray, at: FloatArray, cells: Surroundings, reach: float
) -> FloatArray:
    """Places of states `(m, d)` at times `(m,)` among the cells; see `drawn_paths`.

    Returns
    -------
    Shape `(m, 2)`, each within `reach` of a cell.
    """
    places = np.zeros((len(states), 2))
    known = np.unique(cells.times[np.isfinite(cells.times)])
    before = np.searchsorted(known, at, side="right") - 1
    before = np.clip(before, 0, max(len(known) - 2, 0))
    for k in np.unique(before):
        here = before == k
        places[here] = _among(states[here], at[here], known[k : k + 2], cells, reach)
    return places


def _are_near(places: FloatArray, xy: FloatArray, reach: float) -> np.ndarray:
    """Whether pieces of paths `(n, k, 2)` are short and near cells, `(n, k - 1)`."""
    from scipy.spatial import cKDTree

    step = np.diff(places, axis=1)
    on = np.stack([places[:, :-1] + share * step for share in _CHECKED], axis=2)
    apart = cKDTree(xy).query(on.reshape(-1, 2))[0].reshape(on.shape[:3])
    near = (apart <= reach / 2.0).all(axis=2)
    return np.asarray(near & (np.linalg.norm(step, axis=2) <= reach))


def _among(
    states: FloatArray, at: FloatArray, known: FloatArray, cells: Surroundings, reach: float
) -> FloatArray:
    """Places of states `(m, d)` at times `(m,)` among the nearest cells of one or two snapshots."""
    share = np.zeros(len(at))
    if len(known) == 2:
        share = np.clip((at - known[0]) / (known[1] - known[0]), 0.0, 1.0)
    pools = [cells.times == time for time in known]
    parts = [1.0 - share, share][: len(pools)]
    untimed = np.isnan(cells.times)
    if untimed.any():
        pools.append(untimed)
        parts.append(np.ones(len(at)))
    members = [np.flatnonzero(pool) for pool in pools]
    members = [own[_some_rows(cells.x[own], _ENOUGH)] for own in members]
    found = [nearest(cells.x[own], states, _NEIGHBOURS) for own in members]
    closest = np.min([distance[:, 0] for distance, _ in found], axis=0)
    near = [own[rows] for own, (_, rows) in zip(members, found, strict=True)]
    each = [
        _weights(distance, closest) * part[:, None]
        for (distance, _), part in zip(found, parts, strict=True)
    ]
    rows = np.concatenate(near, axis=1)
    weight = np.concatenate(each, axis=1)
    blocks = [slice(s, s + _BLOCK) for s in range(0, len(states), _BLOCK)]
    return np.concatenate([_central(cells.xy[rows[b]], weight[b], reach) for b in blocks])


def _weights(distance: FloatArray, closest: FloatArray) -> FloatArray:
    """Weights of neighbours `(m, k)`, nearest first, `closest` `(m,)` being a distance of weight 1.

    The weight of the farthest is .14 of the nearest one's. In many dimensions all distances are
    nearly alike, so that their differences count.
    """
    spread = distance[:, -1:] ** 2 - distance[:, :1] ** 2
    square = distance**2 - closest[:, None] ** 2
    return np.asarray(np.exp(-2.0 * square / np.where(spread > 0.0, spread, 1.0)))


def _central(places: FloatArray, weight: FloatArray, reach: float) -> FloatArray:
    """Means of the places `(m, k, 2)` within `reach` of their weighted medoid, `(m, 2)`."""
    apart = np.linalg.norm(places[:, :, None] - places[:, None, :], axis=3)
    cost = np.einsum("mj,mij->mi", weight, apart)
    central = np.argmin(np.where(weight > _LIGHT, cost, np.inf), axis=1)
    each = np.arange(len(places))
    near = np.where(apart[each, central] <= reach, weight, 0.0)
    near /= near.sum(axis=1, keepdims=True)
    return np.asarray(np.einsum("mk,mke->me", near, places))


def _bend(
    places: FloatArray, at: FloatArray, own: FloatArray, times: FloatArray, reach: float
) -> FloatArray:
    """Shift of paths `(n, k, 2)` so that each passes through its own cell at its time.

    It ends within a tenth of the times `at` `(k,)`. Paths that are not near their cell keep their
    places.
    """
    width = (at[-1] - at[0]) / 20.0
    nearest_place = np.argmin(np.abs(times[:, None] - at), axis=1)
    shift = own - places[np.arange(len(own)), nearest_place]
    close = np.linalg.norm(shift, axis=1) <= 2.0 * reach
    share = np.exp(-0.5 * ((at[nearest_place][:, None] - at) / width) ** 2) * close[:, None]
    return np.asarray(share[:, :, None] * shift[:, None])


def _smoothed(places: FloatArray, joined: np.ndarray) -> FloatArray:
    """A path `(k, 2)`, each run of joined places smoothed by itself; ends of runs stay."""
    from scipy.ndimage import gaussian_filter1d

    smooth = places.copy()
    edges = np.flatnonzero(~joined) + 1
    for run in np.split(np.arange(len(places)), edges):
        if len(run) > 2:
            inner = gaussian_filter1d(places[run], _SMOOTH, axis=0, mode="nearest")
            smooth[run] = inner
    return smooth
