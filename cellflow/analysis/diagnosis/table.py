"""All checks of a fit, as a table and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.celltypes import TypeMoves, type_moves
from cellflow.analysis.diagnosis.gradients import gradients
from cellflow.analysis.diagnosis.paths import interval, is_informed
from cellflow.analysis.diagnosis.reach import missed_share
from cellflow.analysis.diagnosis.sample import Sample
from cellflow.analysis.diagnosis.speed import middle_speed, speed
from cellflow.analysis.verdict import FEW, verdict
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed
from cellflow.core._typing import RandomState
from cellflow.core.population import Snapshots
from cellflow.metrics.lineages import Lineage

if TYPE_CHECKING:
    from cellflow.analysis.density import EvolvingDensity
    from cellflow.core.plans import Plan
    from cellflow.model.base import FittedDynamics

__all__ = ["Diagnosis", "diagnose"]

_COUNTS = ("n_cells", "region_cell")

_COLUMNS = (
    "time",
    "n_cells",
    "cosine_score_shift",
    "cosine_density_shift",
    "cosine_score_density",
    "cosine_limit",
    "effective_samples",
    "bandwidth",
    "noise",
    "unreached",
    "from_time",
    "round_trip",
    "energy_ratio",
    "detour",
    "end_distance",
    "end_distance_expected",
    "imbalance",
    "imbalance_expected",
    "imbalance_limit",
    "region_cell",
    "region_pushed",
    "region_observed",
    "speed_ratio",
    "speed_cosine",
    "middle_ratio",
    "middle_cosine",
    "types_plan",
    "types_least",
    "types_unmoved",
    "types_pushed",
)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Result of the checks of a fit.

    Parameters
    ----------
    table
        Columns with one value per snapshot, in the order of time; those of an interval are in the
        row of its end, and NaN in the first. Lengths, noise and bandwidth are in model coordinates.

        - `time`, `n_cells`: of the snapshot, and the number of its cells that were judged;
        - `cosine_score_shift`, `cosine_density_shift`, `cosine_score_density`: mean cosines of the
          score head, the gradient of the log-density of the dynamics, and the mean shift of the
          cells; `cosine_limit` is the cosine between the true gradient and the mean shift (see
          `reliability`); `bandwidth` is the median of its kernel, `noise` the level of the ladder
          nearest to it, at which the score is taken;
        - `effective_samples`: median effective number of samples of a gradient of the density (see
          `density_gradient`);
        - `unreached`: share of cells that no path from any other snapshot comes near, 0.01 by
          chance;
        - `from_time`: start of the interval; `round_trip`;
        - `energy_ratio`: path energy over the squared distance W2 of the two snapshots, and
          `detour`: over that of the cells and where their own paths end, at least 1;
        - `end_distance`, `end_distance_expected`: Wasserstein distance W1 from pushed to measured
          cells, and between halves of the measured ones;
        - `imbalance`, `imbalance_expected`, `imbalance_limit`: see `MassBalance`; `region_cell`
          (row of origin, -1 for none), `region_pushed` and `region_observed` are of the most
          conspicuous region;
        - `speed_ratio`, `speed_cosine`: size and cosine of the mean velocity of the snapshot's
          cells, against the displacement of the snapshots' means per unit of time, in data
          coordinates: of the intervals on both sides, weighted so that a mean on a parabola has
          ratio 1. `middle_ratio`, `middle_cosine`: of pushed cells in the middle of the interval,
          against its displacement. NaN where the means move less than three times what chance makes
          of them, or turn back;
        - with types of cells, shares of mass that goes to a type which is neither the cell's own
          nor a descendant: `types_plan` of the plan, `types_least` the least that the change of
          shares forces on it, `types_unmoved` of early cells that take the type of the nearest late
          cell without a motion, `types_pushed` of pushed cells.
    verdict
        The table in sentences.
    types
        Mass between types, by interval; empty without types, None where an end has none.
    """

    table: Mapping[str, np.ndarray]
    verdict: tuple[str, ...]
    types: tuple[TypeMoves | None, ...] = ()


