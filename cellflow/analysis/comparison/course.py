"""The cells of two conditions as they are compared: blocks, times, and the plans between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cellflow.analysis.comparison.design import Design
from cellflow.analysis.comparison.plans import Block, Moves, pair_moves
from cellflow.core._typing import BoolArray, FloatArray, IntArray
from cellflow.couplings import Coupling

__all__ = ["Course", "Groups", "Interval"]


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of cells: names, and the number of the group of each cell of `adata`, -1 for none."""

    names: tuple[str, ...]
    code: IntArray

    def of(self, block: Block) -> FloatArray:
        """Whether the cells of a block belong to each group, shape `(n, g)`."""
        code = self.code[block.population.index]
        return np.asarray(code[:, None] == np.arange(len(self.names)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Interval:
    """Two consecutive times, with the numbers of their blocks."""

    number: int
    start: float
    stop: float
    source: IntArray
    target: IntArray

    @property
    def length(self) -> float:
        """Time between the two."""
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class Course:
    """Blocks of two conditions over time.

    Parameters
    ----------
    blocks
        Cells of each sample at each time, in the order of the times.
    times
        Increasing, shape `(t,)`.
    condition
        Of each sample; see `Design`.
    shared
        Whether each time precedes the conditions, shape `(t,)`.
    coupling
        Solves the plans.
    known
        Plans that were solved before, by the first cells of their ends; `moves` fills it. A block
        has the same cells in all courses that share it.
    """

    blocks: tuple[Block, ...]
    times: FloatArray
    condition: IntArray
    shared: BoolArray
    coupling: Coupling
    known: dict[tuple[int, int], Moves] = field(default_factory=dict)

    @property
    def design(self) -> Design:
        """Which sample is where."""
        time = np.array([block.time for block in self.blocks])
        unit = np.array([block.unit for block in self.blocks])
        return Design(time, unit, self.condition, self.shared)

    @property
    def intervals(self) -> Sequence[Interval]:
        """Consecutive times."""
        design = self.design
        return [
            Interval(k, float(self.times[k]), float(t), design.at(k), design.at(k + 1))
            for k, t in enumerate(self.times[1:])
        ]

    def moves(self, a: int, b: int) -> Moves:
        """What the plan from block `a` to block `b` says; it is solved once."""
        ends = (self.blocks[a], self.blocks[b])
        # A cell is in one block only.
        name = (int(ends[0].population.index[0]), int(ends[1].population.index[0]))
        if name not in self.known:
            self.known[name] = pair_moves(self.coupling, *(end.population for end in ends))
        return self.known[name]
