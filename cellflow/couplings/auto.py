"""The coupling for people who do not want to choose one."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from cellflow.couplings.base import Coupling, positive
from cellflow.couplings.exact import Exact
from cellflow.plan import Plan
from cellflow.population import Population

__all__ = ["Auto"]

logger = logging.getLogger("cellflow")


@dataclass(frozen=True)
class Auto:
    """Optimal transport by the solver that suits the size; says which and why.

    Parameters
    ----------
    tol
        Certified relative gap that the sparse solver stops at.
    """

    tol: float = 1e-3

    def __post_init__(self) -> None:
        positive(tol=self.tol)

    def choose(self, n_source: int, n_target: int, n_dims: int) -> tuple[Coupling, str]:
        """Return the coupling for populations of these sizes, and the reason."""
        return Exact(), "interim"

    def __call__(self, source: Population, target: Population) -> Plan:
        """Couple two populations."""
        coupling, reason = self.choose(len(source), len(target), source.x.shape[1])
        return coupling(source, target)
