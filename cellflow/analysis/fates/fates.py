"""Fate probabilities of cells, their standard deviations, and when cells are committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.analysis.fates.cells import FateCells, Region, Targets, regions
from cellflow.analysis.fates.commitment import Company, commitment
from cellflow.analysis.fates.paths import Ended, Route, followed, grid_of, tasks
from cellflow.analysis.fates.votes import sd_of_votes
from cellflow.analysis.trajectories import Noise
from cellflow.core._spread import spread
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = ["Fates", "Members", "fates"]

#: Cells whose paths vote on commitment.
_COMPANY = 3000
#: Paths whose commitment is looked for, in all.
_COMMITTING = 100_000
#: Share of a cell's mass that has to be committed for the cell to be.
_MOST = 0.5


@dataclass(frozen=True, eq=False)
class Members:
    """Fates of cells by each member of an ensemble.

    Parameters
    ----------
    probability
        Shape `(n, k, l + 1)` of `k` members, float32.
    mass
        Mass at the end for each unit of mass now, shape `(n, k)`, float32.
    """

    probability: FloatArray
    mass: FloatArray

    @property
    def se(self) -> FloatArray:
        """Standard error of the mean probability between members, shape `(n, l + 1)`."""
        return spread(self.probability.swapaxes(0, 1)).se


@dataclass(frozen=True, eq=False)
class Fates:
    """Fates of cells.

    Parameters
    ----------
    probability
        Shape `(n, l + 1)`, rows of sum one; the last column is "undecided".
    sd
        Standard deviation of each, shape `(n, l + 1)`: of the votes, or of the noise.
    mass
        Mass at the end for each unit of mass now, shape `(n,)`.
    commitment
        Expected time until commitment, shape `(n,)`; NaN where less than half of a cell's mass is
        committed in the end.
    reached
        Whether the end lies ahead of each cell, shape `(n,)`. The others are undecided.
    neighbors
        Neighbours that vote, by the time of the classifier.
    members
        Fates by each member of an ensemble; None of a single flow.
    """

    probability: FloatArray
    sd: FloatArray
    mass: FloatArray
    commitment: FloatArray
    reached: np.ndarray
    neighbors: Mapping[float, int]
    members: Members | None = None

    @property
    def se(self) -> FloatArray | None:
        """Standard error of each probability, `(n, l + 1)`; see `fates.members.averaged`."""
        return None if self.members is None else np.hypot(self.members.se, self.sd)

    @property
    def entropy(self) -> FloatArray:
        """Entropy of each row in nats, shape `(n,)`."""
        p = self.probability
        logs = np.log(p, out=np.zeros_like(p), where=p > 0)
        return np.asarray(np.abs((p * logs).sum(axis=1)))

    @classmethod
    def unknown(cls, n: int, n_labels: int, regions: Mapping[float, Region]) -> Fates:
        """Of cells that are all undecided, to be filled in."""
        probability = np.zeros((n, n_labels + 1))
        probability[:, -1] = 1.0
        return cls(
            probability,
            np.zeros_like(probability),
            np.ones(n),
            np.full(n, np.nan),
            np.zeros(n, dtype=bool),
            {time: found.votes.k for time, found in regions.items()},
        )


def fates(
    flow: FittedDynamics,
    cells: FateCells,
    targets: Targets,
    *,
    noise: Noise | None = None,
    threads: int = 1,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda parts, _: parts,
) -> Fates:
    r"""Move cells to the end, and read their fates off the measured cells there.

    With paths :math:`r` of a cell, their masses :math:`m_r` at the end, and the shares
    :math:`p_r` of the votes there (see `Votes`), the probabilities are
    :math:`\sum_r m_r p_r / \sum_r m_r`. Reversed diffusions, which lead to ancestors, count alike:
    they are a sample of the ancestors of the mass at the cell's own time.

    Parameters
    ----------
    flow
        The fitted dynamics.
    cells, targets
        The cells, and what a fate is.
    noise
        Of diffusions; None for the flow, with one path for each cell.
    threads
        Parts of the cells that are computed at the same time. The result does not depend on it.
    watch
        Progress over the parts, `(parts, number) -> parts`.

    Returns
    -------
    The standard deviation of a diffusion's probability is the standard error of its mean over the
    paths; without diffusion that of the share among the votes at the end.

    Raises
    ------
    InputError
        Noise of a flow without a score; no cell at the end or at an absorbing time.
    IntegrationError
        A state that is not finite.
    """
    known = regions(cells, targets)
    found = Fates.unknown(len(cells), len(targets.names), known)
    ahead = targets.ahead(cells.start)
    found.reached[:] = ahead >= 0
    _arrived(found, cells, targets, known)
    rows = np.flatnonzero(ahead > 0)
    if len(rows) == 0:
        return found
    first = cells.start[rows[np.argmax(ahead[rows])]]
    snapshots = np.unique(cells.measured[~np.isnan(cells.measured)])
    grid = grid_of(targets, float(first), snapshots)
    route = Route(flow, cells, targets, known, noise, grid)
    company = _company(route, rows)
    n_rep = 1 if noise is None else noise.n_rep
    looked = min(n_rep, max(1, _COMMITTING // len(rows)))

    def work(part: IntArray) -> None:
        near = followed(route, part, range(looked))
        times = commitment(near, company)
        ends = [near]
        if looked < n_rep:
            ends.append(followed(route.without_grid(), part, range(looked, n_rep)))
        _put(found, part, ends, times, targets)

    parts = list(tasks(cells, rows, n_rep))
    if threads == 1:
        for part in watch(parts, len(parts)):
            work(part)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in watch(pool.map(work, parts), len(parts)):
                pass
    return found


def _arrived(
    found: Fates, cells: FateCells, targets: Targets, known: Mapping[float, Region]
) -> None:
    """Fill in the cells that are at the end: their own label, or the votes of the others."""
    there = np.flatnonzero(targets.ahead(cells.start) == 0)
    own = there[(targets.code[there] >= 0) & (cells.measured[there] == targets.at)]
    rest = np.setdiff1d(there, own)
    found.probability[own] = 0.0
    found.probability[own, targets.code[own]] = 1.0
    found.commitment[own] = 0.0
    if len(rest):
        shares, worth = known[targets.at].shares(cells.x[rest], rest)
        probability = _with_undecided(shares, len(targets.names))
        found.probability[rest] = probability
        found.sd[rest] = sd_of_votes(probability, worth)


def _with_undecided(shares: FloatArray, n_labels: int) -> FloatArray:
    """Shares of the votes, those for no fate as undecided."""
    rest = shares[:, n_labels:].sum(axis=1)
    return np.column_stack([shares[:, :n_labels], rest])


def _company(route: Route, rows: IntArray) -> Company:
    """Follow some of the cells, one path each."""
    cells = route.cells
    timed = rows[~np.isnan(cells.measured[rows]) & (cells.weight[rows] > 0)]
    some = cells.some(timed, _COMPANY)
    parts = [followed(route, part, range(1)) for part in tasks(cells, some, 1)]
    mass = np.zeros(len(cells))
    for start in np.unique(cells.start[some]):
        group = some[cells.start[some] == start]
        mass[group] = cells.weight[group] / cells.weight[group].sum()
    weight = [mass[part.source] * _grown(part, route.targets) for part in parts]
    return Company(parts, weight, route.targets.sign)


def _grown(ended: Ended, targets: Targets) -> FloatArray:
    """Mass of each path at the end relative to its start; reversed paths count alike."""
    return np.ones(len(ended.source)) if targets.backward else np.exp(ended.log_weight)


def _put(
    found: Fates, rows: IntArray, ends: Sequence[Ended], times: FloatArray, targets: Targets
) -> None:
    """Fill in the fates of cells of which all paths have ended, those of `ends` side by side."""

    def by_cell(values: Sequence[FloatArray]) -> FloatArray:
        return np.concatenate([v.reshape(len(rows), -1, *v.shape[1:]) for v in values], axis=1)

    mass = by_cell([_grown(ended, targets) for ended in ends])
    shares = by_cell([ended.shares for ended in ends])
    share = mass / mass.sum(axis=1, keepdims=True)
    probability = np.einsum("ir,irl->il", share, shares)
    # Rounding of the sum over paths.
    found.probability[rows] = probability / probability.sum(axis=1, keepdims=True)
    found.mass[rows] = mass.mean(axis=1)
    n = mass.shape[1]
    if n == 1:
        found.sd[rows] = sd_of_votes(probability, ends[0].worth)
    else:
        off = share[:, :, None] * (shares - probability[:, None])
        found.sd[rows] = np.sqrt((off**2).sum(axis=1) * n / (n - 1))
    looked = times.reshape(len(rows), -1)
    weight = share[:, : looked.shape[1]]
    committed = np.where(np.isnan(looked), 0.0, weight)
    total = committed.sum(axis=1)
    sums = (committed * np.nan_to_num(looked)).sum(axis=1)
    enough = total >= _MOST * weight.sum(axis=1)
    found.commitment[rows] = np.where(enough, sums / np.where(total > 0, total, 1.0), np.nan)
