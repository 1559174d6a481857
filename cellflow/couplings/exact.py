"""Exact transport between populations of a few thousand cells, on the dense cost matrix."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from cellflow._neighbors import squared_distances
from cellflow.couplings.base import arc_costs, cloud, guard_memory, positive
from cellflow.errors import CouplingError
from cellflow.plan import EdgePlan
from cellflow.population import Population

__all__ = ["Exact"]

#: POT's own default of 10^5 pivots ends 3 % above the optimum on 4,000 cells.
_PIVOTS = 10**8


@dataclass(frozen=True)
class Exact:
    """Optimal transport by the dense network simplex of POT.

    Parameters
    ----------
    max_bytes
        Largest memory for the cost matrix and the plan; 4 GB by default, about 16,000 by 16,000 cells.

    References
    ----------
    Bonneel et al., Displacement interpolation using Lagrangian mass transport, ACM Trans. Graphics 2011; Flamary et al., POT:
    Python Optimal Transport, JMLR 2021.
    """

    max_bytes: float = 4e9

    def __post_init__(self) -> None:
        positive(max_bytes=self.max_bytes)

    def __call__(self, source: Population, target: Population) -> EdgePlan:
        """Couple two populations of any sizes and weights.

        Raises
        ------
        CouplingError
            Above the memory limit, or where the solver gives up.
        """
        import ot

        guard_memory(
            f"An exact plan of {len(source):,} by {len(target):,} cells",
            16.0 * len(source) * len(target),
            self.max_bytes,
            "Use couplings.Sparse, or raise max_bytes.",
        )
        centre = target.weight @ target.x.astype(np.float64)
        a, b = cloud(source, centre), cloud(target, centre)
        cost = squared_distances(a.x, b.x)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                matrix, log = ot.emd(a.weight, b.weight, cost, numItermax=_PIVOTS, log=True)
            except UserWarning as failure:
                msg = f"The exact plan of {len(source):,} by {len(target):,} cells was not solved: {failure}"
                raise CouplingError(msg) from failure
        i, j = np.nonzero(matrix)
        mass = matrix[i, j]
        row_error = np.abs(np.bincount(i, mass, len(a.weight)) - a.weight).max()
        missing = max(row_error, np.abs(np.bincount(j, mass, len(b.weight)) - b.weight).max())
        if not missing < 1e-9:
            msg = f"The exact plan of {len(source):,} by {len(target):,} cells misses its marginals by {missing:.3g}."
            raise CouplingError(msg)
        value = float(mass @ arc_costs(a.x, b.x, i, j))
        # Weak duality: potentials made feasible by a c-transform bound the optimum from below.
        u = (cost - log["v"][None, :]).min(axis=1)
        bound = float(a.weight @ u + b.weight @ log["v"])
        gap = max(0.0, (value - bound) / value) if value > 0 else 0.0
        return EdgePlan((len(source), len(target)), a.rows[i], b.rows[j], mass, value, gap)
