"""A conditional field at one condition."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Conditioned"]


class Conditioned(nn.Module):
    """Fix the condition of a conditional field: takes a field and is a field.

    Parameters
    ----------
    field
        `(t, x, condition) -> (n, k)`, with integer labels `condition (n,)`.
    label
        The condition of every row.
    """

    def __init__(self, field: nn.Module, label: int) -> None:
        super().__init__()
        self.field = field
        self.label = label

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`) and states `x (n, d)`."""
        condition = torch.full((len(x),), self.label, dtype=torch.long, device=x.device)
        return self.field(t, x, condition)  # type: ignore[no-any-return] # nn.Module returns Any
