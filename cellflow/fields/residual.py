"""A residual network on time and state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cellflow.fields.base import Activation, TimeInput, activation_module, check_shape
from cellflow.population import Clock

__all__ = ["Residual"]


class Residual(nn.Module):
    r"""Blocks :math:`h \leftarrow h + W_2\, a(W_1 [a(h), \text{time, condition}])` between two linear maps.

    The second map of each block starts at zero, so that the network starts linear in its first features and depth costs
    nothing at the beginning.

    Parameters
    ----------
    dim
        Dimension `d` of the state.
    clock
        Span and unit of time; outputs are divided by the unit.
    width, depth, activation
        Units per layer, number of blocks, nonlinearity.
    n_frequencies
        Fourier features of time beside time itself.
    n_conditions
        Number of condition labels; each gets a learned embedding of `width // 4` numbers.
    out_dim
        Dimension of the output; `dim` by default.

    References
    ----------
    He et al., Identity mappings in deep residual networks, ECCV 2016.
    """

    def __init__(
        self,
        dim: int,
        clock: Clock,
        *,
        width: int = 128,
        depth: int = 2,
        activation: Activation = "silu",
        n_frequencies: int = 0,
        n_conditions: int = 0,
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        check_shape(dim=dim, width=width, depth=depth, n_conditions=n_conditions)
        self.unit = clock.unit
        self.time = TimeInput(clock, n_frequencies)
        self.condition = nn.Embedding(n_conditions, max(1, width // 4)) if n_conditions else None
        n_context = self.time.width + (self.condition.embedding_dim if self.condition is not None else 0)
        self.inlet = nn.Linear(dim + n_context, width)
        self.first = nn.ModuleList(nn.Linear(width + n_context, width) for _ in range(depth))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.outlet = nn.Linear(width, dim if out_dim is None else out_dim)
        self.activation = activation_module(activation)
        for layer in self.second:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type] # ModuleList forgets the layer's type
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, t: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`), states `x (n, d)` and labels `condition (n,)`."""
        context = self.time(t, x)
        if self.condition is not None:
            context = torch.cat([context, self.condition(condition)], dim=1)
        h = self.inlet(torch.cat([x, context], dim=1))
        for first, second in zip(self.first, self.second, strict=True):
            h = h + second(self.activation(first(torch.cat([self.activation(h), context], dim=1))))
        return self.outlet(self.activation(h)) / self.unit  # type: ignore[no-any-return] # nn.Module returns Any
