"""Optimal transport by the solver that suits the number of pairs: `Exact` or `Sparse`."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from cellflow.core._numbers import as_number
from cellflow.core._settings import guarded
from cellflow.core.plans import Plan
from cellflow.core.population import Population
from cellflow.couplings.base import Coupling
from cellflow.couplings.exact import Exact
from cellflow.couplings.sparse import Sparse

__all__ = ["Auto"]

logger = logging.getLogger("cellflow")

#: Up to this many pairs the dense solver needs less than a second.
_DENSE_PAIRS = 1_000**2
#: In two dimensions candidate arcs are hard to choose: up to this many pairs, of which the dense
#: solver takes some seconds, it is preferred.
_FLAT_PAIRS = 3_000**2


@dataclass(frozen=True)
class Auto:
    """Optimal transport by the solver that suits the size; says which and why.

    Parameters
    ----------
    tol
        Certified relative gap that the sparse solver stops at.

    Examples
    --------
    >>> system = cf.synthetic.Rotation()
    >>> source, target = system.sample(100, [0.0, 1.0], np.random.default_rng(0)).populations
    >>> plan = cf.couplings.Auto()(source, target)
    >>> plan.shape, plan.gap
    ((100, 100), 0.0)
    """

    tol: float = 1e-3

    def __post_init__(self) -> None:
        as_number("tol", self.tol, above=0.0)

    def choose(self, n_source: int, n_target: int, n_dims: int) -> tuple[Coupling, str]:
        """Return the coupling for populations of these sizes, and the reason in words."""
        pairs = n_source * n_target
        if pairs <= _DENSE_PAIRS:
            return Exact(), f"{pairs:,} pairs are few enough for the dense solver"
        if n_dims == 2 and pairs <= _FLAT_PAIRS:
            return (
                Exact(),
                f"{pairs:,} pairs in two dimensions, where candidate arcs are hard to choose",
            )
        return Sparse(tol=self.tol), f"{pairs:,} pairs are too many for the dense solver"

    @guarded
    def __call__(self, source: Population, target: Population) -> Plan:
        """Couple two populations of any sizes and weights."""
        coupling, reason = self.choose(len(source), len(target), source.x.shape[1])
        logger.info("couplings.Auto takes %s: %s", type(coupling).__name__, reason)
        return coupling(source, target)
