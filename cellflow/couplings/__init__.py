"""Who becomes whom: plans of whole populations, solved once."""

from cellflow.couplings.auto import Auto
from cellflow.couplings.base import Coupling
from cellflow.couplings.entropic import Entropic
from cellflow.couplings.exact import Exact
from cellflow.couplings.independent import Independent

__all__ = ["Auto", "Coupling", "Entropic", "Exact", "Independent"]
