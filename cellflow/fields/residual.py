"""A residual network on time and state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cellflow.core.population import Clock
from cellflow.fields.base import Activation, TimeInput, activation_module, check_shape

__all__ = ["Residual"]


class Residual(nn.Module):
    r"""Residual blocks between two linear maps.

    .. math::  h \leftarrow h + W_2\, a(W_1 [a(h), \text{time, context}])

    The second map of each block starts at zero, so that the network starts linear in its first
    features and depth costs nothing at the beginning.

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
    n_context
        Number of context features beside time (indicators of a condition, a dose).
    out_dim
        Dimension of the output; `dim` by default.

    References
    ----------
    He et al., Identity mappings in deep residual networks, ECCV 2016.

    Examples
    --------
    >>> import torch
    >>> from cellflow.core.population import Clock
    >>> field = cf.fields.Residual(2, Clock(0.0, 72.0, 24.0, 24.0), width=32)
    >>> field(torch.tensor(24.0), torch.zeros(5, 2)).shape
    torch.Size([5, 2])
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
        n_context: int = 0,
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        check_shape(dim=dim, width=width, depth=depth, n_context=n_context)
        self.unit = clock.unit
        self.time = TimeInput(clock, n_frequencies)
        n_beside = self.time.width + n_context
        self.inlet = nn.Linear(dim + n_beside, width)
        self.first = nn.ModuleList(nn.Linear(width + n_beside, width) for _ in range(depth))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.outlet = nn.Linear(width, dim if out_dim is None else out_dim)
        self.activation = activation_module(activation)
        for layer in self.second:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type] # of a Linear
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`), states `x (n, d)`, `context (n, c)`."""
        beside = (
            self.time(t, x) if context is None else torch.cat([self.time(t, x), context], dim=1)
        )
        h = self.inlet(torch.cat([x, beside], dim=1))
        for first, second in zip(self.first, self.second, strict=True):
            h = h + second(self.activation(first(torch.cat([self.activation(h), beside], dim=1))))
        value: Tensor = self.outlet(self.activation(h)) / self.unit
        return value
