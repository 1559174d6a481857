"""How far apart two populations are, whether they can be told apart, and whether one copies the other."""

from cellflow.metrics.composition import Composition, composition_error
from cellflow.metrics.estimates import Estimate, estimate
from cellflow.metrics.intervals import Calibration, calibration
from cellflow.metrics.kernels import energy_distance, mmd
from cellflow.metrics.likelihood import NLL, negative_log_likelihood
from cellflow.metrics.moments import MomentErrors, mean_error, moment_errors, variance_ratio
from cellflow.metrics.novelty import Novelty, nearest_neighbour_novelty
from cellflow.metrics.sliced import sliced_wasserstein
from cellflow.metrics.transport import wasserstein
from cellflow.metrics.two_sample import TwoSample, c2st

__all__ = [
    "NLL",
    "Calibration",
    "Composition",
    "Estimate",
    "MomentErrors",
    "Novelty",
    "TwoSample",
    "c2st",
    "calibration",
    "composition_error",
    "energy_distance",
    "estimate",
    "mean_error",
    "mmd",
    "moment_errors",
    "nearest_neighbour_novelty",
    "negative_log_likelihood",
    "sliced_wasserstein",
    "variance_ratio",
    "wasserstein",
]
