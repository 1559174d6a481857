"""The times at which a cell would be typical."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.density import require_unconditional
from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    from cellflow.core.population import Snapshots
    from cellflow.model.base import FittedDynamics

__all__ = ["Course", "Posterior"]

#: States whose times a cell takes the mean of: 30 of each of the two snapshots that a time lies
#: between.
_NEIGHBORS = 60


@dataclass(frozen=True, eq=False)
class Course:
    r"""The population at the times of a grid, with which the age of cells is computed.

    At the time of a snapshot the population is its cells; in between, the cells before, moved
    forward, and those after, moved backward, weighted by closeness in time.

    Parameters
    ----------
    states
        Positions at all times, shape `(m, d)`.
    times
        Of each, shape `(m,)`.
    weight
        Of each, shape `(m,)`; those of one time sum to the interval around it, so that every time
        counts alike.
    origin
        Number of the measured cell that each comes from, shape `(m,)`.
    measured
        The measured cells, shape `(n, d)`.
    """

    states: FloatArray
    times: FloatArray
    weight: FloatArray
    origin: IntArray
    measured: FloatArray

    @classmethod
    def of(cls, flow: FittedDynamics, snapshots: Snapshots, grid: FloatArray) -> Course:
        """Move measured cells to the times of a grid.

        Parameters
        ----------
        flow
            The fitted dynamics.
        snapshots
            Measured cells.
        grid
            Increasing times, shape `(T,)`, inside those of the snapshots.

        Raises
        ------
        InputError
            A flow with conditions.
        IntegrationError
            A state that stops being finite.
        """
        require_unconditional(flow)
        measured = np.concatenate([p.x for p in snapshots.populations])
        return cls(*_states(flow, snapshots, grid), measured)

    def typical_time(self, x: FloatArray) -> FloatArray:
        r"""Mean of the time given the position, :math:`E[t \mid x]`, shape `(k,)`.

        The 60 nearest states tell how likely each time is: their kernel weights, of a width of half
        the distance to the farthest of them, estimate :math:`p(t \mid x)`. A measured cell is not
        compared with itself, nor with the states that it was moved to. NaN where no state is left.
        """
        kernel, rows = self._votes(x)
        total = kernel.sum(axis=1)
        found: FloatArray = np.full(len(kernel), np.nan)
        np.divide((kernel * self.times[rows]).sum(axis=1), total, where=total > 0, out=found)
        return found

    def posterior(self, x: FloatArray) -> Posterior:
        """How likely each time of the grid is given the position; see `typical_time`."""
        grid, number = np.unique(self.times, return_inverse=True)
        kernel, rows = self._votes(x)
        votes = np.zeros((len(kernel), len(grid)))
        np.add.at(votes, (np.arange(len(kernel))[:, None], number.reshape(-1)[rows]), kernel)
        # The states of a time have its interval as their total weight.
        density = votes / np.bincount(number.reshape(-1), self.weight)
        return Posterior.of(grid, density)

    def _votes(self, x: FloatArray) -> tuple[FloatArray, IntArray]:
        """Kernel weights and numbers of the states near each position, shape `(k, m)`."""
        x = np.asarray(x, dtype=np.float32)
        own = _own(self.measured, x)
        per_origin = int(np.bincount(self.origin).max())
        _, rows = nearest(self.states, x, min(_NEIGHBORS + per_origin, len(self.states)))
        distance = np.linalg.norm(x[:, None] - self.states[rows], axis=2)
        distance[self.origin[rows] == own[:, None]] = np.inf
        order = np.argsort(distance, axis=1, kind="stable")[:, :_NEIGHBORS]
        rows = np.take_along_axis(rows, order, axis=1)
        distance = np.take_along_axis(distance, order, axis=1)
        width = np.where(np.isfinite(distance), distance, 0.0).max(axis=1, keepdims=True) / 2.0
        relative = distance / np.where(width > 0, width, 1.0)
        return np.exp(-0.5 * relative**2) * self.weight[rows], rows


@dataclass(frozen=True, eq=False)
class Posterior:
    r"""How likely times are given the positions of cells, before anything else is known.

    Every instant of the course is equally likely beforehand, so that :math:`p(t \mid x)` is
    proportional to the density :math:`p_t(x)` of the population at the position.

    Parameters
    ----------
    times
        The grid, increasing, shape `(T,)`.
    density
        :math:`p(t \mid x)`, of integral one over time, shape `(k, T)`; NaN for a cell that nothing
        is near to.
    """

    times: FloatArray
    density: FloatArray

    @classmethod
    def of(cls, times: FloatArray, density: FloatArray) -> Posterior:
        """Normalise densities `(k, T)` over time."""
        total = (density * _intervals(times)).sum(axis=1, keepdims=True)
        normal: FloatArray = np.full(density.shape, np.nan)
        np.divide(density, total, where=total > 0, out=normal)
        return cls(times, normal)

    @property
    def known(self) -> np.ndarray:
        """Cells that some state is near to, shape `(k,)`."""
        return np.asarray(np.isfinite(self.density).all(axis=1))

    def most_likely(self) -> FloatArray:
        r"""The time of the grid with the largest density, :math:`\arg\max_t p_t(x)`, `(k,)`."""
        best = self.times[np.argmax(np.nan_to_num(self.density), axis=1)]
        return np.where(self.known, best, np.nan)

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Ends of the central interval of a level, extended to the most likely time, `(k,)`."""
        mass = np.nan_to_num(self.density) * _intervals(self.times)
        below = np.pad(np.cumsum(mass, axis=1), ((0, 0), (1, 0)))
        between = 0.5 * (self.times[1:] + self.times[:-1])
        ends = np.concatenate([self.times[:1], between, self.times[-1:]])
        shares = np.array([0.5 - level / 2, 0.5 + level / 2])
        low, high = np.array([np.interp(shares, row, ends) for row in below]).T
        # Of a cell of the first time, the central interval would begin after it.
        likely = self.most_likely()
        return np.minimum(low, likely), np.maximum(high, likely)

    def uniqueness(self) -> FloatArray:
        r"""How well the position tells the time, from 0 (not at all) to 1 (exactly), `(k,)`.

        :math:`1 - e^{H} / T` with the entropy :math:`H = -\int p(t \mid x) \log p(t \mid x)\, dt`
        and the length :math:`T` of the course: :math:`e^{H}` is the length of time that the cell
        may be of.
        """
        length = self.times[-1] - self.times[0]
        mass = self.density * _intervals(self.times)
        logs = np.log(np.where(self.density > 0, self.density, 1.0))
        return np.asarray(1.0 - np.exp(-(mass * logs).sum(axis=1)) / length)


