"""Where the mass of chosen cells arrives, by fate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.fates.cells import FateCells, Region, Targets, regions
from cellflow.analysis.fates.paths import Route, ended, moved, tasks
from cellflow.analysis.trajectories import Noise
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics
    from cellflow.simulation import Trajectories

__all__ = ["Arrived", "Moved", "Question", "seen_regions"]

#: Paths of some cells, in parts.
Moved = Sequence["Trajectories"]


@dataclass(frozen=True, eq=False)
class Arrived:
    """Mass of cells at the end, by fate.

    Parameters
    ----------
    mass
        Of each cell and fate, the last "undecided", relative to the mass of all cells at the start,
        shape `(n, l + 1)`.
    """

    mass: FloatArray

    @property
    def total(self) -> float:
        """Mass at the end for each unit of mass at the start."""
        return float(self.mass.sum())

    @property
    def base(self) -> FloatArray:
        """Mass of each cell that a share is a share of, shape `(n, l + 1)`.

        Shares of fates are among the mass that arrives at a fate; that of undecided mass is among
        all mass.
        """
        decided = self.mass[:, :-1].sum(axis=1)
        every = self.mass.sum(axis=1)
        width = self.mass.shape[1] - 1
        return np.column_stack([np.repeat(decided[:, None], width, axis=1), every])

    @property
    def composition(self) -> FloatArray:
        """Share of each fate, and of undecided mass, shape `(l + 1,)`; NaN of no mass."""
        whole = self.base.sum(axis=0)
        part = self.mass.sum(axis=0)
        unknown = np.full(part.shape, np.nan)
        return np.asarray(np.divide(part, whole, out=unknown, where=whole > 0))


@dataclass(frozen=True, eq=False)
class Question:
    """Cells of one time whose fates are asked for, perhaps at other states than their own.

    Parameters
    ----------
    cells
        These cells alone, all of one start.
    targets
        What a fate is, with the labels of these cells.
    noise
        Of diffusions, with the keys of these cells; None for the flow.
    grid
        Times after the start, up to the end, at which cells were measured.
    step
        Of the solver of the flow; `FittedDynamics.step` by default.
    """

    cells: FateCells
    targets: Targets
    noise: Noise | None
    grid: FloatArray
    step: float | None = None

    @classmethod
    def of(
        cls, cells: FateCells, targets: Targets, rows: IntArray, noise: Noise | None = None
    ) -> Question:
        """Ask for the fates of some of all cells."""
        measured = np.unique(cells.measured[~np.isnan(cells.measured)])
        start = float(cells.start[rows[0]])
        grid = measured[(measured > start) & (measured <= targets.at)]
        return cls(cells, targets, noise, grid).some(rows)

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def x(self) -> FloatArray:
        """States of the cells as they were measured, float64 of shape `(n, d)`."""
        return self.cells.x

    @property
    def start(self) -> float:
        """The time of the cells."""
        return float(self.cells.start[0])

    def some(self, rows: IntArray) -> Question:
        """Ask for some of the cells, by their rows."""
        part = self.cells.of(rows)
        part = replace(part, x=np.asarray(part.x, dtype=np.float64))
        noise = None if self.noise is None else replace(self.noise, keys=self.noise.keys[rows])
        return replace(self, cells=part, targets=self.targets.of(rows), noise=noise)

    def moved(self, flow: FittedDynamics, x: FloatArray) -> Moved:
        """Move the cells to the end from states `x (n, d)` at their time."""
        n_rep = 1 if self.noise is None else self.noise.n_rep
        route = self._route(flow, x, {})
        rows: IntArray = np.arange(len(self))
        return [moved(route, part, range(n_rep)) for part in tasks(self.cells, rows, n_rep)]

    def moved_each(
        self, flow: FittedDynamics, x: FloatArray, *, numbered: bool = False
    ) -> list[Moved]:
        """Move the cells from several states each, `(m, n, d)`, in one call; the same noise in all.

        With `numbered`, the last feature of the cells is the number of the state, from 0 to
        `m - 1`, as `Flow.held_by_row` expects.
        """
        m = len(x)
        n = len(self)
        every = self.some(np.tile(np.arange(n), m))
        if numbered:
            number = np.repeat(np.arange(m), n)[:, None].astype(np.float64)
            known = every.cells.context
            context = number if known is None else np.column_stack([known, number])
            every = replace(every, cells=replace(every.cells, context=context))
        parts = every.moved(flow, np.concatenate(x))
        source = np.concatenate([part.source for part in parts])
        states = np.concatenate([part.x for part in parts], axis=1)
        along = {
            name: np.concatenate([part.along[name] for part in parts], axis=1)
            for name in parts[0].along
        }
        found: list[Moved] = []
        for k in range(m):
            own = np.flatnonzero(source // n == k)
            rates = {name: values[:, own] for name, values in along.items()}
            one = replace(parts[0], x=states[:, own], along=rates, source=source[own] % n)
            found.append([one])
        return found

    def arrived(self, parts: Moved, known: Mapping[float, Region]) -> Arrived:
        """Read fates off the ends of paths, by the classifiers of `seen_regions`."""
        mass = np.zeros((len(self), len(self.targets.names) + 1))
        route = self._route(None, self.x, known)
        for part in parts:
            end = ended(route, part)
            np.add.at(mass, end.source, np.exp(end.log_weight)[:, None] * end.shares)
        n_rep = 1 if self.noise is None else self.noise.n_rep
        weight = self.cells.weight / self.cells.weight.sum()
        return Arrived(mass * weight[:, None] / n_rep)

    def passed(self, parts: Moved) -> list[FloatArray]:
        """States of all paths at each time of the grid, `(m, d)` each."""
        x = np.concatenate([part.x for part in parts], axis=1)
        return [x[k] for k in np.searchsorted(parts[0].times, self.grid)]

    def _route(
        self, flow: FittedDynamics | None, x: FloatArray, known: Mapping[float, Region]
    ) -> Route:
        cells = replace(self.cells, x=x)
        return Route(flow, cells, self.targets, known, self.noise, self.grid, self.step)  # type: ignore[arg-type] # not followed without one


def seen_regions(
    cells: FateCells, targets: Targets, held: FloatArray | None = None, *, n: int | None = None
) -> dict[float, Region]:
    """The classifiers of states at the ends of paths, by all measured cells.

    A state whose genes are held at other values than measured cells have is unlike all of them by
    these genes. So differences along the loadings of held genes do not count.

    Parameters
    ----------
    cells, targets
        All cells, and what a fate is.
    held
        Loadings of the genes that are held, shape `(k, d)`, or None.
    n
        Cells of a time that vote at most.

    Raises
    ------
    InputError
        No cell was measured at the end, or where a region absorbs.
    """
    unseen = None if held is None else np.asarray(np.linalg.qr(held.T)[0].T)
    if n is not None:
        times = [*targets.stops.tolist(), targets.at]
        voters = [np.flatnonzero((cells.measured == t) & (cells.weight > 0)) for t in times]
        rows = np.concatenate([cells.some(of_time, n) for of_time in voters])
        targets = targets.of(rows)
        cells = cells.of(rows)
    return regions(cells, targets, unseen)
