"""Straight paths at constant speed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cellflow.core._numbers import as_number
from cellflow.core.population import Pairs
from cellflow.paths.base import Path, elapsed

__all__ = ["Linear"]


@dataclass(frozen=True)
class Linear(Path):
    r"""Straight paths, :math:`x_t \sim \mathcal N((1-s)\, x_0 + s\, x_1, \mathrm{smoothing}^2 I)`.

    Here :math:`s` is the elapsed fraction of the interval.

    Parameters
    ----------
    smoothing
        Constant width of the regression path, in model coordinates (about one standard deviation of
        the data = 1); not a diffusion.

    References
    ----------
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal
    transport, TMLR 2024, eq. (14).
    """

    smoothing: float = 0.1

    def __post_init__(self) -> None:
        as_number("smoothing", self.smoothing, least=0.0)

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Centre, shape `(n, d)`."""
        return pairs.x0 + elapsed(t, pairs)[:, None] * (pairs.x1 - pairs.x0)

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:  # noqa: ARG002 (the protocol of every path)
        """Width, shape `(n,)`."""
        return torch.full_like(t, self.smoothing)
