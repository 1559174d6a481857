"""Plans between the samples of consecutive times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cellflow.core._typing import BoolArray, FloatArray
from cellflow.core.plans import log_factors
from cellflow.core.population import Population
from cellflow.couplings import Coupling

__all__ = ["Block", "Moves", "pair_moves", "stacked"]

#: Matrices with fewer entries than this share are kept sparse.
_SPARSE = 0.2


@dataclass(frozen=True, eq=False)
class Block:
    """The cells of one sample at one time.

    Parameters
    ----------
    population
        In model coordinates; `index` holds the rows of the cells.
    unit, time
        Numbers of the sample and of the time.
    """

    population: Population
    unit: int
    time: int

    def __len__(self) -> int:
        return len(self.population)


class Moves(NamedTuple):
    """What a plan between two samples says about each source cell."""

    moved: BoolArray  # whether it has mass in the plan, `(n,)`
    step: FloatArray  # mean displacement in model coordinates, `(n, d)`; 0 without mass
    offspring: Any  # mass at each target cell per unit of own mass, `(n, m)`; dense or sparse


def pair_moves(coupling: Coupling, source: Population, target: Population) -> Moves:
    r"""Solve the plan of two samples.

    A target cell keeps its weight :math:`b_j`, so of a source cell of weight :math:`a_i` it has

    .. math::  \frac{b_j \pi_{ij} / c_j}{a_i} = \frac{\pi_{ij}}{r_i} \cdot
               \frac{b_j / c_j}{a_i / r_i}

    with :math:`r` and :math:`c` the sums of the plan; the second factor is one in a balanced plan.
    """
    import scipy.sparse as sp

    plan = coupling(source.expected(target.time), target)
    chance = plan.barycentre(np.eye(len(target)))
    moved = np.isfinite(chance).all(axis=1) & (source.weight > 0)
    chance = np.where(moved[:, None], chance, 0.0)
    by_source, by_target = log_factors(plan, source, target)
    step = np.where(moved[:, None], chance @ target.x - source.x, 0.0)
    ratio = np.exp(by_target[None, :] - np.where(moved, by_source, 0.0)[:, None])
    offspring = (chance * ratio).astype(np.float32)
    few = np.count_nonzero(offspring) < _SPARSE * offspring.size
    return Moves(moved, step.astype(np.float32), sp.csr_array(offspring) if few else offspring)


def stacked(matrices: Sequence[Any]) -> Any:
    """Matrices of the same cells beside each other."""
    import scipy.sparse as sp

    if any(sp.issparse(m) for m in matrices):
        return sp.hstack([sp.csr_array(m) for m in matrices], format="csr")
    return np.concatenate(matrices, axis=1)
