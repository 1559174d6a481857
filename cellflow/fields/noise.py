"""Fields that know how noisy their input is: the network of a score, and a score at one noise level."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cellflow.fields.base import Builder
from cellflow.ladder import Ladder
from cellflow.population import Clock

__all__ = ["AtNoise", "NoiseConditional"]


class NoiseConditional(nn.Module):
    r"""One network for the scores at all noise levels, :math:`\nabla \log (p_t * \mathcal N(0, \sigma^2 I))(x)`.

    .. math::  s(t, x, \sigma) = -\frac{x}{r^2 + \sigma^2}
               + \frac{1}{\sqrt{\sigma_L^2 + \sigma^2}} F\Big(t, \frac{x}{\sqrt{r^2 + \sigma^2}}, u_\sigma\Big)

    with :math:`r` the spread of the data, :math:`\sigma_L` the ladder's smallest level, and :math:`u_\sigma` the logarithm
    of :math:`\sigma_L^2 + \sigma^2`, scaled to [-1, 1] over the ladder. So the network's inputs and outputs have unit size at
    every level, the score of cells far from the data points home, and :math:`\sigma = 0`, the score of :math:`p_t` itself, is
    no special case.

    Parameters
    ----------
    dim
        Dimension `d` of the state.
    clock
        Span and unit of time.
    ladder
        The noise levels, which stay with the network.
    field
        Builder of `F`; called as `field(dim + 1, clock, out_dim=dim)`.
    n_context
        Number of context features beside time.

    References
    ----------
    Song and Ermon, Generative modeling by estimating gradients of the data distribution, NeurIPS 2019; the scaling of inputs
    and outputs follows Karras et al., Elucidating the design space of diffusion-based generative models, NeurIPS 2022.
    """

    def __init__(self, dim: int, clock: Clock, *, ladder: Ladder, field: Builder, n_context: int = 0) -> None:
        super().__init__()
        # The network's outputs are per unit of time; a score is not.
        self.unit = clock.unit
        self.ladder = ladder
        least, most = (0.5 * math.log(ladder.smallest**2 + s**2) for s in (0.0, ladder.largest))
        self.middle, self.half_span = 0.5 * (least + most), 0.5 * (most - least)
        self.net = field(dim + 1, clock, out_dim=dim, **({"n_context": n_context} if n_context else {}))

    def forward(self, t: Tensor, x: Tensor, noise: Tensor | float = 0.0, context: Tensor | None = None) -> Tensor:
        """Evaluate at times `t` and noise levels (scalars or `(n,)`), states `x (n, d)` and features `context (n, c)`."""
        noise = torch.as_tensor(noise, dtype=x.dtype, device=x.device)
        variance = (noise * noise).expand(len(x))[:, None]
        total, least = self.ladder.spread**2 + variance, self.ladder.smallest**2 + variance
        level = (0.5 * least.log() - self.middle) / self.half_span
        inside = torch.cat([x * total.rsqrt(), level], dim=1)
        out: Tensor = self.net(t, inside) if context is None else self.net(t, inside, context)
        return (self.unit * least.rsqrt()) * out - x / total


class AtNoise(nn.Module):
    """A noise-conditional field at one noise level: takes such a field and is a field.

    Parameters
    ----------
    field
        `(t, x, noise, context) -> (n, d)`, where the context may be None.
    noise
        Level of every row; 0 for the score of the data themselves.
    """

    def __init__(self, field: nn.Module, noise: float) -> None:
        super().__init__()
        self.field = field
        self.noise = noise

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`), states `x (n, d)` and features `context (n, c)`."""
        return self.field(t, x, self.noise, context)  # type: ignore[no-any-return] # nn.Module returns Any
