"""A transport problem in whole units of mass, and some of its pairs as a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from cellflow.core._neighbors import paired_squares
from cellflow.core._typing import FloatArray, IntArray
from cellflow.transport.pricing import Method, Priced, price

__all__ = ["Arcs", "Problem"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Two clouds with mass in whole units."""

    x: FloatArray  # positions, `(n, d)`, centred
    y: FloatArray  # `(m, d)`
    supply: IntArray  # units, `(n,)`, positive
    demand: IntArray  # `(m,)`, of the same sum
    p: int = 2  # power of the Euclidean distance that is the cost, 1 or 2
    method: Method = "products"  # how all pairs are priced; products need `p=2`

    @property
    def a(self) -> FloatArray:
        """Share of the mass of each source, shape `(n,)`."""
        share: FloatArray = self.supply / self.supply.sum()
        return share

    @property
    def b(self) -> FloatArray:
        """Share of the mass of each target, shape `(m,)`."""
        share: FloatArray = self.demand / self.demand.sum()
        return share

    @property
    def largest(self) -> float:
        """A bound on the cost of any pair."""
        radii = [np.linalg.norm(z, axis=1).max() for z in (self.x, self.y)]
        return float(sum(radii)) ** self.p

    def costs(self, keys: IntArray) -> FloatArray:
        """Costs of pairs, given as `source * m + target`."""
        squares = paired_squares(self.x, self.y, keys // len(self.y), keys % len(self.y))
        return np.sqrt(squares) if self.p == 1 else squares

    def arcs(self, keys: IntArray) -> Arcs:
        """Graph of some pairs; a pair may come twice."""
        none = Arcs((len(self.x), len(self.y)), np.empty(0, np.int64), np.empty(0))
        return none.joined(keys, self.costs)

    @property
    def price(self) -> Callable[..., Priced]:
        """Prices all pairs by potentials, `price(u, v, **options)`; see `pricing.price`."""
        return partial(price, self.x, self.y, p=self.p, method=self.method)


@dataclass(frozen=True, eq=False)
class Arcs:
    """A bipartite graph in row order."""

    shape: tuple[int, int]  # numbers of sources and targets
    key: IntArray  # `source * targets + target` of each arc, increasing, `(e,)`
    cost: FloatArray  # of each arc, `(e,)`
    number: IntArray | None = None  # in the order of adding, `(e,)`; None: all were there at first

    def __len__(self) -> int:
        return len(self.key)

    @property
    def source(self) -> IntArray:
        """Source of each arc, shape `(e,)`."""
        return self.key // self.shape[1]

    @property
    def target(self) -> IntArray:
        """Target of each arc, shape `(e,)`."""
        return self.key % self.shape[1]

    @property
    def start(self) -> IntArray:
        """First arc of each source and the end, shape `(n + 1,)`."""
        return np.searchsorted(
            self.key, np.arange(self.shape[0] + 1, dtype=np.int64) * self.shape[1]
        )

    def joined(self, keys: IntArray, costs: Callable[[IntArray], FloatArray]) -> Arcs:
        """Add pairs; those that are there already, or come twice, are added once."""
        new = np.sort(keys)
        new = new[np.diff(new, prepend=-1) > 0]
        if len(self):
            new = new[self.key[np.searchsorted(self.key, new).clip(max=len(self) - 1)] != new]
        merged = np.concatenate([self.key, new])
        cost = np.concatenate([self.cost, costs(new)])
        number = np.arange(len(self)) if self.number is None else self.number
        number = np.concatenate([number, np.arange(len(self), len(merged))])
        order = np.argsort(merged, kind="stable")
        return Arcs(self.shape, merged[order], cost[order], number[order])
