r"""Score matching over a ladder of noise levels: denoising, sliced, implicit.

All three add noise to the states of a sample. A state of a path is
:math:`x_t = \mu_t + \sigma_t z`. With noise of level :math:`\sigma_k`, it is distributed as
:math:`\mu_t + \tau z`, :math:`\tau^2 = \sigma_t^2 + \sigma_k^2`, so that the same `z` serves. Half
of the rows on a path of positive width keep :math:`\sigma_k = 0`, where the score of the marginals
themselves is learned; all others get a level of the ladder. Every loss is weighted by
:math:`\tau^2`. Near the observed times, where a bridge has no width, the levels of the ladder keep
the weight from vanishing. Cells of the snapshots themselves are added, because points at random
times are hardly ever at one.
"""

from __future__ import annotations

from functools import wraps
from typing import NamedTuple, cast

import torch
from torch import Tensor

from cellflow.errors import InputError
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.noise import NoiseConditional
from cellflow.objectives.base import Objective, weighted_mean
from cellflow.paths.base import PathSample

__all__ = ["denoising_score_matching", "implicit_score_matching", "sliced_score_matching"]

#: Share of the rows that get no noise beyond that of their path.
_PLAIN = 0.5


class _Perturbed(NamedTuple):
    """States `x (n, d)`, noise levels `noise (n,)`, width `tau (n,)` of all their noise."""

    x: Tensor
    noise: Tensor
    tau: Tensor


def _perturbed(dynamics: Dynamics, sample: PathSample) -> _Perturbed:
    """Draw a level for every row; a sample without `level` stays as it is."""
    std = sample.x.new_zeros(len(sample.x)) if sample.std is None else sample.std
    if sample.level is None:
        return _Perturbed(sample.x, torch.zeros_like(std), std)
    if sample.z is None:
        msg = (
            "A sample with noise levels needs the noise `z` of its states; draw it with"
            " cellflow.paths.sample."
        )
        raise InputError(msg)
    levels = std.new_tensor(cast("NoiseConditional", dynamics.score).ladder.levels)
    # The upper part of [0, 1) is divided among the levels; rows without a width of their own always
    # get one.
    least = torch.where(std > 0, _PLAIN, 0.0)
    place = ((sample.level - least) / (1.0 - least) * len(levels)).floor().long()
    noise = torch.where(place >= 0, levels[place.clamp(0, len(levels) - 1)], 0.0)
    tau = (std.square() + noise.square()).sqrt()
    return _Perturbed(sample.x + (tau - std)[:, None] * sample.z, noise, tau)


