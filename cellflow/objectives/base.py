"""What is regressed: a scalar of the dynamics on points of paths."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from cellflow.fields.dynamics import Dynamics
from cellflow.paths.base import PathSample

__all__ = ["Objective", "weighted_mean"]


@runtime_checkable
class Objective(Protocol):
    """`(dynamics, sample) -> scalar`, the loss of a head; its name is that of the head.

    Examples
    --------
    >>> def speed_penalty(dynamics, sample):
    ...     return 0.01 * dynamics.velocity(sample.t, sample.x).square().mean()
    >>> recipe = cf.recipes.ot_cfm().with_head("penalty", cf.recipes.Head(None, speed_penalty))
    """

    def __call__(self, dynamics: Dynamics, sample: PathSample) -> Tensor:
        """Evaluate on one batch."""


def weighted_mean(error: Tensor, sample: PathSample) -> Tensor:
    """Mean of one number per row `(n,)` under the sample's weights."""
    return (
        error.mean()
        if sample.weight is None
        else torch.dot(sample.weight, error) / sample.weight.sum()
    )
