"""A multilayer perceptron on time and state."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from cellflow.core.population import Clock
from cellflow.fields.base import Activation, TimeInput, activation_module, check_shape

__all__ = ["MLP"]


class MLP(nn.Module):
    """`depth` hidden layers of `width` units on `[x, time, context]`.

    Outputs are per unit of time: the last layer is divided by the clock's unit, so that the same
    weights serve an experiment in hours and in days.

    Parameters
    ----------
    dim
        Dimension `d` of the state.
    clock
        Span and unit of time.
    width, depth, activation
        Shape of the network.
    n_frequencies
        Fourier features of time beside time itself.
    n_context
        Number of context features beside time (indicators of a condition, a dose).
    out_dim
        Dimension of the output; `dim` by default.

    Examples
    --------
    >>> import torch
    >>> from cellflow.core.population import Clock
    >>> field = cf.fields.MLP(2, Clock(0.0, 72.0, 24.0, 24.0), width=32)
    >>> field(torch.tensor(24.0), torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        dim: int,
        clock: Clock,
        *,
        width: int = 128,
        depth: int = 3,
        activation: Activation = "silu",
        n_frequencies: int = 0,
        n_context: int = 0,
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        check_shape(dim=dim, width=width, depth=depth, n_context=n_context)
        self.unit = clock.unit
        self.time = TimeInput(clock, n_frequencies)
        widths = [dim + self.time.width + n_context] + [width] * depth
        hidden = [
            layer
            for n_in, n_out in pairwise(widths)
            for layer in (nn.Linear(n_in, n_out), activation_module(activation))
        ]
        self.net = nn.Sequential(*hidden, nn.Linear(width, dim if out_dim is None else out_dim))

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`), states `x (n, d)`, `context (n, c)`."""
        inputs = [x, self.time(t, x)] if context is None else [x, self.time(t, x), context]
        value: Tensor = self.net(torch.cat(inputs, dim=1)) / self.unit
        return value
