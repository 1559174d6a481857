"""The Brownian bridge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from cellflow.core._numbers import as_number
from cellflow.core.population import Clock, Pairs
from cellflow.errors import InputError
from cellflow.paths.base import Path, elapsed

__all__ = ["BrownianBridge"]


@dataclass(frozen=True)
class BrownianBridge(Path):
    r"""Brownian motion with fixed ends.

    Its variance is :math:`\sigma^2 (t - t_0)(t_1 - t) / (t_1 - t_0)`.

    Strictly inside the interval, :math:`\dot x_t + \tfrac{\sigma^2}{2} \nabla\log p_t = (x_1 - x_t)
    / (t_1 - t)`.

    Parameters
    ----------
    sigma
        Diffusion per square root of time, in model coordinates; `"auto"` is resolved when a model
        is fitted (`0.5 / sqrt(median gap)`).

    References
    ----------
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal
    transport, TMLR 2024, section 3.3; Föllmer, Random fields and diffusion processes, 1988.

    Examples
    --------
    >>> import torch
    >>> from cellflow.core.population import Pairs
    >>> ends = Pairs(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1), torch.full((1,), 2.0))
    >>> cf.paths.BrownianBridge(sigma=1.0).std(torch.tensor([0.0, 1.0, 2.0]), ends).square()
    tensor([0.0000, 0.5000, 0.0000])
    """

    sigma: float | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        if self.sigma != "auto":
            as_number("sigma", self.sigma, above=0.0, remedy=", or 'auto'")

    def resolved(self, clock: Clock) -> Path:
        return replace(self, sigma=clock.sigma) if self.sigma == "auto" else self

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        return pairs.x0 + elapsed(t, pairs)[:, None] * (pairs.x1 - pairs.x0)

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        if self.sigma == "auto":
            msg = "sigma='auto' depends on the snapshots; fit with the recipe, or give a number."
            raise InputError(msg)
        return self.sigma * torch.sqrt((t - pairs.t0) * (pairs.t1 - t) / (pairs.t1 - pairs.t0))
