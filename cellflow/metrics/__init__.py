"""How far apart two populations are, whether they can be told apart, and whether one copies the other."""

from cellflow.metrics.novelty import Novelty, nearest_neighbour_novelty
from cellflow.metrics.transport import wasserstein
from cellflow.metrics.two_sample import TwoSample, c2st

__all__ = ["Novelty", "TwoSample", "c2st", "nearest_neighbour_novelty", "wasserstein"]
