"""Compute on an AnnData: fit a flow to its cells, and evaluate it."""

from cellflow.tl._age import age
from cellflow.tl._calibrate import calibrate
from cellflow.tl._compare import compare
from cellflow.tl._curl import curl
from cellflow.tl._density import density
from cellflow.tl._diagnose import diagnose
from cellflow.tl._divergence import divergence
from cellflow.tl._drivers import drivers
from cellflow.tl._fates import ancestors, fates
from cellflow.tl._flow import flow
from cellflow.tl._generate import generate
from cellflow.tl._growth import growth
from cellflow.tl._jacobian import jacobian
from cellflow.tl._least_action_path import least_action_path
from cellflow.tl._log_density import log_density
from cellflow.tl._perturb import perturb
from cellflow.tl._potential import potential
from cellflow.tl._predict import predict
from cellflow.tl._pseudotime import pseudotime
from cellflow.tl._push import pull, push
from cellflow.tl._refine import refine
from cellflow.tl._sample import sample
from cellflow.tl._screen import screen
from cellflow.tl._simulate import simulate
from cellflow.tl._terminal_states import terminal_states
from cellflow.tl._trajectories import trajectories
from cellflow.tl._translate import translate
from cellflow.tl._trends import trends
from cellflow.tl._velocity import velocity

__all__ = [
    "age",
    "ancestors",
    "calibrate",
    "compare",
    "curl",
    "density",
    "diagnose",
    "divergence",
    "drivers",
    "fates",
    "flow",
    "generate",
    "growth",
    "jacobian",
    "least_action_path",
    "log_density",
    "perturb",
    "potential",
    "predict",
    "pseudotime",
    "pull",
    "push",
    "refine",
    "sample",
    "screen",
    "simulate",
    "terminal_states",
    "trajectories",
    "translate",
    "trends",
    "velocity",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
