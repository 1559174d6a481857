"""AdamW on all parameters of a module at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["AdamW", "Group", "joined"]

#: Decay of the mean of the gradient.
_FIRST = 0.9
#: Decay of the mean of its square.
_SECOND = 0.999
#: Keeps a division from zero.
_EPS = 1e-8


@dataclass(frozen=True)
class Group:
    """Parameters with a learning rate and a weight decay of their own.

    Parameters
    ----------
    weight_decay
        Decoupled: per step, times the learning rate.
    rate
        Learning rate relative to that of the step.
    has
        `name -> bool`, which parameters belong to it; all by default.
    """

    weight_decay: float = 0.0
    rate: float = 1.0
    has: Callable[[str], bool] = lambda _: True


def joined(
    module: nn.Module, groups: Sequence[Group] = (Group(),)
) -> tuple[Tensor, list[nn.Parameter], list[slice]]:
    """Make the trainable parameters of a module parts of one vector.

    Returns
    -------
    The vector, the parameters in its order, and the part of each group.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    members = [[p for name, p in named if group.has(name)] for group in groups]
    parameters = [p for member in members for p in member]
    vector = torch.cat([p.detach().reshape(-1) for p in parameters])
    for parameter, part in zip(parameters, _parts(vector, parameters), strict=True):
        parameter.data = part
    parts = []
    start = 0
    for member in members:
        stop = start + sum(p.numel() for p in member)
        parts.append(slice(start, stop))
        start = stop
    return vector, parameters, parts


class AdamW:
    """AdamW with the gradient's norm clipped, on the joined parameters of a module.

    One step on one vector costs a fraction of a step on a list of small tensors. The formulas are
    those of `torch.optim.AdamW`, whose first use in a process loads a compiler for two seconds.

    Parameters
    ----------
    module
        What is trained; its parameters become parts of `vector`.
    clip
        Largest norm of the gradient.
    groups
        Each parameter belongs to one of them.

    References
    ----------
    Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.
    """

    def __init__(
        self, module: nn.Module, *, clip: float, groups: Sequence[Group] = (Group(),)
    ) -> None:
        self.vector, parameters, parts = joined(module, groups)
        self._gradient = torch.zeros_like(self.vector)
        for parameter, part in zip(parameters, _parts(self._gradient, parameters), strict=True):
            parameter.grad = part
        self._groups = [
            (part, self.vector[part], group) for part, group in zip(parts, groups, strict=True)
        ]
        self._clip = clip

    def step(self, loss: Tensor, lr: float, mean: Tensor, square: Tensor, count: int) -> None:
        """Go one step down the gradient of a loss.

        Parameters
        ----------
        loss
            Scalar.
        lr
            Learning rate.
        mean, square
            Means of the gradient and of its square, shape of `vector`; brought up to date.
        count
            Number of this step, from one.
        """
        self._gradient.zero_()
        loss.backward()
        self._gradient *= (
            self._clip / (torch.linalg.vector_norm(self._gradient) + 1e-6)
        ).clamp_max(1.0)
        mean.lerp_(self._gradient, 1 - _FIRST)
        square.mul_(_SECOND).addcmul_(self._gradient, self._gradient, value=1 - _SECOND)
        scale = square.div(1 - _SECOND**count).sqrt_().add_(_EPS)
        for part, vector, group in self._groups:
            rate = lr * group.rate
            if group.weight_decay:
                vector.mul_(1 - rate * group.weight_decay)
            # Views take microseconds, so none is made for a single group.
            ours = (mean, scale) if len(self._groups) == 1 else (mean[part], scale[part])
            vector.addcdiv_(*ours, value=-rate / (1 - _FIRST**count))


def _parts(vector: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Parts of a vector in the shapes of the parameters."""
    parts = vector.split([p.numel() for p in parameters])
    return [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]
