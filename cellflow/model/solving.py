"""Solves the plan of every interval, and says by which coupling and why."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
from tqdm import tqdm

from cellflow.core._progress import is_shown
from cellflow.core.conditions import shared_conditions
from cellflow.core.plans import BlockPlan, Plan
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Auto, Coupling, Lineage
from cellflow.model.description import describe

__all__ = ["solve_plans"]

logger = logging.getLogger("cellflow")


def solve_plans(
    snapshots: Snapshots,
    coupling: Coupling,
    *,
    progress: bool | None = False,
    level: int = logging.INFO,
) -> tuple[list[Plan], dict[str, dict[str, Any]]]:
    """Solve the plan of every interval on the whole populations, or on those of each condition.

    Returns the plans, and a summary of each by `"0.0_to_24.0"`. A progress bar and a line of the
    log, at the given level, name the solver before it starts.
    """
    plans = []
    summaries = {}
    intervals = snapshots.intervals
    with tqdm(
        desc="plans", total=len(intervals), unit="plan", disable=not is_shown(progress)
    ) as bar:
        for source, target in intervals:
            key = f"{source.time}_to_{target.time}"
            start = time.perf_counter()
            inside = _solved if snapshots.n_context == 0 else _solved_inside
            plan, choice = inside(source, target, coupling, key, bar, level)
            plans.append(plan)
            summaries[key] = choice | _facts(plan) | {"seconds": time.perf_counter() - start}
            bar.update()
    return plans, summaries


def _facts(plan: Plan) -> dict[str, Any]:
    n, m = plan.shape
    facts = {"n_source": n, "n_target": m, "cost": plan.cost, "gap": plan.gap}
    return facts | {"total": plan.total}


def _solved(
    source: Population,
    target: Population,
    coupling: Coupling,
    key: str,
    bar: tqdm[None],
    level: int,
) -> tuple[Plan, dict[str, Any]]:
    """One plan, with the coupling that solved it and why it was chosen."""
    reason = "as the recipe says"
    about: dict[str, Any] = {}
    if isinstance(coupling, Auto | Lineage):
        coupling, reason = coupling.choose(len(source), len(target), source.x.shape[1])
    name = _name(coupling)
    sizes = f"{len(source):,} x {len(target):,} cells"
    bar.set_postfix_str(f"{key}: {sizes}, {name}")
    logger.log(level, "plan %s: %s, by %s (%s)", key, sizes, name, reason)
    expected = source.expected(target.time)
    if isinstance(coupling, Lineage):
        plan, clonal = coupling.explained(expected, target)
        about = {"clonal": clonal._asdict()}
    else:
        plan = coupling(expected, target)
    logger.log(level, "plan %s: cost %.4g, gap %s", key, plan.cost, plan.gap)
    return plan, {"coupling": describe(coupling), "reason": reason} | about


def _name(coupling: Coupling) -> str:
    inner = f"({type(coupling.coupling).__name__})" if isinstance(coupling, Lineage) else ""
    return type(coupling).__name__ + inner


def _solved_inside(
    source: Population,
    target: Population,
    coupling: Coupling,
    key: str,
    bar: tqdm[None],
    level: int,
) -> tuple[Plan, dict[str, Any]]:
    """A plan inside each condition, weighted by its share of the source cells."""
    plans = []
    rows = []
    columns = []
    conditions = {}
    for k, (_, here, there) in enumerate(shared_conditions(source, target)):
        name = str(k)  # in the order of `shared_conditions`; features may be too many for a name
        plan, choice = _solved(
            source.part(here), target.part(there), coupling, f"{key}, condition {name}", bar, level
        )
        plans.append(plan)
        rows.append(here)
        columns.append(there)
        conditions[name] = choice | _facts(plan)
    shares = np.array([source.weight[here].sum() for here in rows])
    joined = BlockPlan((len(source), len(target)), plans, rows, columns, shares)
    return joined, {
        "coupling": describe(coupling),
        "reason": "inside each condition",
        "conditions": conditions,
    }
