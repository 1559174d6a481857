"""Checks of a fit: whether its parts agree, where its paths go, and which cells they miss."""

from cellflow.analysis.diagnosis.gradients import (
    density_gradient,
    mean_cosine,
    mean_shift,
    n_neighbors,
    reliability,
)
from cellflow.analysis.diagnosis.mass import MassBalance, mass_balance
from cellflow.analysis.diagnosis.paths import path_energy, round_trip
from cellflow.analysis.diagnosis.reach import unreached
from cellflow.analysis.diagnosis.table import Diagnosis, diagnose

__all__ = [
    "Diagnosis",
    "MassBalance",
    "density_gradient",
    "diagnose",
    "mass_balance",
    "mean_cosine",
    "mean_shift",
    "n_neighbors",
    "path_energy",
    "reliability",
    "round_trip",
    "unreached",
]
