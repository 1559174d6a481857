"""What the learned dynamics does to cells."""

from cellflow.simulation.ode import Method, integrate, require_few_steps
from cellflow.simulation.sde import Scheme, integrate_sde
from cellflow.simulation.trajectories import Trajectories

__all__ = ["Method", "Scheme", "Trajectories", "integrate", "integrate_sde", "require_few_steps"]
