"""Generated cells of one time and condition, compared with the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.generation import (
    Resemblance,
    compare,
    draw_conditions,
    generate,
    generate_with_log_prob,
)
from cellflow.analysis.prediction import of_condition
from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["Generated", "generate_cells"]


@dataclass(frozen=True, eq=False)
class Generated:
    """Generated cells.

    Parameters
    ----------
    x
        Positions, shape `(n, d)`.
    context
        Features of their conditions, shape `(n, c)`; None for a flow without conditions.
    log_density
        In nats, shape `(n,)`; None where it was not asked for.
    resemblance
        The comparison with real cells; None where there are too few of these.
    """

    x: FloatArray
    context: FloatArray | None
    log_density: FloatArray | None
    resemblance: Resemblance | None


def generate_cells(
    flow: Flow,
    snapshots: Snapshots,
    time: float,
    *,
    n_obs: int,
    condition: FloatArray | None = None,
    with_log_prob: bool = False,
    random_state: int = 0,
) -> Generated:
    """Generate cells, and compare them with the measured ones of the same time and condition.

    Parameters
    ----------
    flow
        Fitted by a recipe that generates.
    snapshots
        The measured cells.
    time, n_obs
        See `cellflow.analysis.generation.generate`.
    condition
        Features of the condition, shape `(c,)`. None draws the conditions of the cells in measured
        proportions.
    with_log_prob
        Compute the log-density.
    random_state
        Seed.
    """
    context = None
    if condition is not None:
        context = np.broadcast_to(condition, (n_obs, len(condition)))
    elif snapshots.n_context:
        context = draw_conditions(snapshots, time, n_obs, random_state=random_state)
    log_density = None
    if with_log_prob:
        x, log_density = generate_with_log_prob(
            flow, time, n_obs=n_obs, context=context, random_state=random_state
        )
    else:
        x = generate(flow, time, n_obs=n_obs, context=context, random_state=random_state)
    resemblance = _compared(snapshots, time, condition, x, random_state)
    return Generated(x, context, log_density, resemblance)


def _compared(
    snapshots: Snapshots, time: float, condition: FloatArray | None, made: FloatArray, seed: int
) -> Resemblance | None:
    """The comparison with the real cells of this time and condition, as far as there are any."""
    here = [p for p in snapshots.populations if p.time == time]
    if here and condition is not None:
        chosen, measured = of_condition(Snapshots(tuple(here)), condition)
        here = list(chosen.populations) if measured else []
    return compare(made, here[0].x, weight=here[0].weight, random_state=seed) if here else None
