"""Distances between populations, tests that they differ, and whether one copies the other."""

from cellflow.metrics.composition import Composition, composition_error
from cellflow.metrics.estimates import Estimate, estimate
from cellflow.metrics.intervals import Calibration, calibration
from cellflow.metrics.kernels import energy_distance, mmd
from cellflow.metrics.likelihood import NLL, negative_log_likelihood
from cellflow.metrics.lineages import (
    Transitions,
    lineage_consistency,
    nearest_transitions,
    plan_transitions,
)
from cellflow.metrics.moments import MomentErrors, mean_error, moment_errors, variance_ratio
from cellflow.metrics.novelty import Novelty, nearest_neighbour_novelty
from cellflow.metrics.transport import sliced_wasserstein, wasserstein
from cellflow.metrics.two_sample import TwoSample, c2st

__all__ = [
    "NLL",
    "Calibration",
    "Composition",
    "Estimate",
    "MomentErrors",
    "Novelty",
    "Transitions",
    "TwoSample",
    "c2st",
    "calibration",
    "composition_error",
    "energy_distance",
    "estimate",
    "lineage_consistency",
    "mean_error",
    "mmd",
    "moment_errors",
    "nearest_neighbour_novelty",
    "nearest_transitions",
    "negative_log_likelihood",
    "plan_transitions",
    "sliced_wasserstein",
    "variance_ratio",
    "wasserstein",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
