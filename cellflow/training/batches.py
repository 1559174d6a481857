"""Training points drawn from plans, in blocks of many batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch

from cellflow.core._random import stream
from cellflow.core.plans import Plan, mass_at
from cellflow.core.population import Pairs, Snapshots
from cellflow.paths.base import Path, PathSample, as_path, sample
from cellflow.paths.chain import Table

__all__ = ["VALIDATION_POINTS", "Source", "Stream", "refreshed"]

#: Times keep this fraction of an interval away from its ends, where the velocity of a bridge has no
#: bound.
_MARGIN = 1e-3
#: Numbers in each array of a block (8 MB).
_BLOCK_NUMBERS = 2**21
#: Batches of a block at most.
_MAX_BATCHES = 64
#: Points of the fixed validation set.
VALIDATION_POINTS = 4096
#: Least share of the mass that is set aside: pairs are drawn until enough start there.
_LEAST_ASIDE = 1e-3
# First keys of the random streams.
_ASIDE = 0
_BLOCK = 1
_VALIDATION = 2


class Source(Protocol):
    """Training points in batches, and points for validation."""

    def batches(self, first: int = 0) -> Iterator[PathSample]:
        """Batches without end, from number `first` on."""

    def validation(self) -> PathSample | None:
        """The fixed validation points, or None where nothing was set aside."""


class Stream:
    r"""Points on the paths of all intervals.

    Block `k` depends on the seed and on `k` only, not on the blocks drawn before it. A share of the
    source cells of every interval is set aside, and the pairs that start there serve
    for validation only.

    Parameters
    ----------
    snapshots
        Training populations in model coordinates, `k` of them.
    plans
        One plan per interval, `k - 1`; or, for a path that was prepared, the table of its pairs.
    path
        How a cell moves between the ends of a pair.
    batch_size
        Points per batch; intervals are drawn in proportion to their lengths.
    validation
        Share of source cells set aside, from 0 to 0.5; a positive share sets aside at least one of
        two cells.
    seed
        Of all draws.
    emphasis
        How much more often times near the snapshots are drawn, from 0 (uniform) to below 1, because
        the measured cells are there and velocities change there. Times are :math:`s = u - e
        \sin(2\pi u) / 2\pi` with `u` uniform: with 0.5, three times as many at a snapshot as
        halfway between two.
    fresh
        Whether points have random numbers for their objectives (`level` and `probe`), and as many
        cells at the ends of their pairs (`observed`).
    device
        Of the points.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        plans: Sequence[Plan] | Sequence[Table],
        path: Path,
        *,
        batch_size: int,
        validation: float,
        seed: int,
        emphasis: float = 0.0,
        fresh: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        cells = np.concatenate([p.x for p in snapshots.populations]).astype(np.float32)
        self._cells = torch.from_numpy(cells).to(device)
        context = [p.context for p in snapshots.populations if p.context is not None]
        self._context = (
            torch.from_numpy(np.concatenate(context).astype(np.float32)).to(device)
            if context
            else None
        )
        self._starts = np.concatenate([[0], np.cumsum([len(p) for p in snapshots.populations])])
        self._times = snapshots.times
        masses = [p.mass for p in snapshots.populations]
        self._log_masses = np.diff(np.log(masses))
        self._tables = [plan for plan in plans if isinstance(plan, Table)]
        self._plans: list[Plan] = [plan.plan if isinstance(plan, Table) else plan for plan in plans]
        self._path = as_path(path).to(device, self._cells.dtype)
        self._seed = seed
        self._emphasis = emphasis
        self._fresh = fresh
        self._device = device
        self._aside = [self._set_aside(k, plan, validation) for k, plan in enumerate(self._plans)]
        self.batch_size = batch_size
        self.batches_per_block = max(
            1, min(_MAX_BATCHES, _BLOCK_NUMBERS // (batch_size * snapshots.n_dims))
        )

    def _set_aside(self, interval: int, plan: Plan, share: float) -> np.ndarray:
        """Mark source cells for validation; none if they carry most of the mass, or hardly any."""
        aside = np.zeros(plan.shape[0], dtype=bool)
        alive = np.flatnonzero(plan.row_mass > 0)
        if share and len(alive) > 1:
            count = max(1, round(share * len(alive)))
            chosen = stream(self._seed, _ASIDE, interval).choice(alive, count, replace=False)
            mass = plan.row_mass[chosen].sum() / plan.row_mass.sum()
            aside[chosen] = min(_LEAST_ASIDE, 0.1 * share) <= mass <= 0.5
        return aside

    def _draw(self, interval: int, n: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Draw `n` pairs of an interval: rows of both cells and, of a table, numbers and growth."""
        if not self._tables:
            return list(self._plans[interval].sample(n, rng))
        table = self._tables[interval]
        edge = table.plan.edges(n, rng)
        drawn = [table.plan.i[edge], table.plan.j[edge], table.row[edge]]
        return drawn if table.log_ratio is None else [*drawn, table.log_ratio[edge]]

    def _pairs(
        self, interval: int, n: int, rng: np.random.Generator, *, aside: bool
    ) -> list[np.ndarray]:
        """Draw `n` pairs that start among the cells set aside, or among the others; see `_draw`."""
        plan = self._plans[interval]
        mark = self._aside[interval]
        if n == 0 or not mark.any():
            return self._draw(interval, n, rng)
        share = float(plan.row_mass[mark == aside].sum() / plan.row_mass.sum())
        found: list[list[np.ndarray]] = []
        missing = n
        while missing > 0:
            drawn = self._draw(interval, int(1.1 * missing / share) + 16, rng)
            keep = np.flatnonzero(mark[drawn[0]] == aside)[:missing]
            found.append([side[keep] for side in drawn])
            missing -= len(keep)
        return [np.concatenate(side) for side in zip(*found, strict=True)]

    def _ends(
        self, n: int, rng: np.random.Generator, intervals: Sequence[int], *, aside: bool
    ) -> list[np.ndarray]:
        """Draw `n` pairs: rows of both cells, intervals and, of tables, what `_draw` adds."""
        gaps = np.diff(self._times)[list(intervals)]
        counts = rng.multinomial(n, gaps / gaps.sum())
        rows = []
        for k, size in zip(intervals, counts.tolist(), strict=True):
            i, j, *more = self._pairs(k, size, rng, aside=aside)
            rows.append((i + self._starts[k], j + self._starts[k + 1], np.full(size, k), *more))
        order = rng.permutation(n)
        return [np.concatenate(side)[order] for side in zip(*rows, strict=True)]

    def _points(
        self, n: int, rng: np.random.Generator, intervals: Sequence[int], *, aside: bool
    ) -> PathSample:
        """Draw `n` points of some intervals, in random order."""
        source, target, interval, *more = self._ends(n, rng, intervals, aside=aside)
        # Times are float64 until the network has scaled them, so that small differences between
        # late times are not lost.
        t0 = self._times[interval]
        t1 = self._times[interval + 1]
        u = rng.random(n)
        share = u - self._emphasis * np.sin(2 * np.pi * u) / (2 * np.pi)
        t = t0 + (_MARGIN + (1.0 - 2.0 * _MARGIN) * share) * (t1 - t0)
        z = rng.standard_normal((n, self._cells.shape[1]), dtype=np.float32)
        start = self._tensor(source)
        end = self._tensor(target)
        pairs = Pairs(
            self._cells[start],
            self._cells[end],
            self._tensor(t0),
            self._tensor(t1),
            None if self._context is None else self._context[end],
            self._tensor(more[0]) if more else None,
            self._tensor(2.0 * rng.random(n) - 1.0) if more else None,
        )
        points = sample(self._path, self._tensor(t), pairs, self._tensor(z))
        log_ratio = more[1] if len(more) > 1 else None
        if log_ratio is not None:
            growth = (log_ratio + self._log_masses[interval]) / (t1 - t0)
            mass = mass_at(log_ratio, (t - t0) / (t1 - t0))
            points = replace(points, weight=self._float(mass), growth=self._float(growth))
        if not self._fresh:
            return points
        first = rng.random(n) < 0.5
        observed = self._observed(pairs, start, end, first, log_ratio, rng)
        return replace(refreshed(points, rng), observed=refreshed(observed, rng))

    def _observed(
        self,
        pairs: Pairs,
        start: torch.Tensor,
        end: torch.Tensor,
        first: np.ndarray,
        log_ratio: np.ndarray | None,
        rng: np.random.Generator,
    ) -> PathSample:
        """The cells at the first or the second end of each pair, as points without width."""
        at_first = self._tensor(first)
        x = self._cells[torch.where(at_first, start, end)]
        return PathSample(
            torch.where(at_first, pairs.t0, pairs.t1),
            x,
            torch.zeros_like(x),
            std=x.new_zeros(len(x)),
            z=self._tensor(rng.standard_normal(x.shape, dtype=np.float32)),
            weight=None if log_ratio is None else self._float(mass_at(log_ratio, 1.0 - first)),
            context=pairs.context,
        )

    def _float(self, a: np.ndarray) -> torch.Tensor:
        return self._tensor(a.astype(np.float32))

    def _tensor(self, a: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(a).to(self._device)

    def block(self, k: int) -> PathSample:
        """Block `k` of the stream: `batch_size * batches_per_block` points."""
        n = self.batch_size * self.batches_per_block
        return self._points(n, stream(self._seed, _BLOCK, k), range(len(self._plans)), aside=False)

    def path_variance(self) -> float:
        """Mean variance of the paths' own noise."""
        std = self.block(0).std
        return 0.0 if std is None else float(std.square().mean())

    def batches(self, first: int = 0) -> Iterator[PathSample]:
        """Batches without end, from number `first` on."""
        k, place = divmod(first, self.batches_per_block)
        while True:
            block = self.block(k)
            for start in range(place, self.batches_per_block):
                yield block.rows(start * self.batch_size, (start + 1) * self.batch_size)
            k += 1
            place = 0

    def validation(self) -> PathSample | None:
        """The fixed validation points, or None where nothing was set aside."""
        intervals = [k for k, mark in enumerate(self._aside) if mark.any()]
        if not intervals:
            return None
        return self._points(
            VALIDATION_POINTS, stream(self._seed, _VALIDATION), intervals, aside=True
        )


def refreshed(points: PathSample, rng: np.random.Generator) -> PathSample:
    """Points with new random numbers in each row, a level and a probe."""
    level = torch.from_numpy(rng.random(len(points.x), dtype=np.float32)).to(points.x.device)
    probe = torch.from_numpy(rng.standard_normal(points.x.shape, dtype=np.float32)).to(
        points.x.device
    )
    return replace(points, level=level, probe=probe)
