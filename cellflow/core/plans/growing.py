r"""Pairs of a plan between populations that grow and shrink.

A plan :math:`\pi` with row sums :math:`r` and column sums :math:`c` pairs cells; it need not have
the weights :math:`a` and :math:`b` of the populations as marginals. A source cell keeps its weight,
so its pairs start with the masses :math:`\mu_{ij} = a_i \pi_{ij} / r_i`; a target cell keeps its
own, so its pairs end with :math:`\nu_{ij} = b_j \pi_{ij} / c_j`. In between, a pair has the mass
:math:`\mu^{1-s} \nu^s`: it grows at the constant rate :math:`\log(\nu / \mu)` per interval. The
populations that start and end the paths then are the snapshots, whatever the plan.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellflow.core._random import systematic
from cellflow.core._typing import BoolArray, FloatArray, IntArray
from cellflow.core.plans.base import Plan
from cellflow.core.population import Population

__all__ = ["GrowingPairs", "growing_pairs", "log_factors", "mass_at"]


class GrowingPairs(NamedTuple):
    """Rows of both cells, relative growth, and whether the source was drawn first, each `(k,)`."""

    i: IntArray
    j: IntArray
    log_ratio: FloatArray  # logarithm of the mass at the end relative to that at the start
    by_source: BoolArray


def log_factors(
    plan: Plan, source: Population, target: Population
) -> tuple[FloatArray, FloatArray]:
    r"""Logarithms of :math:`a_i / r_i` `(n,)` and :math:`b_j / c_j` `(m,)`.

    Weights are those of the cells that have mass in the plan, scaled to sum to one; the others get
    `-inf`. The relative growth of a pair is the second minus the first.
    """
    sides = ((source.weight, plan.row_mass), (target.weight, plan.col_mass))
    found = []
    for weight, mass in sides:
        alive = (mass > 0) & (weight > 0)
        factor = np.full(len(weight), -np.inf)
        factor[alive] = np.log(weight[alive] / weight[alive].sum()) - np.log(mass[alive])
        found.append(factor)
    return found[0], found[1]


def growing_pairs(
    plan: Plan, source: Population, target: Population, n: int, rng: np.random.Generator
) -> GrowingPairs:
    """Draw `n` pairs by the masses at their starts, and as many by those at their ends.

    The cells on the side of each draw are drawn by systematic resampling, so that every cell of
    enough weight is among them.
    """
    by_source, by_target = log_factors(plan, source, target)
    first = systematic(source.weight * np.isfinite(by_source), n, rng)
    last = systematic(target.weight * np.isfinite(by_target), n, rng)
    i = np.concatenate([first, plan.partners(last, rng, "target")])
    j = np.concatenate([plan.partners(first, rng, "source"), last])
    return GrowingPairs(i, j, by_target[j] - by_source[i], np.arange(2 * n) < n)


def mass_at(log_ratio: FloatArray, share: float | FloatArray) -> FloatArray:
    r"""Masses of drawn pairs at an elapsed share of their interval, relative to their frequency.

    .. math::  \frac{\mu^{1-s} \nu^s}{(\mu + \nu) / 2} = \frac{2 k^s}{1 + k}, \qquad k = \nu / \mu

    It is at most two.
    """
    half = 0.5 * np.abs(log_ratio)
    mass: FloatArray = 2.0 * np.exp((share - 0.5) * log_ratio - half) / (1.0 + np.exp(-2.0 * half))
    return mass
