"""How far apart two populations are."""

from cellflow.metrics.transport import wasserstein

__all__ = ["wasserstein"]
