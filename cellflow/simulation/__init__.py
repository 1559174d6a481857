"""Solvers: ODE, SDE, Langevin dynamics, densities along a flow."""

from cellflow.simulation._solution import require_few_steps
from cellflow.simulation.adjoint import Value, sensitivity
from cellflow.simulation.divergence import Divergence, Exact, Hutchinson
from cellflow.simulation.langevin import annealed_langevin, denoise, langevin
from cellflow.simulation.likelihood import log_likelihood, push_with_log_prob
from cellflow.simulation.ode import Method, integrate
from cellflow.simulation.sde import Scheme, integrate_sde
from cellflow.simulation.trajectories import Trajectories

__all__ = [
    "Divergence",
    "Exact",
    "Hutchinson",
    "Method",
    "Scheme",
    "Trajectories",
    "Value",
    "annealed_langevin",
    "denoise",
    "integrate",
    "integrate_sde",
    "langevin",
    "log_likelihood",
    "push_with_log_prob",
    "require_few_steps",
    "sensitivity",
]
