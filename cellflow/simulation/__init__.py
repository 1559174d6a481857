"""Solvers: ODE, SDE, paths of least action, Langevin dynamics, densities along a flow."""

from cellflow.simulation._solution import require_few_steps
from cellflow.simulation.action import ActionPath, action_along, least_action
from cellflow.simulation.adjoint import Value, sensitivity
from cellflow.simulation.divergence import Divergence, Exact, Hutchinson
from cellflow.simulation.langevin import annealed_langevin, denoise, langevin
from cellflow.simulation.likelihood import log_likelihood, push_with_log_prob
from cellflow.simulation.ode import Method, integrate
from cellflow.simulation.sde import Scheme, integrate_sde
from cellflow.simulation.trajectories import Trajectories

__all__ = [
    "ActionPath",
    "Divergence",
    "Exact",
    "Hutchinson",
    "Method",
    "Scheme",
    "Trajectories",
    "Value",
    "action_along",
    "annealed_langevin",
    "denoise",
    "integrate",
    "integrate_sde",
    "langevin",
    "least_action",
    "log_likelihood",
    "push_with_log_prob",
    "require_few_steps",
    "sensitivity",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
