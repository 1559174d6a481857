"""Transport within minibatches: the literature's way, kept for comparison."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cellflow._random import as_seed, stream
from cellflow.couplings.base import Coupling, arc_costs, positive
from cellflow.couplings.exact import Exact
from cellflow.errors import InputError
from cellflow.plan import EdgePlan
from cellflow.population import Population

__all__ = ["Minibatch"]


@dataclass(frozen=True)
class Minibatch:
    """Draw batches from both populations, couple each, and join the plans.

    Its cost is that of small problems, above the optimum of the whole populations by a bias that shrinks slowly with the
    batch. All batches are solved up front, so that it is a plan of edges like the others and can be drawn from for ever.

    Parameters
    ----------
    inner
        Couples a batch; must give a plan of edges.
    batch_size
        Cells drawn from each side, with replacement, by weight.
    n_batches
        Batches to solve.
    random_state
        Seed of the draws.

    References
    ----------
    Fatras et al., Learning with minibatch Wasserstein, AISTATS 2020; Tong et al., Improving and generalizing
    flow-based generative models with minibatch optimal transport, TMLR 2024.
    """

    inner: Coupling = field(default_factory=Exact)
    batch_size: int = 256
    n_batches: int = 100
    random_state: int = 0

    def __post_init__(self) -> None:
        positive(batch_size=self.batch_size, n_batches=self.n_batches)
        as_seed(self.random_state)

    def __call__(self, source: Population, target: Population) -> EdgePlan:
        """Couple two populations of any sizes and weights.

        Raises
        ------
        InputError
            The inner coupling gives no edges.
        """
        rng = stream(self.random_state)
        rows, columns, masses = [], [], []
        for _ in range(self.n_batches):
            drawn = [rng.choice(len(population), size=self.batch_size, p=population.weight) for population in (source, target)]
            batch = [Population(p.x[d], p.time) for p, d in zip((source, target), drawn, strict=True)]
            plan = self.inner(*batch)
            if not isinstance(plan, EdgePlan):
                msg = f"inner={self.inner!r} gives a {type(plan).__name__}; a minibatch plan needs edges (couplings.Exact)."
                raise InputError(msg)
            rows.append(drawn[0][plan.i])
            columns.append(drawn[1][plan.j])
            masses.append(plan.mass / self.n_batches)
        i, j, mass = np.concatenate(rows), np.concatenate(columns), np.concatenate(masses)
        return EdgePlan((len(source), len(target)), i, j, mass, float(mass @ arc_costs(source.x, target.x, i, j)))
