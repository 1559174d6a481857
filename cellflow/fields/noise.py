"""The network of a score, with a noise level as input."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cellflow.core.population import Clock
from cellflow.fields.base import Builder
from cellflow.fields.ladder import Ladder, Moments

__all__ = ["NoiseConditional"]


class NoiseConditional(nn.Module):
    r"""One network for the scores at all noise levels.

    It learns :math:`\nabla \log (p_t * \mathcal N(0, \sigma^2 I))(x)` as

    .. math::  s(t, x, \sigma) = -(\Lambda_t + \sigma^2)^{-1} y + (\sigma_L^2 + \sigma^2)^{-1/2}\,
               F\big(t, (\Lambda_t + \sigma^2)^{-1/2} y, u_\sigma\big), \qquad y = x - m_t

    in the principal axes of the cells, with :math:`m_t` their mean and :math:`\Lambda_t` their
    variances at that time,
    :math:`\sigma_L` the ladder's smallest level, and :math:`u_\sigma` the logarithm of
    :math:`\sigma_L^2 + \sigma^2`, scaled to [-1, 1] over the ladder. The network starts from a
    normal distribution that moves with the cells, its inputs and outputs have unit size in every
    direction and at every level, the score of cells far from the data points to the data, and
    :math:`\sigma = 0`, the score of :math:`p_t` itself, is no special case.

    Parameters
    ----------
    dim
        Dimension `d` of the state.
    clock
        Span and unit of time.
    ladder
        The noise levels, which stay with the network.
    moments
        Mean and variances of the cells.
    field
        Builder of `F`; called as `field(dim + 1, clock, out_dim=dim)`.
    n_context
        Number of context features beside time.

    References
    ----------
    Song and Ermon, Generative modeling by estimating gradients of the data distribution, NeurIPS
    2019; the scaling of inputs and outputs follows Karras et al., Elucidating the design space of
    diffusion-based generative models, NeurIPS 2022.

    Examples
    --------
    >>> recipe = cf.recipes.ot_cfm().with_score(cf.fields.MLP)
    >>> list(recipe.heads)
    ['velocity', 'score']
    """

    knots: Tensor
    mean: Tensor
    axes: Tensor
    variance: Tensor

    def __init__(
        self,
        dim: int,
        clock: Clock,
        *,
        ladder: Ladder,
        moments: Moments,
        field: Builder,
        n_context: int = 0,
    ) -> None:
        super().__init__()
        # The network's outputs are per unit of time; a score is not.
        self.unit = clock.unit
        self.ladder = ladder
        least, most = (0.5 * math.log(ladder.smallest**2 + s**2) for s in (0.0, ladder.largest))
        self.middle = 0.5 * (least + most)
        self.half_span = 0.5 * (most - least)
        self.register_buffer("knots", torch.from_numpy(moments.times.copy()))
        self.register_buffer("mean", torch.from_numpy(moments.mean.copy()))
        self.register_buffer("axes", torch.from_numpy(moments.axes.copy()))
        self.register_buffer("variance", torch.from_numpy(moments.variance.copy()))
        self.net = field(
            dim + 1, clock, out_dim=dim, **({"n_context": n_context} if n_context else {})
        )

    def moments(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of the cells at the times of the rows, and variances along the axes, `(n, d)`."""
        if len(self.knots) == 1:
            return self.mean.to(x.dtype), self.variance.to(x.dtype)
        t = t.to(self.knots.dtype).expand(len(x)).contiguous()
        k = torch.searchsorted(self.knots, t).clamp(1, len(self.knots) - 1)
        share = ((t - self.knots[k - 1]) / (self.knots[k] - self.knots[k - 1])).clamp(0, 1)[:, None]
        return tuple(
            torch.lerp(a[k - 1], a[k], share).to(x.dtype) for a in (self.mean, self.variance)
        )  # type: ignore[return-value] # two of them

    def forward(
        self, t: Tensor, x: Tensor, noise: Tensor | float = 0.0, context: Tensor | None = None
    ) -> Tensor:
        """Evaluate at times and noise levels (scalars or `(n,)`), `x (n, d)`, `context (n, c)`."""
        noise = torch.as_tensor(noise, dtype=x.dtype, device=x.device)
        added = (noise * noise).expand(len(x))[:, None]
        mean, variance = self.moments(t, x)
        axes = self.axes.to(x.dtype)
        y = (x - mean) @ axes
        total = variance + added
        least = self.ladder.smallest**2 + added
        level = (0.5 * least.log() - self.middle) / self.half_span
        inside = torch.cat([y * total.rsqrt(), level], dim=1)
        out: Tensor = self.net(t, inside) if context is None else self.net(t, inside, context)
        return ((self.unit * least.rsqrt()) * out - y / total) @ axes.mT

    def starting_points(self, t: Tensor, z: Tensor) -> Tensor:
        """Starts of sampling: normal `z (n, d)`, as wide as the cells under the largest level."""
        mean, variance = self.moments(t, z)
        return mean + ((variance + self.ladder.largest**2).sqrt() * z) @ self.axes.to(z.dtype).mT
