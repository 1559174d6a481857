"""Regression of growth rates."""

from __future__ import annotations

from torch import Tensor

from cellflow.errors import InputError
from cellflow.fields.dynamics import Dynamics
from cellflow.objectives.base import weighted_mean
from cellflow.paths.base import PathSample

__all__ = ["growth_matching"]


def growth_matching(dynamics: Dynamics, sample: PathSample) -> Tensor:
    r"""Regress the head `growth` on the growth rates of pairs, weighted by their masses.

    .. math::  \mathbb E\, w\, \tau^2 (g(t, x_t) - \dot w / w)^2,
               \qquad w = \mu^{1-s} \nu^s

    with :math:`\mu` and :math:`\nu` the masses of a pair at its ends and :math:`\tau` the unit of
    time. With the velocity regressed under the same weights, the minimisers carry the weighted
    snapshots into each other; without the weights they would not.

    Parameters
    ----------
    dynamics
        Holds the head, a rate `(t, x) -> (n,)`.
    sample
        Points on paths with `weight` and `growth`.

    Raises
    ------
    InputError
        Points without growth: the recipe has no head that is the rate of `log_weight`.

    References
    ----------
    The continuity equation with a source, :math:`\partial_t \rho + \nabla (\rho v) = \rho g`:
    Chizat et al., Unbalanced optimal transport: dynamic and Kantorovich formulations, J. Funct.
    Anal. 2018; Liero, Mielke and Savare, Optimal entropy-transport problems, Invent. Math. 2018.

    Examples
    --------
    >>> recipe = cf.recipes.ot_cfm().with_growth()
    >>> recipe.heads["growth"].objective is cf.objectives.growth_matching
    True
    """
    if sample.growth is None:
        msg = (
            "Growth matching needs pairs that carry mass; expected a head with along='log_weight',"
            " as Recipe.with_growth makes it."
        )
        raise InputError(msg)
    rate = dynamics.rate("growth", sample.t, sample.x, sample.context)
    return weighted_mean(((rate - sample.growth) * dynamics.unit).square(), sample)
