"""The landscape of a velocity field: its potential at the cells."""

from cellflow.analysis.landscape.graph import Field
from cellflow.analysis.landscape.potential import Landscape, potential

__all__ = ["Field", "Landscape", "potential"]
