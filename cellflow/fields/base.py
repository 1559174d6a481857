"""Functions of time and state with parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from cellflow.core._numbers import as_count
from cellflow.core.population import Clock
from cellflow.errors import InputError, closest

__all__ = ["Activation", "Builder", "Field", "TimeInput", "activation_module", "check_shape"]

Activation = Literal["silu", "gelu", "selu", "tanh", "softplus"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "selu": nn.SELU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}


@runtime_checkable
class Field(Protocol):
    """`(t, x) -> (n, k)`: `t` a scalar or `(n,)`, `x (n, d)`; time first, as torchdiffeq has it.

    Examples
    --------
    >>> import torch
    >>> class Linear(torch.nn.Module):
    ...     def __init__(self, dim, clock):
    ...         super().__init__()
    ...         self.map = torch.nn.Linear(dim, dim)
    ...     def forward(self, t, x):
    ...         return self.map(x)
    >>> recipe = cf.recipes.ot_cfm(field=Linear)
    """

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        """Evaluate the field; a row of the result depends on its own row only."""


#: Makes a field for a dimension and a clock: a class of this family, or `functools.partial` of one
#: with its options.
Builder: TypeAlias = Callable[..., nn.Module]


class TimeInput(nn.Module):
    r"""Time scaled to [-1, 1] over the observed span, with optional Fourier features.

    Parameters
    ----------
    clock
        Span of the experiment.
    n_frequencies
        Adds :math:`\cos(\pi m \tau / 2), \sin(\pi m \tau / 2)` for :math:`m = 1 \dots`
        `n_frequencies`.
    """

    def __init__(self, clock: Clock, n_frequencies: int = 0) -> None:
        super().__init__()
        as_count("n_frequencies", n_frequencies, least=0)
        self.middle = 0.5 * (clock.start + clock.stop)
        self.half_span = 0.5 * (clock.stop - clock.start)
        self.n_frequencies = n_frequencies
        self.width = 1 + 2 * n_frequencies

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Features of `t` (scalar or `(n,)`) for the rows of `x`, shape `(n, width)`."""
        tau = ((t - self.middle) / self.half_span).to(x.dtype).expand(len(x))[:, None]
        if not self.n_frequencies:
            return tau
        angle = (
            0.5
            * torch.pi
            * tau
            * torch.arange(1, self.n_frequencies + 1, dtype=x.dtype, device=x.device)
        )
        return torch.cat([tau, torch.cos(angle), torch.sin(angle)], dim=1)


def activation_module(name: Activation) -> nn.Module:
    """Return the activation of this name."""
    if name not in get_args(Activation):
        msg = (
            f"activation={name!r} is not one of"
            f" {list(get_args(Activation))}{closest(name, get_args(Activation))}"
        )
        raise InputError(msg)
    return _ACTIVATIONS[name]()


def check_shape(*, dim: int, width: int, depth: int, n_context: int) -> None:
    """Raise for sizes that make no network."""
    for key, value, least in (
        ("dim", dim, 1),
        ("width", width, 1),
        ("depth", depth, 1),
        ("n_context", n_context, 0),
    ):
        as_count(key, value, least=least)