def _intervals(times: FloatArray) -> FloatArray:
    """Length of the time that is nearest to each of the grid, shape `(T,)`."""
    gaps = np.pad(np.diff(times), 1)
    return np.asarray(0.5 * (gaps[1:] + gaps[:-1]))


def _states(
    flow: FittedDynamics, snapshots: Snapshots, grid: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """States at all times of the grid: positions, times, weights, and the cell of each."""
    first = np.cumsum([0] + [len(p) for p in snapshots.populations])
    known = snapshots.times
    around = np.gradient(grid) if len(grid) > 1 else np.ones(1)
    parts: list[tuple[FloatArray, float, FloatArray, IntArray]] = []

    def add(k: int, positions: FloatArray, weight: FloatArray, at: int, share: float) -> None:
        cells = first[k] + np.arange(len(positions))
        parts.append((positions, grid[at], share * around[at] * weight, cells))

    for at in np.flatnonzero(np.isin(grid, known)):
        k = int(np.searchsorted(known, grid[at]))
        add(k, snapshots[k].x, snapshots[k].weight, int(at), 1.0)
    for k in range(len(known) - 1):
        inside = np.flatnonzero((grid > known[k]) & (grid < known[k + 1]))
        if len(inside) == 0:
            continue
        later = (grid[inside] - known[k]) / (known[k + 1] - known[k])
        for source, shares in ((k, 1.0 - later), (k + 1, later)):
            moved = flow.simulate(snapshots[source].x, known[source], grid[inside])
            weights = moved.weights(snapshots[source].weight)
            for x, weight, number, share in zip(moved.x, weights, inside, shares, strict=True):
                add(source, x, weight, int(number), float(share))
    if not parts:
        msg = (
            f"No time of the grid, {grid.tolist()}, lies at or between the measured cells' times,"
            f" {known.tolist()}."
        )
        raise InputError(msg)
    sizes = [len(part[0]) for part in parts]
    return (
        np.concatenate([part[0] for part in parts]).astype(np.float64),
        np.repeat([part[1] for part in parts], sizes),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([part[3] for part in parts]),
    )


def _own(known: FloatArray, x: FloatArray) -> IntArray:
    """The number of the known cell that each cell is, by its position; -1 for others."""
    known, x = (np.ascontiguousarray(a, dtype=np.float32) + 0.0 for a in (known, x))
    place = {row.tobytes(): k for k, row in enumerate(known)}
    return np.array([place.get(row.tobytes(), -1) for row in x], dtype=np.int64)
