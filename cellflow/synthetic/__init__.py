r"""Systems whose dynamics are known: populations at any time, and the truth about every cell.

A system is a frozen dataclass that draws snapshots, `sample(n_obs, times, rng)`, and that knows
some of

- `velocity(t, x)`, shape `(n, d)`: the field that carries the population, :math:`\partial_t p +
  \nabla \cdot (p v) = (g - \bar g)\,p`, where :math:`\bar g` is the mean of the growth over `p`;
- `drift(t, x)`, shape `(n, d)`: the mean motion of a single cell where cells diffuse, `dx = drift
  dt + sigma dW`;
- `growth(t, x)`, shape `(n,)`: the rate :math:`g` at which cells divide, per unit of time;
- `fates(t, x)`, shape `(n, k)`: probabilities of the ends that a cell can meet;
- `log_density(t, x)`, shape `(n,)`: the log-density of the population.

What a system does not know, it does not have. Snapshots are independent draws, as destructive
measurements are. `circuits` draws systems whose regulation and knock-outs are known. An
`Experiment` takes samples of several systems, one for each condition.
"""

from __future__ import annotations

from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.synthetic.base import System
from cellflow.synthetic.bifurcation import Bifurcation
from cellflow.synthetic.branching_tree import BranchingTree
from cellflow.synthetic.circuit import Circuit, circuits
from cellflow.synthetic.experiment import Experiment
from cellflow.synthetic.gaussian import GaussianToGaussian
from cellflow.synthetic.gene_circuit import GeneCircuit
from cellflow.synthetic.growing_circuit import GrowingCircuit
from cellflow.synthetic.growing_fork import GrowingFork
from cellflow.synthetic.growing_gaussian import GrowingGaussian
from cellflow.synthetic.ornstein_uhlenbeck import OrnsteinUhlenbeck
from cellflow.synthetic.rotation import Rotation
from cellflow.synthetic.toggle_switch import ToggleSwitch
from cellflow.synthetic.two_well import TwoWell

__all__ = [
    "Bifurcation",
    "BranchingTree",
    "Circuit",
    "Experiment",
    "GaussianToGaussian",
    "GeneCircuit",
    "GrowingCircuit",
    "GrowingFork",
    "GrowingGaussian",
    "OrnsteinUhlenbeck",
    "Rotation",
    "System",
    "ToggleSwitch",
    "TwoWell",
    "circuits",
    "truth",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__


#: What a system may know, in the order in which it is reported.
_TRUTHS = ("velocity", "drift", "growth", "fates", "log_density")


@guarded
def truth(system: System, t: float, x: FloatArray) -> dict[str, FloatArray]:
    """Return everything that the system knows about cells `(n, d)` at time `t`, by name.

    Examples
    --------
    >>> import numpy as np
    >>> {name: known.shape for name, known in truth(Rotation(), 0.0, np.zeros((5, 2))).items()}
    {'velocity': (5, 2), 'log_density': (5,)}
    """
    return {name: getattr(system, name)(t, x) for name in _TRUTHS if hasattr(system, name)}
