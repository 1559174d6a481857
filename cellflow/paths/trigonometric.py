"""Variance-preserving paths."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cellflow.core.population import Pairs
from cellflow.paths.base import Path, Smoothed, elapsed
from cellflow.paths.chain import Chains

__all__ = ["Trigonometric"]


@dataclass(frozen=True)
class Trigonometric(Smoothed):
    r"""Trigonometric paths, which preserve variance.

    .. math::  x_t \sim \mathcal N\bigl(\cos(\tfrac\pi2 s)\, x_0 + \sin(\tfrac\pi2 s)\, x_1,
               \mathrm{smoothing}^2 I\bigr)

    For independent ends of equal covariance the path has that covariance at every time, where a
    straight one loses up to half of it. The formula depends on the origin of the coordinates. In a
    fit (`prepared`), the formula is applied to the deviations of both cells from the means of their
    snapshots, and the mean moves in a straight line. Paths are then independent of the origin, and
    a population in uniform motion keeps its velocity.

    Parameters
    ----------
    smoothing
        Constant width of the regression path, in model coordinates.

    References
    ----------
    Albergo and Vanden-Eijnden, Building normalizing flows with stochastic interpolants, ICLR 2023.

    Examples
    --------
    >>> import torch
    >>> from cellflow.core.population import Pairs
    >>> ends = Pairs(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1), torch.full((1,), 2.0))
    >>> cf.paths.Trigonometric().mean(torch.tensor([2.0]), ends)
    tensor([[1., 1.]])
    """

    def prepared(self, chains: Chains) -> Path:
        """Return the path around the means of the snapshots."""
        snapshots = chains.snapshots
        means = np.array([p.weight @ p.x for p in snapshots.populations])
        return _Centred(self, torch.from_numpy(snapshots.times), torch.from_numpy(means))

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        angle = 0.5 * torch.pi * elapsed(t, pairs)[:, None]
        return torch.cos(angle) * pairs.x0 + torch.sin(angle) * pairs.x1


@dataclass(frozen=True, eq=False)
class _Centred(Path):
    """A trigonometric path about the means of the snapshots."""

    path: Trigonometric  # about the origin
    times: Tensor  # of the snapshots, `(k,)`
    means: Tensor  # `(k, d)`

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        start = self.means[torch.searchsorted(self.times, pairs.t0)].to(pairs.x0.dtype)
        stop = self.means[torch.searchsorted(self.times, pairs.t1)].to(pairs.x0.dtype)
        about = replace(pairs, x0=pairs.x0 - start, x1=pairs.x1 - stop)
        return torch.lerp(start, stop, elapsed(t, pairs)[:, None]) + self.path.mean(t, about)

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        return self.path.std(t, pairs)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> _Centred:
        # Times stay float64.
        return replace(self, times=self.times.to(device), means=self.means.to(device, dtype))
