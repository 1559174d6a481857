"""Gradient fields."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cellflow.core.population import Clock
from cellflow.fields.base import Builder

__all__ = ["Potential"]


class Potential(nn.Module):
    r"""The field :math:`-\nabla_x \varphi(t, x)` of a scalar network, downhill in a landscape.

    Gradient fields are those of optimal transport; they cannot represent rotation.

    Parameters
    ----------
    dim
        Dimension `d` of the state.
    clock
        Span and unit of time.
    field
        Builder of the scalar network; called as `field(dim, clock, out_dim=1)`.
    n_context
        Number of context features beside time.

    References
    ----------
    Neklyudov et al., Action matching, ICML 2023.

    Examples
    --------
    >>> import torch
    >>> from cellflow.core.population import Clock
    >>> field = cf.fields.Potential(2, Clock(0.0, 72.0, 24.0, 24.0), field=cf.fields.MLP)
    >>> field(torch.tensor(24.0), torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    def __init__(self, dim: int, clock: Clock, *, field: Builder, n_context: int = 0) -> None:
        super().__init__()
        self.potential = field(
            dim, clock, out_dim=1, **({"n_context": n_context} if n_context else {})
        )

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`), states `x (n, d)`, `context (n, c)`."""
        training = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            phi = self.potential(t, x) if context is None else self.potential(t, x, context)
            (gradient,) = torch.autograd.grad(phi.sum(), x, create_graph=training)
        return -gradient if training else -gradient.detach()
