r"""Mass that goes from label to label between snapshots, by the plans of a fit.

Let a plan :math:`\pi` have row sums :math:`r` and column sums :math:`c`, and let the cells have the
masses :math:`a` before and :math:`b` after the interval. A pair starts with the mass
:math:`\mu_{ij} = a_i \pi_{ij} / r_i` and ends with :math:`\nu_{ij} = b_j \pi_{ij} / c_j`, as in
`cellflow.core.plans.growing`. Over several intervals pairs are chained cell by cell. So the masses
of the labels at both ends are those that were measured, whatever the plan: for a balanced plan the
two masses are equal, and for one with relaxed marginals their ratio is the growth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core.plans import Plan
from cellflow.core.population import Population, Snapshots
from cellflow.model.base import FittedDynamics
from cellflow.model.coupled import couple_again

__all__ = ["LabelFlow", "label_flow", "label_flows"]


@dataclass(frozen=True, eq=False)
class LabelFlow:
    """Mass from each label to each label between two times.

    Parameters
    ----------
    from_time, time
        Both times.
    before, after
        Mass at the start and at the end of what goes from label `i` (row) to label `j` (column),
        shape `(k, k)`.
    source, target
        Mass of each label at both times, shape `(k,)`. The sums of `before` and `after` are less
        where cells have no mass in the plan.
    """

    from_time: float
    time: float
    before: FloatArray
    after: FloatArray
    source: FloatArray
    target: FloatArray


def label_flows(
    flow: FittedDynamics, snapshots: Snapshots, codes: np.ndarray, n: int, times: FloatArray
) -> list[LabelFlow]:
    """Mass between `n` labels over each interval between `times`, by the coupling of a fit.

    Parameters
    ----------
    flow
        The fit; its plans are solved again.
    snapshots
        Measured cells.
    codes
        Number of the label of every cell by its row of origin (`Population.index`).
    n
        Number of labels.
    times
        At least two times of snapshots, increasing.

    Raises
    ------
    InputError, CouplingError
        See `cellflow.model.coupled.couple_again`.
    """
    within = (snapshots.times >= times[0]) & (snapshots.times <= times[-1])
    asked = Snapshots(tuple(snapshots[int(k)] for k in np.flatnonzero(within)))
    plans = couple_again(flow, asked)
    place = [int(np.flatnonzero(asked.times == t)[0]) for t in times]
    return [label_flow(asked[a], asked[b], plans[a:b], codes, n) for a, b in pairwise(place)]


def label_flow(
    source: Population, target: Population, plans: Sequence[Plan], codes: np.ndarray, n: int
) -> LabelFlow:
    """Mass between labels from one population to another, over the plans that connect them."""
    start = _member(source, codes, n)
    end = _member(target, codes, n)
    going = end
    for plan in reversed(plans):
        going = np.nan_to_num(plan.barycentre(going))
    coming = start
    for plan in plans:
        coming = np.nan_to_num(plan.barycentre(coming, "target"))
    a = source.mass * source.weight
    b = target.mass * target.weight
    return LabelFlow(
        source.time,
        target.time,
        (start * a[:, None]).T @ going,
        coming.T @ (end * b[:, None]),
        start.T @ a,
        end.T @ b,
    )


def _member(cells: Population, codes: np.ndarray, n: int) -> FloatArray:
    """One in the column of the label of each cell, `(m, n)`."""
    member = np.zeros((len(cells), n))
    member[np.arange(len(cells)), codes[cells.index]] = 1.0
    return member