def _with_observed(loss: Objective) -> Objective:
    """Mean of a loss over points on paths and half as many cells of the snapshots."""

    @wraps(loss)
    def averaged(dynamics: Dynamics, sample: PathSample) -> Tensor:
        value = loss(dynamics, sample)
        if sample.observed is None:
            return value
        return (2 * value + loss(dynamics, sample.observed.rows(0, (len(sample.x) + 1) // 2))) / 3

    return averaged


def _score(dynamics: Dynamics, sample: PathSample, x: Tensor, noise: Tensor) -> Tensor:
    if dynamics.score is None:
        msg = "Score matching needs a dynamics with a score; give the recipe one (score=MLP)."
        raise InputError(msg)
    return cast("Tensor", dynamics.score(sample.t, x, noise, sample.context))


@_with_observed
def denoising_score_matching(dynamics: Dynamics, sample: PathSample) -> Tensor:
    r"""Regress the score on the noise that the states carry.

    .. math::  \mathbb E\, \|\tau\, s(t, \mu_t + \tau z, \sigma_k) + z\|^2 / d

    The default: paths and ladder supply the noise.

    Parameters
    ----------
    dynamics
        Holds the score.
    sample
        Points on paths with `z` and `std`; with `level`, they are perturbed further.

    Raises
    ------
    InputError
        No score, or states that carry no noise at all.

    References
    ----------
    Vincent, A connection between score matching and denoising autoencoders, 2011; Song and Ermon,
    Generative modeling by estimating gradients of the data distribution, NeurIPS 2019, (5), (6).

    Examples
    --------
    >>> recipe = cf.recipes.ot_cfm().with_score()
    >>> score = cf.recipes.Head(cf.fields.MLP, cf.objectives.denoising_score_matching)
    >>> recipe = recipe.with_head("score", score)
    """
    x, noise, tau = _perturbed(dynamics, sample)
    if sample.z is None or not bool((tau > 0).all()):
        msg = (
            "Denoising needs noise: these states carry none. Use a path with a width, noise levels,"
            " or sliced score matching."
        )
        raise InputError(msg)
    error = tau[:, None] * _score(dynamics, sample, x, noise) + sample.z
    return weighted_mean(error.square().mean(dim=1), sample)


@_with_observed
def sliced_score_matching(dynamics: Dynamics, sample: PathSample) -> Tensor:
    r"""Match the score along random directions, without knowing the noise of the states.

    .. math::  \mathbb E\, \tau^2 \big(v^\top \nabla_x (v^\top s) + \tfrac12 \|s\|^2\big) / d,
        \qquad v \sim \mathcal N(0, I)

    For populations without a noise model, and more than some twenty dimensions: one derivative,
    whatever their number. For Gaussian directions the expectation of :math:`(v^\top s)^2` is
    :math:`\|s\|^2`, which takes its place and most of the variance.

    Parameters
    ----------
    dynamics
        Holds the score.
    sample
        Points with `probe`, the directions; with `level`, they are perturbed further.

    References
    ----------
    Song, Garg, Shi and Ermon, Sliced score matching, UAI 2019, eq. (8).

    Examples
    --------
    >>> recipe = cf.recipes.ot_cfm().with_score()
    >>> score = cf.recipes.Head(cf.fields.MLP, cf.objectives.sliced_score_matching)
    >>> recipe = recipe.with_head("score", score)
    """
    if sample.probe is None:
        msg = "Sliced score matching needs random directions; give the sample a `probe`."
        raise InputError(msg)
    x, noise, tau = _perturbed(dynamics, sample)
    training = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        score = _score(dynamics, sample, x, noise)
        (gradient,) = torch.autograd.grad((score * sample.probe).sum(), x, create_graph=training)
    return _hyvaerinen((gradient * sample.probe).sum(dim=1), score, tau, sample)


@_with_observed
def implicit_score_matching(dynamics: Dynamics, sample: PathSample) -> Tensor:
    r"""Match the score with the exact trace of its Jacobian; the noise need not be known.

    .. math::  \mathbb E\, \tau^2 \big(\operatorname{tr} \nabla_x s + \tfrac12 \|s\|^2\big) / d

    One derivative per dimension: exact, for few of them, and the reference for the other two.

    Parameters
    ----------
    dynamics
        Holds the score.
    sample
        Points; with `level`, they are perturbed further.

    References
    ----------
    Hyvärinen, Estimation of non-normalized statistical models by score matching, 2005, eq. (4).

    Examples
    --------
    >>> recipe = cf.recipes.ot_cfm().with_score()
    >>> score = cf.recipes.Head(cf.fields.MLP, cf.objectives.implicit_score_matching)
    >>> recipe = recipe.with_head("score", score)
    """
    x, noise, tau = _perturbed(dynamics, sample)
    training = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        score = _score(dynamics, sample, x, noise)
        # A row depends on its own state only, so one sum serves all rows; torch.func would cost two
        # seconds at its first call.
        columns = [
            torch.autograd.grad(score[:, k].sum(), x, create_graph=True)[0][:, k]
            for k in range(x.shape[1])
        ]
    trace = torch.stack(columns).sum(dim=0)
    return _hyvaerinen(trace if training else trace.detach(), score, tau, sample)


def _hyvaerinen(trace: Tensor, score: Tensor, tau: Tensor, sample: PathSample) -> Tensor:
    """Weighted mean of trace and half square; states without any noise weigh one."""
    loss = (trace + 0.5 * score.square().sum(dim=1)) / score.shape[1]
    return weighted_mean(torch.where(tau > 0, tau.square(), 1.0) * loss, sample)
