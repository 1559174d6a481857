"""How far apart two populations are, whether they can be told apart, and whether one copies the other."""

from cellflow.metrics.likelihood import NLL, negative_log_likelihood
from cellflow.metrics.novelty import Novelty, nearest_neighbour_novelty
from cellflow.metrics.transport import wasserstein
from cellflow.metrics.two_sample import TwoSample, c2st

__all__ = ["NLL", "Novelty", "TwoSample", "c2st", "nearest_neighbour_novelty", "negative_log_likelihood", "wasserstein"]
