"""What is regressed during training: `(dynamics, sample) -> scalar`."""

from cellflow.objectives.base import Objective
from cellflow.objectives.growth import growth_matching
from cellflow.objectives.score import (
    denoising_score_matching,
    implicit_score_matching,
    sliced_score_matching,
)
from cellflow.objectives.velocity import velocity_matching

__all__ = [
    "Objective",
    "denoising_score_matching",
    "growth_matching",
    "implicit_score_matching",
    "sliced_score_matching",
    "velocity_matching",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
