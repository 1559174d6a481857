"""Distances between populations by optimal transport."""

from __future__ import annotations

from typing import Literal

from cellflow.core._clouds import two_clouds
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError
from cellflow.transport.exact import solve

__all__ = ["wasserstein"]


@guarded
def wasserstein(
    x: FloatArray,
    y: FloatArray,
    *,
    p: Literal[1, 2] = 1,
    x_weight: FloatArray | None = None,
    y_weight: FloatArray | None = None,
) -> float:
    r"""Exact Wasserstein distance between two weighted clouds.

    .. math:: W_p = \Big(\min_\pi \sum_{ij} \pi_{ij} \|x_i - y_j\|^p\Big)^{1/p}

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`, finite.
    p
        1: mean Euclidean distance that mass has to travel (the distance of the published tables);
        2: root of the mean square.
    x_weight, y_weight
        Shapes `(n,)` and `(m,)`, non-negative; normalised here. Uniform by default.

    Returns
    -------
    In the units of the positions.

    Raises
    ------
    InputError
        Clouds that are empty, not finite or of different dimensions; weights that do not fit;
        another `p`.
    CouplingError
        A solver that did not finish.

    Notes
    -----
    Up to 250,000 pairs the network simplex runs on the dense cost matrix (Bonneel et al. 2011, from
    POT). Beyond, it runs on a few arcs per cell, to which the pairs of negative reduced cost are
    added until a pass over all pairs finds none (column generation): as exact (the certified gap is
    below 1e-9 of the cost, else the dense solver takes over), about five times faster (1.5 s for
    4,000 x 3,300 cells in 5 dimensions), and in memory that grows with the number of cells, not of
    pairs. One dimension is solved by sorting.

    The distance depends on how many cells were drawn: of two samples of one population it is not
    zero, but falls with their size (as slowly as n to the power -1/d from three dimensions on).
    Compare clouds of equal sizes; `estimate` returns the sizes with the value.

    Examples
    --------
    >>> import numpy as np
    >>> wasserstein(np.zeros((3, 2)), np.array([[3.0, 4.0]]))
    5.0
    """
    two = two_clouds(x, y, x_weight, y_weight)
    if p not in (1, 2):
        msg = f"p={p!r} is not supported; pass 1 or 2."
        raise InputError(msg)
    return float(max(solve(*two, p=p).value, 0.0) ** (1 / p))
