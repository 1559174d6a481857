"""Check the data before a fit, and what is known of growth beforehand."""

from cellflow.pp._check import check
from cellflow.pp._growth_scores import growth_scores

__all__ = ["check", "growth_scores"]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
