"""How a cell gets from one snapshot to the next: two formulas a path."""

from cellflow.paths.base import Path, PathSample, sample
from cellflow.paths.bridge import BrownianBridge
from cellflow.paths.linear import Linear
from cellflow.paths.noise import FromNoise
from cellflow.paths.trigonometric import Trigonometric

__all__ = ["BrownianBridge", "FromNoise", "Linear", "Path", "PathSample", "Trigonometric", "sample"]
