"""Transport between small random batches, as the literature couples during training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from cellflow.core._neighbors import paired_squares
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed, stream, systematic
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans import EdgePlan
from cellflow.core.population import Population
from cellflow.couplings.base import Coupling
from cellflow.couplings.exact import Exact
from cellflow.errors import InputTypeError

__all__ = ["Minibatch"]


@dataclass(frozen=True)
class Minibatch:
    r"""Another coupling, applied to random batches; the plan is the mean of theirs.

    .. math:: \pi = \frac1K \sum_k \pi_k

    The reference that published methods use, not a recommendation: the plan of small batches blurs
    the optimal one. All batches are solved up front, so that it is a plan like the others. Over all
    batches, each cell takes part as often as its weight says, to within one draw; the marginals are
    therefore exact to within `1 / (n_batches * batch_size)` per cell.

    Parameters
    ----------
    inner
        The coupling of a batch.
    batch_size
        Cells drawn from either side.
    n_batches
        How many batches are solved.
    random_state
        Seed of the draws.

    References
    ----------
    Tong, A. et al. (2024). Improving and generalizing flow-based generative models with minibatch
    optimal transport. TMLR.
    Fatras, K. et al. (2021). Minibatch optimal transport distances; analysis and applications.
    arXiv:2101.01792.

    Examples
    --------
    >>> system = cf.synthetic.Rotation()
    >>> source, target = system.sample(100, [0.0, 1.0], np.random.default_rng(0)).populations
    >>> minibatch = cf.couplings.Minibatch(batch_size=50, n_batches=20)
    >>> minibatch(source, target).cost > cf.couplings.Exact()(source, target).cost
    True
    """

    inner: Coupling = field(default_factory=Exact)
    batch_size: int = 256
    n_batches: int = 100
    random_state: int = 0

    def __post_init__(self) -> None:
        as_count("batch_size", self.batch_size)
        as_count("n_batches", self.n_batches)
        if isinstance(self.inner, type) or not callable(self.inner):
            msg = f"inner={self.inner!r} is no coupling; pass an instance, such as Exact()."
            raise InputTypeError(msg)
        object.__setattr__(self, "random_state", as_seed(self.random_state))

    @guarded
    def __call__(self, source: Population, target: Population) -> EdgePlan:
        """Couple two whole populations."""
        rng = stream(self.random_state)
        batches = zip(self._draw(source.weight, rng), self._draw(target.weight, rng), strict=True)
        edges = [self._edges(source, target, rows, columns, rng) for rows, columns in batches]
        i, j, mass = (np.concatenate(part) for part in list(zip(*edges, strict=True))[:3])
        cost = float(mass @ paired_squares(source.x, target.x, i, j) / mass.sum())
        total = float(np.mean([of_batch for *_, of_batch in edges]))
        return EdgePlan((len(source), len(target)), i, j, mass, cost, total=total)

    def _draw(self, weight: FloatArray, rng: np.random.Generator) -> IntArray:
        """Rows of all batches, shape `(n_batches, batch_size)`: one systematic sample, shuffled."""
        rows = systematic(weight, self.n_batches * self.batch_size, rng)
        return rng.permutation(rows).reshape(self.n_batches, self.batch_size)

    def _edges(
        self,
        source: Population,
        target: Population,
        rows: IntArray,
        columns: IntArray,
        rng: np.random.Generator,
    ) -> tuple[IntArray, IntArray, FloatArray, float]:
        """Solve one batch: rows, columns and mass of its edges, and its total."""
        # Cells were drawn by their weights, and count equally now.
        equal = np.ones(self.batch_size)
        plan = self.inner(
            replace(source.part(rows), weight=equal), replace(target.part(columns), weight=equal)
        )
        if isinstance(plan, EdgePlan):
            return rows[plan.i], columns[plan.j], plan.mass, plan.total
        i, j = plan.sample(self.batch_size, rng)
        mass = np.full(self.batch_size, plan.total / self.batch_size)
        return rows[i], columns[j], mass, plan.total
