"""Conditional flow matching."""

from __future__ import annotations

from torch import Tensor

from cellflow.fields.dynamics import Dynamics
from cellflow.objectives.base import weighted_mean
from cellflow.paths.base import PathSample

__all__ = ["velocity_matching"]


def velocity_matching(dynamics: Dynamics, sample: PathSample) -> Tensor:
    r"""Regress the field on the velocities of conditional paths.

    .. math::  \mathbb E\, \tau^2 \|v(t, x_t) - \dot x_t\|^2 / d

    with :math:`\tau` the unit of time. The minimiser is the velocity that carries the marginals of
    the mixture of all paths.

    Parameters
    ----------
    dynamics
        Holds the field and the unit.
    sample
        Points on paths, `n` rows, optionally weighted.

    References
    ----------
    Lipman et al., Flow matching for generative modeling, ICLR 2023; Tong et al., Improving and
    generalizing flow-based generative models with minibatch optimal transport, TMLR 2024, theorem
    3.2.

    Examples
    --------
    >>> import torch
    >>> from cellflow.core.population import Clock
    >>> from cellflow.fields.dynamics import Dynamics
    >>> dynamics = Dynamics(cf.fields.MLP(2, Clock(0.0, 1.0, 1.0, 1.0)))
    >>> points = cf.paths.PathSample(torch.rand(8), torch.zeros(8, 2), torch.ones(8, 2))
    >>> bool(cf.objectives.velocity_matching(dynamics, points) > 0)
    True
    """
    velocity = dynamics(sample.t, sample.x, sample.context)
    return weighted_mean(
        ((velocity - sample.velocity) * dynamics.unit).square().mean(dim=1), sample
    )
