"""Variance-preserving paths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cellflow.errors import InputError
from cellflow.paths.base import elapsed
from cellflow.population import Pairs

__all__ = ["Trigonometric"]


@dataclass(frozen=True)
class Trigonometric:
    r""":math:`x_t \sim \mathcal N(\cos(\tfrac\pi2 s)\, x_0 + \sin(\tfrac\pi2 s)\, x_1, \mathrm{smoothing}^2 I)`.

    For independent ends of equal covariance the path has that covariance at every time, where a straight one loses up to
    half of it. Assumes centred coordinates, which a fitted `Frame` gives.

    Parameters
    ----------
    smoothing
        Constant width of the regression path, in model coordinates.

    References
    ----------
    Albergo and Vanden-Eijnden, Building normalizing flows with stochastic interpolants, ICLR 2023.
    """

    smoothing: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < float("inf"):
            msg = f"smoothing={self.smoothing!r}; expected a finite number that is not negative."
            raise InputError(msg)

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Centre, shape `(n, d)`."""
        angle = 0.5 * torch.pi * elapsed(t, pairs)[:, None]
        return torch.cos(angle) * pairs.x0 + torch.sin(angle) * pairs.x1

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:  # noqa: ARG002 (the protocol of every path)
        """Width, shape `(n,)`."""
        return torch.full_like(t, self.smoothing)
