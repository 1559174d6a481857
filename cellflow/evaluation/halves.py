"""Random halves of the held-out cells, at which all methods are compared at one number of cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._random import shuffled, stream
from cellflow.core.population import Population

__all__ = ["SEED", "Halves", "drawn_cells", "halves", "thinned"]

#: Seed of splits, of draws and of baselines: one for all methods and their seeds, so that
#: differences between methods are paired.
SEED = 0
#: First keys of the random streams: of splits, of draws from a prediction, of draws from a cloud.
_SPLIT = 0
_DRAW = 1
_THIN = 2


@dataclass(frozen=True, eq=False)
class Halves:
    """One split of the held-out cells into two halves that share no cell.

    Parameters
    ----------
    seen
        What predictions are compared with.
    other
        The other half, which the noise floor compares with the first.
    key
        Key of the random draws that belong to this split.
    """

    seen: Population
    other: Population
    key: int

    def __len__(self) -> int:
        return len(self.seen)


def halves(held_out: Population, n: int, *, n_splits: int, seed: int = SEED) -> list[Halves]:
    """Split the held-out cells in halves, several times, and keep `n` cells of either half.

    Parameters
    ----------
    held_out
        The cells.
    n
        Cells of each half, at most half of all; with 0 there is no split.
    n_splits
        Number of splits.
    seed
        Of the splits.
    """
    if n == 0:
        return []
    made = []
    for k in range(n_splits):
        order = stream(seed, _SPLIT, k).permutation(np.flatnonzero(held_out.weight > 0))
        first = held_out.part(np.sort(order[:n]))
        second = held_out.part(np.sort(order[n : 2 * n]))
        made.append(Halves(first, second, k))
    return made


def drawn_cells(cloud: Population, n: int, *, key: int, seed: int = SEED) -> Population:
    """Draw `n` cells of a prediction by weight; none twice, where there are enough."""
    rows = shuffled(cloud.weight, n, stream(seed, _DRAW, key))
    return Population(cloud.x[rows], cloud.time)


def thinned(cloud: Population, n: int, *, seed: int = SEED) -> Population:
    """At most `n` cells of a cloud, drawn by weight."""
    if len(cloud) <= n:
        return cloud
    rows = shuffled(cloud.weight, n, stream(seed, _THIN))
    return Population(cloud.x[rows], cloud.time, index=cloud.index[rows])
