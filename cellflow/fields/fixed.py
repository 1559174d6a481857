"""Fields with one input fixed: each takes a field and is a field."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["AtNoise", "Conditioned"]


class Conditioned(nn.Module):
    """Fix the context of a conditional field: takes a field and is a field.

    Parameters
    ----------
    field
        `(t, x, context) -> (n, k)`, with features `context (n, c)`.
    context
        The features of every row, shape `(c,)`.

    Examples
    --------
    >>> import torch
    >>> from cellflow.core.population import Clock
    >>> field = cf.fields.MLP(2, Clock(0.0, 72.0, 24.0, 24.0), n_context=2)
    >>> treated = cf.fields.Conditioned(field, torch.tensor([0.0, 1.0]))
    >>> treated(torch.tensor(24.0), torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    context: Tensor

    def __init__(self, field: nn.Module, context: Tensor) -> None:
        super().__init__()
        self.field = field
        self.register_buffer("context", context)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`) and states `x (n, d)`."""
        value: Tensor = self.field(t, x, self.context.to(x.dtype).expand(len(x), -1))
        return value


class AtNoise(nn.Module):
    """A noise-conditional field at one noise level: takes such a field and is a field.

    Parameters
    ----------
    field
        `(t, x, noise, context) -> (n, d)`, where the context may be None.
    noise
        Level of every row; 0 for the score of the data themselves.

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", score=True)
    >>> network = cf.get.flow(adata).score_network
    >>> score = cf.fields.AtNoise(network, 0.5)
    """

    def __init__(self, field: nn.Module, noise: float) -> None:
        super().__init__()
        self.field = field
        self.noise = noise

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Evaluate at times `t` (scalar or `(n,)`), states `x (n, d)`, `context (n, c)`."""
        value: Tensor = self.field(t, x, self.noise, context)
        return value
