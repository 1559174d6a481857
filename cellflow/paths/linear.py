"""Straight paths at constant speed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from cellflow.core.population import Pairs
from cellflow.paths.base import Smoothed, elapsed

__all__ = ["Linear"]


@dataclass(frozen=True)
class Linear(Smoothed):
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

    Examples
    --------
    >>> import torch
    >>> from cellflow.core.population import Pairs
    >>> ends = Pairs(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1), torch.full((1,), 2.0))
    >>> cf.paths.Linear().mean(torch.ones(1), ends)
    tensor([[0.5000, 0.5000]])
    """

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        return pairs.x0 + elapsed(t, pairs)[:, None] * (pairs.x1 - pairs.x0)
