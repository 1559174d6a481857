"""Transport between random one-dimensional shadows of two clouds: cheap in any dimension."""

from __future__ import annotations

from typing import Literal

from cellflow.core._clouds import two_clouds
from cellflow.core._numbers import ROUNDS, as_count
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.errors import InputError
from cellflow.metrics._slices import sliced

__all__ = ["sliced_wasserstein"]


@guarded
def sliced_wasserstein(
    x: FloatArray,
    y: FloatArray,
    *,
    p: Literal[1, 2] = 1,
    n_projections: int = 100,
    x_weight: FloatArray | None = None,
    y_weight: FloatArray | None = None,
    random_state: RandomState = 0,
) -> float:
    r"""Sliced Wasserstein distance: the mean over directions of the cost of transport on a line.

    .. math:: SW_p = \Big(\mathbb{E}_\theta
              W_p^p(\langle\theta, x\rangle, \langle\theta, y\rangle)\Big)^{1/p}

    Each line is solved exactly by sorting, whatever the weights; the directions are drawn evenly
    from the sphere. Samples of one population come close as n to the power -1/2 in any dimension.
    Between translated clouds it is the length of the step times the mean (p = 1) or the root of the
    mean square (p = 2, this is 1 over the root of d) of one coordinate of a random direction, so it
    is smaller than `wasserstein`, the more so the more dimensions there are.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`, finite.
    p
        1 or 2.
    n_projections
        Directions. The error of the mean over them falls with the root of their number.
    x_weight, y_weight
        Shapes `(n,)` and `(m,)`, non-negative; normalised here. Uniform by default.
    random_state
        Seed of the directions; with the same one, values are comparable to the last digit.

    Returns
    -------
    In the units of the positions.

    Raises
    ------
    InputError
        Clouds that are empty, not finite or of different dimensions; weights that do not fit;
        another `p`.

    References
    ----------
    Bonneel, N., Rabin, J., Peyré, G. and Pfister, H. (2015). Sliced and Radon Wasserstein
    barycenters of measures. JMIV 51.

    Examples
    --------
    >>> import numpy as np
    >>> sliced_wasserstein(np.zeros((3, 1)), np.array([[5.0]]))
    5.0
    """
    two = two_clouds(x, y, x_weight, y_weight)
    if p not in (1, 2):
        msg = f"p={p!r} is not supported; pass 1 or 2."
        raise InputError(msg)
    seed = as_seed(random_state)
    n_projections = as_count("n_projections", n_projections, most=ROUNDS)
    cost = sliced(two, p=p, n_projections=n_projections, seed=seed).value
    return float(max(cost, 0.0) ** (1 / p))
