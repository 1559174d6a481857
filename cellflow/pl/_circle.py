"""Places on a circle: the order of its corners, and the names at them."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["circle_order", "corners_of", "name_corners", "shared", "space_of"]

#: Most corners of which all orders are tried; 2,520 of eight.
_FEW = 8
#: Distance of a name from the centre.
_NAME_AT = 1.08
#: Most names that are written horizontally.
_HORIZONTAL = 14
#: Width and height of a letter of a name, in inches, and space around the circle.
_LETTER = 0.085
_HIGH = 0.16
_MARGIN = 0.3
#: Radius of the circle, in inches.
_RADIUS = 2.2
#: Distance of a corner from the vertical line through the centre, within which its name is centred.
_TOP = 0.2


def shared(probability: FloatArray, weight: FloatArray) -> FloatArray:
    r"""How much cells are shared between columns: :math:`s_{jk} = \cos(p_j, p_k)`, weighted.

    Parameters
    ----------
    probability
        Shape `(n, k)`.
    weight
        Of the cells, shape `(n,)`.

    Returns
    -------
    Symmetric, between 0 and 1, zero on the diagonal, shape `(k, k)`.
    """
    scaled = probability * np.sqrt(weight)[:, None]
    length = np.linalg.norm(scaled, axis=0)
    scaled = scaled / np.where(length > 0, length, 1.0)
    both = scaled.T @ scaled
    np.fill_diagonal(both, 0.0)
    return np.asarray(both)


def circle_order(similarity: FloatArray) -> IntArray:
    """The order on a circle in which neighbours are most similar, beginning with number 0.

    Exact up to eight; of more, the best of greedy orders from every start, improved by reversals of
    parts until none helps.

    Parameters
    ----------
    similarity
        Symmetric, shape `(k, k)`.

    Returns
    -------
    A permutation, shape `(k,)`; of the two directions, that in which the smaller of the neighbours
    of 0 is second.

    Examples
    --------
    >>> near = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]], dtype=float)
    >>> circle_order(near).tolist()
    [0, 2, 1, 3]
    """
    k = len(similarity)
    if k <= _FEW:
        tried = np.array([(0, *rest) for rest in permutations(range(1, k))], dtype=np.int64)
        best = tried[np.argmax(_total(similarity, tried))]
    else:
        found = np.stack([_improved(similarity, _greedy(similarity, s)) for s in range(k)])
        best = found[np.argmax(_total(similarity, found))]
    best = np.roll(best, -int(np.flatnonzero(best == 0)[0]))
    if k > 2 and best[1] > best[-1]:
        best = np.append(best[:1], best[:0:-1])
    return np.asarray(best)


def _total(similarity: FloatArray, orders: IntArray) -> FloatArray:
    """Sum of the similarities of neighbours of each order `(m, k)`, rounded, shape `(m,)`."""
    sums = similarity[orders, np.roll(orders, -1, axis=1)].sum(axis=1)
    return np.asarray(np.round(sums, 12))


def _greedy(similarity: FloatArray, start: int) -> IntArray:
    order = [start]
    left = set(range(len(similarity))) - {start}
    while left:
        nearest = max(sorted(left), key=lambda other: float(similarity[order[-1], other]))
        order.append(nearest)
        left.remove(nearest)
    return np.array(order, dtype=np.int64)


def _improved(similarity: FloatArray, order: IntArray) -> IntArray:
    """Reverse parts as long as that helps (2-opt)."""
    k = len(order)
    pairs = [(i, j) for i in range(k - 1) for j in range(i + 2, k + (i > 0))]
    helped = True
    while helped:
        helped = False
        for i, j in pairs:
            after = order[j % k]
            old = similarity[order[i], order[i + 1]] + similarity[order[j - 1], after]
            new = similarity[order[i], order[j - 1]] + similarity[order[i + 1], after]
            if new > old + 1e-12:
                order = np.concatenate([order[: i + 1], order[i + 1 : j][::-1], order[j:]])
                helped = True
    return order


def corners_of(order: IntArray) -> FloatArray:
    """Places of the corners on the unit circle, number 0 at the top, clockwise, `(k, 2)`.

    Two corners are left and right.
    """
    k = len(order)
    turn = 2.0 * np.pi * np.arange(k) / k
    angles = np.pi / 2.0 - turn if k > 2 else np.pi - turn
    places = np.empty((k, 2))
    places[order] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return places


def space_of(corners: FloatArray, names: list[str]) -> FloatArray:
    """Space that the names need outside of the circle, in inches.

    Returns
    -------
    Left and below, right and above, shape `(2, 2)`.
    """
    length = _LETTER * np.array([len(name) for name in names])
    if len(names) > _HORIZONTAL:  # in the direction of the corner
        reach = np.abs(corners) * length[:, None]
        beyond = reach - (1.0 - np.abs(corners)) * _RADIUS
    else:
        beside = np.where(np.abs(corners[:, 0]) < _TOP, length / 2.0, length)
        beyond = np.stack([beside, np.full(len(names), _HIGH)], axis=1)
        beyond -= (1.0 - np.abs(corners)) * _RADIUS
    sides = np.stack([corners < 0.2, corners > -0.2])
    return np.asarray(_MARGIN + np.where(sides, beyond, 0.0).max(axis=1).clip(0.0))


def name_corners(
    ax: Axes, corners: FloatArray, names: list[str], shades: list[Any], families: list[str]
) -> None:
    """Write names outside of the circle, each in a readable direction."""
    size = 9.0 if len(names) <= _HORIZONTAL else 8.0
    for (x, y), name, shade in zip(corners, names, shades, strict=True):
        style: dict[str, Any] = {"fontsize": size, "fontfamily": families, "color": "#262626"}
        if len(names) > _HORIZONTAL:
            angle = float(np.degrees(np.arctan2(y, x)))
            left = abs(angle) > 90.0
            style |= {"rotation": angle - 180.0 * left, "rotation_mode": "anchor", "va": "center"}
            style["ha"] = "right" if left else "left"
        else:
            style["ha"] = "center" if abs(x) < _TOP else ("left" if x > 0 else "right")
            style["va"] = "center" if abs(y) < 0.9 else ("bottom" if y > 0 else "top")
        ax.scatter([x], [y], s=60, color=[shade], edgecolors="#262626", linewidths=0.8, zorder=4)
        ax.text(_NAME_AT * x, _NAME_AT * y, name, **style)
