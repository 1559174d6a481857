"""Seeds and random generators, which are always arguments; the global generators are never used."""

from __future__ import annotations

import numpy as np

from cellflow.core._numbers import is_integer, shown
from cellflow.core._typing import FloatArray, IntArray, RandomState
from cellflow.errors import InputError

__all__ = ["as_seed", "shuffled", "stream", "systematic"]


def as_seed(random_state: RandomState) -> int:
    """Return the seed of a public `random_state`.

    Parameters
    ----------
    random_state
        A non-negative integer below 2**63, taken as it is; a `numpy.random.Generator`, from which
        one seed is drawn; or None for fresh entropy (the drawn seed is recorded with every result,
        so that the run can be repeated).

    Raises
    ------
    InputError
        For anything else, negative and larger integers included.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63))
    if is_integer(random_state) and 0 <= random_state < 2**63:
        return int(random_state)
    msg = (
        f"random_state={shown(random_state)} is no seed; pass a non-negative integer below 2**63, a"
        " numpy Generator, or None."
    )
    raise InputError(msg)


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return a generator that depends on the seed and the key only.

    Examples
    --------
    >>> bool(stream(0, 7).random() == stream(0, 7).random())
    True
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def systematic(
    weight: FloatArray | IntArray, n: int, start: np.random.Generator | float
) -> IntArray:
    """Rows drawn by systematic resampling, shape `(n,)`, in their order.

    The mass is cut into `n` equal parts, and one row is taken from the same place of each part: row
    `i` comes up `n * share[i]` times, rounded up or down. So does every run of neighbouring rows,
    which makes the draw a stratified one where neighbours are alike.

    Parameters
    ----------
    weight
        Shape `(k,)`, non-negative, in any unit, not all zero.
    n
        Rows to draw.
    start
        The place within each part, from 0 to below 1, or a generator that draws it.

    Examples
    --------
    >>> np.bincount(systematic(np.array([3.0, 0.0, 1.0]), 8, stream(0))).tolist()
    [6, 0, 2]
    """
    alive = np.flatnonzero(weight > 0)
    edges = np.cumsum(weight[alive])
    place = start.random() if isinstance(start, np.random.Generator) else start
    points = (place + np.arange(n)) / n * edges[-1]
    # Rounding may put the last point on the last edge.
    found = np.searchsorted(edges, points, side="right").clip(max=len(alive) - 1)
    rows: IntArray = alive[found]
    return rows


def shuffled(weight: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """Rows drawn by systematic resampling of a random order, shape `(n,)`, in random order."""
    order = rng.permutation(len(weight))
    return rng.permutation(order[systematic(weight[order], n, rng)])
