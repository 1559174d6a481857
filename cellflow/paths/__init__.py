"""How a cell gets from one snapshot to the next: two formulas a path."""

from cellflow.paths.base import Path, PathSample, Surveyed, sample
from cellflow.paths.bridge import BrownianBridge
from cellflow.paths.density import DensityCorrected
from cellflow.paths.hermite import LimitedHermite
from cellflow.paths.linear import Linear
from cellflow.paths.noise import FromNoise
from cellflow.paths.overlap import OverlapAttracted
from cellflow.paths.rotation import ResidualRotated
from cellflow.paths.trigonometric import Trigonometric
from cellflow.paths.warp import TimeWarped

__all__ = [
    "BrownianBridge",
    "DensityCorrected",
    "FromNoise",
    "LimitedHermite",
    "Linear",
    "OverlapAttracted",
    "Path",
    "PathSample",
    "ResidualRotated",
    "Surveyed",
    "TimeWarped",
    "Trigonometric",
    "sample",
]
