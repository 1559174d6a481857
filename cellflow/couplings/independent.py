"""The independent coupling, the maximum of entropy among the plans with its marginals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._settings import guarded
from cellflow.core.plans import ProductPlan
from cellflow.core.population import Population

__all__ = ["Independent"]


@dataclass(frozen=True)
class Independent:
    r"""The product of the two populations: :math:`\pi_{ij} = a_i b_j`.

    References
    ----------
    Tong, A. et al. (2024). Improving and generalizing flow-based generative models with minibatch
    optimal transport. TMLR (independent conditional flow matching).

    Examples
    --------
    >>> system = cf.synthetic.Rotation()
    >>> source, target = system.sample(100, [0.0, 1.0], np.random.default_rng(0)).populations
    >>> plan = cf.couplings.Independent()(source, target)
    >>> round(float(plan.total), 6)
    1.0
    """

    @guarded
    def __call__(self, source: Population, target: Population) -> ProductPlan:
        """Couple two whole populations."""
        centre = target.weight @ target.x
        x = source.x - centre
        y = target.x - centre
        spread = source.weight @ np.einsum("ij,ij->i", x, x)
        spread += target.weight @ np.einsum("ij,ij->i", y, y)
        cost = spread - 2.0 * (source.weight @ x) @ (target.weight @ y)
        return ProductPlan(source.weight, target.weight, float(cost))
