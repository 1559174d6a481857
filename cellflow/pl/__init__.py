"""Figures: functions that draw on an Axes and return it."""

from cellflow.pl._animation import animation
from cellflow.pl._arrow_grid import grid, quiver
from cellflow.pl._calibration import calibration
from cellflow.pl._comparison import comparison
from cellflow.pl._density import density
from cellflow.pl._drivers import drivers
from cellflow.pl._fates import fates
from cellflow.pl._growth import growth
from cellflow.pl._holdout import holdout
from cellflow.pl._jacobian import jacobian
from cellflow.pl._landscape import landscape
from cellflow.pl._loss import loss
from cellflow.pl._perturbation import perturbation
from cellflow.pl._plan import plan
from cellflow.pl._population import population
from cellflow.pl._screen import screen
from cellflow.pl._stream import stream
from cellflow.pl._trajectories import trajectories
from cellflow.pl._trends import trends

__all__ = [
    "animation",
    "calibration",
    "comparison",
    "density",
    "drivers",
    "fates",
    "grid",
    "growth",
    "holdout",
    "jacobian",
    "landscape",
    "loss",
    "perturbation",
    "plan",
    "population",
    "quiver",
    "screen",
    "stream",
    "trajectories",
    "trends",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
