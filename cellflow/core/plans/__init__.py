"""Transport plans: how much mass goes from which source cell to which target cell."""

from cellflow.core.plans.base import Plan, Side
from cellflow.core.plans.blocks import BlockPlan
from cellflow.core.plans.edges import EdgePlan
from cellflow.core.plans.growing import GrowingPairs, growing_pairs, log_factors, mass_at
from cellflow.core.plans.matrix import plan_matrix, without_small
from cellflow.core.plans.mixed import MixedPlan, mixed
from cellflow.core.plans.potentials import PotentialPlan
from cellflow.core.plans.product import ProductPlan

__all__ = [
    "BlockPlan",
    "EdgePlan",
    "GrowingPairs",
    "MixedPlan",
    "Plan",
    "PotentialPlan",
    "ProductPlan",
    "Side",
    "growing_pairs",
    "log_factors",
    "mass_at",
    "mixed",
    "plan_matrix",
    "without_small",
]
