"""Random halves of the held-out cells, at which all methods are compared at one number of cells.

Where the held-out snapshot has several samples, halves are made of whole samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from cellflow.analysis.samples import FEW
from cellflow.core._random import shuffled, stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Population

__all__ = [
    "SEED",
    "Halves",
    "Replicates",
    "drawn_cells",
    "halves",
    "replicates_of",
    "thinned",
]

#: Seed of splits, of draws and of baselines: one for all methods and their seeds, so that
#: differences between methods are paired.
SEED = 0
#: First keys of the random streams: of splits, of draws from a prediction, of draws from a cloud.
_SPLIT = 0
_DRAW = 1
_THIN = 2
#: Up to this many ways to choose half of the samples are listed; of more, some are drawn.
_MOST_WAYS = 1000


@dataclass(frozen=True, eq=False)
class Replicates:
    """The samples of a snapshot, as replicates: at least two, of at least 10 cells each.

    Parameters
    ----------
    rows
        The cells of each sample.
    """

    rows: tuple[IntArray, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_seen(self) -> int:
        """Samples in the half that predictions are compared with."""
        return len(self) // 2

    @property
    def n_half(self) -> int:
        """Cells that every half has, whichever samples are in it."""
        return sum(sorted(map(len, self.rows))[: self.n_seen])

    def sides(self, n_splits: int, rng: np.random.Generator) -> list[tuple[IntArray, IntArray]]:
        """Cells of half of the samples and of the others, several times.

        All ways to choose half of the samples come up before one is repeated.
        """
        k = len(self)
        if comb(k, self.n_seen) <= _MOST_WAYS:
            ways = rng.permutation(list(combinations(range(k), self.n_seen)))
        else:
            ways = np.stack([rng.permutation(k)[: self.n_seen] for _ in range(n_splits)])
        made = []
        for split in range(n_splits):
            seen = ways[split % len(ways)]
            others = np.setdiff1d(np.arange(k), seen)
            made.append(
                (
                    np.concatenate([self.rows[s] for s in seen]),
                    np.concatenate([self.rows[s] for s in others]),
                )
            )
        return made


def replicates_of(sample: IntArray | None, weight: FloatArray) -> Replicates | None:
    """The samples of cells `(n,)`; None for fewer than two of at least 10 cells with weight."""
    if sample is None:
        return None
    known = np.flatnonzero((weight > 0) & (sample >= 0))
    rows = [known[sample[known] == s] for s in np.unique(sample[known])]
    large = tuple(r for r in rows if len(r) >= FEW)
    return Replicates(large) if len(large) > 1 else None


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

    Where the snapshot has several samples, half of them are in each half (of an odd number, the
    smaller part is what predictions are compared with), so that the distance of the halves
    contains the difference between samples.

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
    replicates = replicates_of(held_out.sample, held_out.weight)
    if replicates is not None:
        sides = replicates.sides(n_splits, stream(seed, _SPLIT))
    made = []
    for k in range(n_splits):
        rng = stream(seed, _SPLIT, k)
        if replicates is None:
            order = rng.permutation(np.flatnonzero(held_out.weight > 0))
            rows = (order[:n], order[n : 2 * n])
        else:
            rows = (rng.permutation(sides[k][0])[:n], rng.permutation(sides[k][1])[:n])
        first = held_out.part(np.sort(rows[0]))
        second = held_out.part(np.sort(rows[1]))
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
