"""What the learned dynamics does to cells."""

from cellflow.simulation.ode import Method, integrate, require_few_steps
from cellflow.simulation.trajectories import Trajectories

__all__ = ["Method", "Trajectories", "integrate", "require_few_steps"]