def diagnose(
    flow: FittedDynamics,
    snapshots: Snapshots,
    *,
    density: EvolvingDensity | None = None,
    plans: Sequence[Plan] | None = None,
    labels: np.ndarray | None = None,
    lineage: Lineage | None = None,
    n_cells: int = 1000,
    random_state: RandomState = 0,
) -> Diagnosis:
    """Check whether the parts of a fit agree, where its paths go and which cells they miss.

    Parameters
    ----------
    flow
        The fit.
    snapshots
        Measured cells in data coordinates, with their conditions where the fit has them; usually
        those it was made with.
    density
        Of the dynamics, from a learned source; without it, its gradient is left out. It takes 128
        evaluations for each of 50 cells of a snapshot in 5 dimensions, and of 10 in 25 dimensions
        and more: on one core about 4 and, in 50 dimensions, 8 seconds for every interval back to
        the source.
    plans
        Transport plans of the fit between consecutive snapshots, for the mass between types.
    labels
        Type of every cell by its row of origin (`Population.index`), None where a cell has none;
        needs `plans`.
    lineage
        Descendants of each type, see `cellflow.metrics.lineage_consistency`; None: a cell should
        keep its type.
    n_cells
        Cells of each snapshot that are judged, at least ten; drawn without replacement, of every
        condition its share.
    random_state
        Seed of that draw and of all others.

    Returns
    -------
    `Diagnosis`.

    Raises
    ------
    InputError
        Unusable numbers, conditions without partners, times that are not finite.
    IntegrationError
        A state that stops being finite.

    Notes
    -----
    The squared distance of an interval is the cost of the fit's own plan where its optimality is
    certified and the number of cells is the same, else that of an optimal plan that is solved here.
    Finite clouds are farther apart than their populations, so the energy ratio of a good fit is
    below one where cells are few or dimensions many. `detour` has no such bias, because cells and
    the ends of their paths are paired already.
    """
    n_cells = as_count("n_cells", n_cells, least=FEW)
    sample = Sample.drawn(flow, snapshots, n_cells, as_seed(random_state))
    types = () if labels is None or plans is None else _types(sample, plans, labels, lineage)
    rows = []
    for k, some in enumerate(sample.some):
        row: dict[str, float] = {"time": some.time, "n_cells": len(some)}
        row |= gradients(sample, k, density)
        row["unreached"] = missed_share(sample, k)
        row |= speed(sample, k)
        if k > 0:
            row |= interval(sample, k) | middle_speed(sample, k)
            row |= _by_types(types[k - 1] if types else None)
        rows.append(row)
    table = {name: _column(name, rows) for name in _COLUMNS}
    has = {"has_score": "score" in flow.heads, "has_density": density is not None}
    has["informed"] = is_informed(flow.recipe)
    return Diagnosis(table, verdict(table, **has, types=types), types)


def _column(name: str, rows: list[dict[str, float]]) -> np.ndarray:
    """One column of the table; a missing count is -1, a missing number NaN."""
    if name in _COUNTS:
        return np.array([row.get(name, -1) for row in rows], dtype=np.int64)
    return np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)


def _types(
    sample: Sample, plans: Sequence[Plan], labels: np.ndarray, lineage: Lineage | None
) -> tuple[TypeMoves | None, ...]:
    """Mass between types, by interval, in model coordinates."""
    to_model = sample.flow.frame.to_model
    inside = sample.snapshots.moved([to_model(p.x) for p in sample.snapshots.populations])
    return tuple(
        type_moves(
            source,
            target,
            plan,
            labels,
            lineage=lineage,
            some=replace(sample.some[k], x=to_model(sample.some[k].x)),
            pushed=to_model(sample.states[k].x[k + 1]),
        )
        for k, ((source, target), plan) in enumerate(zip(inside.intervals, plans, strict=True))
    )


def _by_types(found: TypeMoves | None) -> dict[str, float]:
    """Columns of the mass between types."""
    if found is None:
        return {}
    return {
        "types_plan": found.by_plan,
        "types_least": found.by_shares,
        "types_unmoved": found.by_staying,
        "types_pushed": found.by_push,
    }
