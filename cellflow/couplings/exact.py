"""Optimal transport on the full cost matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._neighbors import squared_distances
from cellflow.core._settings import guarded
from cellflow.core.plans import EdgePlan
from cellflow.core.population import Population
from cellflow.couplings.base import cloud, guard_memory, whole
from cellflow.errors import CouplingError

__all__ = ["Exact"]

#: The cost matrix, the plan and the network simplex's own arrays.
_BYTES_PER_PAIR = 40
#: Far above what any solve needs; POT's own default stops short of the optimum from a few thousand
#: cells on.
_MAX_PIVOTS = 10**9


@dataclass(frozen=True)
class Exact:
    """Optimal transport for squared Euclidean cost by POT's network simplex, to machine precision.

    For up to a few thousand cells: a second for 1,500 by 1,500, half a minute for 5,000 by 5,000.
    `Sparse` is faster from about a thousand cells on.

    Parameters
    ----------
    max_cells
        Refuse more pairs than `max_cells` squared, for the sake of memory.

    Raises
    ------
    CouplingError
        The matrix would be larger than allowed, or the solver did not reach the optimum.

    References
    ----------
    Flamary, R. et al. (2021). POT: Python Optimal Transport. JMLR 22.
    Bonneel, N. et al. (2011). Displacement interpolation using Lagrangian mass transport. ACM Trans. Graph. 30.

    Examples
    --------
    >>> near, far = Population(np.array([[0.0], [1.0]]), 0.0), Population(np.array([[1.0], [2.0]]), 1.0)
    >>> Exact()(near, far).cost
    1.0
    """

    max_cells: int = 8000

    def __post_init__(self) -> None:
        whole(max_cells=self.max_cells)

    @guarded
    def __call__(self, source: Population, target: Population) -> EdgePlan:
        """Couple two whole populations."""
        import ot

        centre = target.weight @ target.x
        a = cloud(source, centre)
        b = cloud(target, centre)
        guard_memory(
            f"Exact transport between {len(a.rows):,} and {len(b.rows):,} cells",
            _BYTES_PER_PAIR * len(a.rows) * len(b.rows),
            _BYTES_PER_PAIR * self.max_cells**2,
            f"Use Sparse(), or raise `max_cells` (now {self.max_cells}).",
        )
        costs = squared_distances(a.x, b.x)
        unit = float(costs.max()) or 1.0
        costs /= unit  # POT's tolerance is absolute
        try:
            plan, log = ot.emd(a.weight, b.weight, costs, numItermax=_MAX_PIVOTS, log=True)
        except UserWarning as warning:  # where warnings are errors; elsewhere the log says the same
            msg = (
                f"POT's network simplex ended without an optimal plan ({warning}). Check the"
                " weights, or use Sparse()."
            )
            raise CouplingError(msg) from warning
        error = float(
            np.abs(plan.sum(axis=1) - a.weight).sum() + np.abs(plan.sum(axis=0) - b.weight).sum()
        )
        if log["warning"] is not None or not error < 1e-6:
            msg = (
                f"POT's network simplex ended without an optimal plan (marginal error {error:.2g};"
                f" {log['warning']}). Check the weights, or use Sparse()."
            )
            raise CouplingError(msg)
        i, j = np.nonzero(plan)
        mass = plan[i, j]
        cost = float(mass @ costs[i, j])
        # The duals prove optimality: lowered to feasibility, they bound the optimum from below.
        u = (costs - log["v"]).min(axis=1)
        bound = float(a.weight @ u + b.weight @ log["v"])
        gap = max(0.0, 1.0 - bound / cost) if cost > 1e-12 else 0.0
        if gap > 1e-6:
            msg = (
                f"POT's plan is certified to {gap:.2g} of its cost only, which is not exact. Use"
                " Sparse()."
            )
            raise CouplingError(msg)
        return EdgePlan(
            (len(source), len(target)),
            a.rows[i],
            b.rows[j],
            mass,
            cost * unit,
            0.0 if gap < 1e-12 else gap,
        )
