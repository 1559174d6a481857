"""What is regressed during training: `(dynamics, sample) -> scalar`."""

from cellflow.objectives.base import Objective
from cellflow.objectives.velocity import velocity_matching

__all__ = ["Objective", "velocity_matching"]
