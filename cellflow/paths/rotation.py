"""Paths that keep the variance between the neighbours of a cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import as_count
from cellflow.core._typing import FloatArray
from cellflow.core.population import Pairs
from cellflow.paths.base import Path, Wrapper, elapsed
from cellflow.paths.chain import Chain, Chains, smoothed

__all__ = ["ResidualRotated"]


@dataclass(frozen=True)
class ResidualRotated(Wrapper):
    r"""A path that rotates the residuals of its two cells into each other.

    In many dimensions most of the difference between the two cells of a pair is independent of
    time; a straight path loses half of this variance at its middle. The residuals :math:`r_0, r_1`
    of the two cells from the mean of their neighbours are therefore rotated into each other:

    .. math::  x(s) + (\cos\tfrac{\pi s}{2} - 1 + s)\, r_0 + (\sin\tfrac{\pi s}{2} - s)\, r_1

    Parameters
    ----------
    path
        The path that is corrected.
    n_neighbors
        Number of cells of the same snapshot (the cell itself included) in the mean.
    least_dims
        With fewer dimensions the path is not corrected, because residuals are small there.

    References
    ----------
    The rotation is that of variance-preserving paths: Albergo and Vanden-Eijnden, Building
    normalizing flows with stochastic interpolants, ICLR 2023.

    Examples
    --------
    >>> path = cf.paths.ResidualRotated(cf.paths.LimitedHermite())
    >>> path.path
    LimitedHermite(smoothing=0.1, limit=4.0, n_neighbors=100)
    """

    n_neighbors: int = 10
    least_dims: int = 20

    def __post_init__(self) -> None:
        as_count("n_neighbors", self.n_neighbors)
        as_count("least_dims", self.least_dims)

    def prepared(self, chains: Chains) -> Path:
        """Find the residuals of the ends of every pair."""
        inner = self.inner.prepared(chains)
        if chains[0].snapshots.n_dims < self.least_dims:
            return inner
        residuals = [self._residuals(chain) for chain in chains]
        start, stop = (torch.cat(side) for side in zip(*residuals, strict=True))
        return _Rotated(inner, start, stop)

    def _residuals(self, chain: Chain) -> tuple[Tensor, Tensor]:
        apart = [p.x - smoothed(p, p.x, self.n_neighbors) for p in chain.snapshots.populations]
        # Means over neighbours are biased towards dense regions. The residuals are centred so that
        # they do not move the population.
        start = np.concatenate([_centred(apart[k][i]) for k, i in enumerate(chain.i)])
        stop = np.concatenate([_centred(apart[k + 1][j]) for k, j in enumerate(chain.j)])
        return torch.from_numpy(start), torch.from_numpy(stop)


def _centred(residuals: FloatArray) -> FloatArray:
    return np.asarray(residuals - residuals.mean(axis=0))


@dataclass(frozen=True, eq=False)
class _Rotated(Wrapper):
    """A prepared path and the residuals of the ends of every pair, `(N, d)` each."""

    start: Tensor
    stop: Tensor

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        s = elapsed(t, pairs)[:, None]
        start, stop = (c[pairs.row].to(s.dtype) for c in (self.start, self.stop))
        angle = 0.5 * math.pi * s
        return (
            self.path.mean(t, pairs)
            + (torch.cos(angle) - 1 + s) * start
            + (torch.sin(angle) - s) * stop
        )
