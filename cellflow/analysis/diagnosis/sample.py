"""The cells that a diagnosis judges, and where the fit takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.celltypes import same_condition
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray
from cellflow.core.conditions import shared_conditions
from cellflow.core.population import Population, Snapshots
from cellflow.errors import naming_cells

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics
    from cellflow.simulation import Trajectories

__all__ = ["Sample", "matched", "simulated"]

#: Stream of the seed that draws the cells.
_CELLS = 0


@dataclass(frozen=True, eq=False)
class Sample:
    """Some cells of every snapshot, and where they are at the times of all others.

    Parameters
    ----------
    flow
        The fit.
    snapshots
        All measured cells, in data coordinates.
    some
        The cells of each snapshot that are judged.
    states
        Of each snapshot: the trajectories of its cells to the times of all snapshots.
    seed
        Of all draws.
    """

    flow: FittedDynamics
    snapshots: Snapshots
    some: Sequence[Population]
    states: Sequence[Trajectories]
    seed: int

    @classmethod
    def drawn(cls, flow: FittedDynamics, snapshots: Snapshots, n_cells: int, seed: int) -> Sample:
        """Draw about `n_cells` cells of each snapshot, and simulate them."""
        some = [
            _some(p, n_cells, stream(seed, _CELLS, k)) for k, p in enumerate(snapshots.populations)
        ]
        states = [simulated(flow, p, snapshots.times) for p in some]
        return cls(flow, snapshots, some, states, seed)


def _some(population: Population, n: int, rng: np.random.Generator) -> Population:
    """About `n` cells of positive weight, or all; of every condition its share."""
    rows = rng.permutation(np.flatnonzero(population.weight > 0))
    share = min(1.0, n / len(rows))
    context = None if population.context is None else population.context[rows]
    groups = [
        group[: int(np.ceil(share * len(group)))]
        for group, _ in same_condition(context, len(rows), context, len(rows))
    ]
    return population.part(np.sort(rows[np.concatenate(groups)]))


def simulated(flow: FittedDynamics, population: Population, times: FloatArray) -> Trajectories:
    """Trajectories of a population."""
    with naming_cells(population.index):
        return flow.simulate(population.x, population.time, times, context=population.context)


def matched(source: Population, target: Population) -> FloatArray:
    """Weights of the target cells, with every condition at its share of the source.

    Paths do not leave their condition, so its share does not change along them.
    """
    if source.context is None:
        return target.weight
    weight = np.zeros(len(target))
    for _, here, there in shared_conditions(source, target):
        weight[there] = target.weight[there] * (
            source.weight[here].sum() / target.weight[there].sum()
        )
    return weight
