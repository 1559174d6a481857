"""Two clouds as arguments: checked, or refused by name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellflow.core._numbers import as_array, as_weights
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = ["Statistic", "Two", "cloud", "require_one_space", "two_clouds"]


class Statistic(NamedTuple):
    """A distance between two clouds, and its derivative by the weight of each cell.

    The derivatives `u` and `v` are up to a constant for each cloud.
    """

    value: float
    u: FloatArray
    v: FloatArray


class Two(NamedTuple):
    """Two clouds of one space: the cells that carry weight, and their weights, of sum one."""

    x: FloatArray
    y: FloatArray
    a: FloatArray
    b: FloatArray


def cloud(
    name: str, x: FloatArray, weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return positions in float64 and weights that sum to one.

    Raises
    ------
    InputError
        A cloud that is empty, no matrix or not finite, or weights that do not fit.
    """
    x = np.ascontiguousarray(as_array(f"`{name}`", x, shape="(n, d)", least=1), dtype=np.float64)
    return x, as_weights(f"`{name}_weight`", weight, len(x))


def require_one_space(**clouds: FloatArray) -> None:
    """Make sure that all clouds have the same number of dimensions.

    Raises
    ------
    InputError
        They do not.
    """
    (name, first), *others = clouds.items()
    for other, x in others:
        if x.shape[1] != first.shape[1]:
            msg = (
                f"`{name}` has {first.shape[1]} dimensions and `{other}` has {x.shape[1]}; both"
                " must live in one space."
            )
            raise InputError(msg)


def two_clouds(
    x: FloatArray,
    y: FloatArray,
    x_weight: FloatArray | None,
    y_weight: FloatArray | None,
    *,
    names: tuple[str, str] = ("x", "y"),
) -> Two:
    """Check two clouds, which messages call by `names`; cells of weight zero are left out.

    Raises
    ------
    InputError
        As `cloud` and `require_one_space` do.
    """
    x, a = cloud(names[0], x, x_weight)
    y, b = cloud(names[1], y, y_weight)
    require_one_space(**dict(zip(names, (x, y), strict=True)))
    if a.min() > 0.0 and b.min() > 0.0:
        return Two(x, y, a, b)
    return Two(x[a > 0], y[b > 0], a[a > 0], b[b > 0])
