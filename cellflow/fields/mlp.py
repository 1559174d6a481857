"""A multilayer perceptron on time and state."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from cellflow.fields.base import Activation, TimeInput, activation_module, check_shape
from cellflow.population import Clock

__all__ = ["MLP"]


class MLP(nn.Module):
    """`depth` hidden layers of `width` units on `[x, time, condition]`.

    Outputs are per unit of time: the last layer is divided by the clock's unit, so that the same weights serve an experiment
    in hours and in days.

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
    n_conditions
        Number of condition labels; each gets a learned embedding of `width // 4` numbers.
    out_dim
        Dimension of the output; `dim` by default.
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
        n_conditions: int = 0,
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        check_shape(dim=dim, width=width, depth=depth, n_conditions=n_conditions)
        self.unit = clock.unit
        self.time = TimeInput(clock, n_frequencies)
        self.condition = nn.Embedding(n_conditions, max(1, width // 4)) if n_conditions else None
        n_inputs = dim + self.time.width + (self.condition.embedding_dim if self.condition is not None else 0)
        widths = [n_inputs] + [width] * depth
        hidden = [
            layer for n_in, n_out in pairwise(widths) for layer in (nn.Linear(n_in, n_out), activation_module(activation))
        ]
        self.net = nn.Sequential(*hidden, nn.Linear(width, dim if out_dim is None else out_dim))

    def forward(self, t: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`), states `x (n, d)` and labels `condition (n,)`."""
        inputs = [x, self.time(t, x)]
        if self.condition is not None:
            inputs.append(self.condition(condition))
        return self.net(torch.cat(inputs, dim=1)) / self.unit  # type: ignore[no-any-return] # nn.Module returns Any
