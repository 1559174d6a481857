"""Functions of time and state with parameters: networks and wrappers of networks."""

from cellflow.fields.base import Builder, Field
from cellflow.fields.fixed import AtNoise, Conditioned
from cellflow.fields.mlp import MLP
from cellflow.fields.noise import NoiseConditional
from cellflow.fields.potential import Potential
from cellflow.fields.residual import Residual

__all__ = [
    "MLP",
    "AtNoise",
    "Builder",
    "Conditioned",
    "Field",
    "NoiseConditional",
    "Potential",
    "Residual",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
