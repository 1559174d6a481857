"""The plans, by the module's former name."""

from cellflow.core.plans import BlockPlan, EdgePlan, Plan, PotentialPlan, ProductPlan, Side

__all__ = ["BlockPlan", "EdgePlan", "Plan", "PotentialPlan", "ProductPlan", "Side"]
