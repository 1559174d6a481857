"""How a cell gets from one snapshot to the next: two formulas a path."""

from typing import Any

from cellflow.core._warn import warn
from cellflow.paths.base import Path, PathSample, sample
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
    "TimeWarped",
    "Trigonometric",
    "sample",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__


def __getattr__(name: str) -> Any:
    """Return `Path` for `Surveyed`, its name where it had to be prepared in 0.1."""
    if name != "Surveyed":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    warn("paths.Surveyed is now paths.Path; the old name goes away.", FutureWarning)
    return Path
