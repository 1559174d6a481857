"""How far apart two populations are."""

from cellflow.metrics.likelihood import NLL, negative_log_likelihood
from cellflow.metrics.transport import wasserstein

__all__ = ["NLL", "negative_log_likelihood", "wasserstein"]
