"""Values and tables of an AnnData: flow, fates, growth, samples, trajectories, velocities."""

from cellflow.get._calibration import calibration
from cellflow.get._comparison import comparison
from cellflow.get._density import density
from cellflow.get._diagnosis import diagnosis
from cellflow.get._drivers import drivers
from cellflow.get._fates import fates
from cellflow.get._flow import flow
from cellflow.get._growth import growth
from cellflow.get._jacobian import jacobian
from cellflow.get._least_action_path import least_action_path
from cellflow.get._perturbation import perturbation
from cellflow.get._plan import plan
from cellflow.get._potential import potential
from cellflow.get._samples import samples
from cellflow.get._screen import screen
from cellflow.get._trajectories import trajectories, trajectory_samples
from cellflow.get._transition_matrix import transition_matrix
from cellflow.get._trends import trends
from cellflow.get._velocity import velocity

__all__ = [
    "calibration",
    "comparison",
    "density",
    "diagnosis",
    "drivers",
    "fates",
    "flow",
    "growth",
    "jacobian",
    "least_action_path",
    "perturbation",
    "plan",
    "potential",
    "samples",
    "screen",
    "trajectories",
    "trajectory_samples",
    "transition_matrix",
    "trends",
    "velocity",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
