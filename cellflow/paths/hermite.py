"""Cubic Hermite paths with the velocities of the neighbouring intervals at their ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import as_count, as_number
from cellflow.core._typing import FloatArray
from cellflow.core.population import Pairs
from cellflow.paths.base import Path, Smoothed, Wrapper, elapsed, unprepared
from cellflow.paths.chain import Chain, Chains, smoothed

__all__ = ["LimitedHermite"]


@dataclass(frozen=True)
class LimitedHermite(Smoothed):
    r"""Cubic paths through three or four snapshots, with a limit on their curvature.

    .. math::  p(s) = x_0 + s D + s (1 - s)^2 A - s^2 (1 - s) B, \qquad D = x_1 - x_0

    :math:`A` and :math:`B` are the excess of the velocity over :math:`D` at the start and the end.
    Velocities of a cell come from the plans of the intervals before and after it, by barycentric
    projection, averaged over its neighbours; that of the interval in question is in them by the
    three-point formula. A soft limiter keeps both below `limit` times :math:`|D|`. At the first and
    the last snapshot, where one neighbour is missing, the path ends without curvature, as a natural
    spline does; between two snapshots alone, paths are straight.

    Parameters
    ----------
    smoothing
        Constant width of the regression path, in model coordinates.
    limit
        Largest excess of a velocity, as a multiple of the mean one.
    n_neighbors
        Cells that velocities are averaged over: at most these, and at most a quarter of the smaller
        snapshot.

    References
    ----------
    Multi-marginal splines: Rohbeck et al., Modeling complex system dynamics with flow matching
    across time and conditions, ICLR 2025; Chewi et al., Fast and smooth interpolation on
    Wasserstein space, AISTATS 2021. The limiter is ours, after those of monotone interpolation
    (Fritsch and Carlson 1980).

    Examples
    --------
    >>> path = cf.paths.LimitedHermite(limit=2.0)
    >>> recipe = cf.recipes.Recipe("bent", cf.couplings.Auto(), path)
    """

    limit: float = 4.0
    n_neighbors: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        as_number("limit", self.limit, above=0.0)
        as_count("n_neighbors", self.n_neighbors)

    @property
    def tabled(self) -> bool:
        return True

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:  # noqa: ARG002 (the protocol of every path)
        unprepared(self)

    def prepared(self, chains: Chains) -> Path:
        """Find the excess of every pair's end velocities."""
        excess = [self._excess(chain) for chain in chains]
        start, stop = (torch.from_numpy(np.concatenate(side)) for side in zip(*excess, strict=True))
        return _Hermite(self, start, stop)

    def _excess(self, chain: Chain) -> tuple[FloatArray, FloatArray]:
        """The excess `A` and `B` of all pairs of a chain, both `(N, d)`."""
        populations = chain.snapshots.populations
        times = chain.snapshots.times
        gaps = np.diff(times)
        backward = []
        forward = []
        for k, plan in enumerate(chain.plans):
            source = populations[k]
            target = populations[k + 1]
            n_neighbors = min(self.n_neighbors, min(plan.shape) // 4)
            ahead = (plan.barycentre(target.x) - source.x) / gaps[k]
            behind = (target.x - plan.barycentre(source.x, "target")) / gaps[k]
            forward.append(smoothed(source, ahead, n_neighbors))
            backward.append(smoothed(target, behind, n_neighbors))

        means = np.array([p.weight @ p.x for p in populations])
        rates = np.diff(means, axis=0) / gaps[:, None]
        starts = []
        stops = []
        for k, (i, j) in enumerate(zip(chain.i, chain.j, strict=True)):
            straight = populations[k + 1].x[j] - populations[k].x[i]
            h = gaps[k]
            start = stop = None
            if k > 0:
                share = h / (gaps[k - 1] + h)
                mean = h * (rates[k - 1] - rates[k])
                start = self._limited(
                    share * (h * backward[k - 1][i] - straight), share * mean, straight
                )
            if k < len(gaps) - 1:
                share = h / (h + gaps[k + 1])
                mean = h * (rates[k + 1] - rates[k])
                stop = self._limited(
                    share * (h * forward[k + 1][j] - straight), share * mean, straight
                )
            if start is None:
                start = np.zeros_like(straight) if stop is None else -0.5 * stop
            starts.append(start)
            stops.append(-0.5 * start if stop is None else stop)
        return np.concatenate(starts), np.concatenate(stops)

    def _limited(self, excess: FloatArray, mean: FloatArray, straight: FloatArray) -> FloatArray:
        """Limit excess velocities `(n, d)`; their mean becomes `mean (d,)`.

        Averages over neighbours count cells in dense places more often than others, which shifts
        their mean. What is missing is added in proportion to the lengths of the paths, so that a
        population in uniform motion has no excess.
        """
        length = np.linalg.norm(straight, axis=1, keepdims=True)
        most = self.limit * length
        total = most + np.linalg.norm(excess, axis=1, keepdims=True)
        factor = np.divide(most, total, out=np.zeros_like(most), where=length > 0)
        limited: FloatArray = excess * factor
        missing = factor.mean() * mean - limited.mean(axis=0)
        return np.asarray(
            limited
            + missing
            * np.divide(length, length.mean(), out=np.zeros_like(length), where=length > 0)
        )


@dataclass(frozen=True, eq=False)
class _Hermite(Wrapper):
    """Cubic paths with the excess of their end velocities, `(N, d)` each."""

    start: Tensor
    stop: Tensor

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        s = elapsed(t, pairs)[:, None]
        start, stop = (c[pairs.row].to(s.dtype) for c in (self.start, self.stop))
        return (
            pairs.x0 + s * (pairs.x1 - pairs.x0) + s * (1 - s) ** 2 * start - s**2 * (1 - s) * stop
        )
