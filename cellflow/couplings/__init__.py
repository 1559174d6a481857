"""Couplings: transport plans between whole populations, solved once."""

from cellflow.couplings.auto import Auto
from cellflow.couplings.base import Coupling
from cellflow.couplings.entropic import Entropic
from cellflow.couplings.exact import Exact
from cellflow.couplings.given import Given
from cellflow.couplings.independent import Independent
from cellflow.couplings.lineage import Lineage
from cellflow.couplings.minibatch import Minibatch
from cellflow.couplings.sparse import Sparse
from cellflow.couplings.unbalanced import Unbalanced

__all__ = [
    "Auto",
    "Coupling",
    "Entropic",
    "Exact",
    "Given",
    "Independent",
    "Lineage",
    "Minibatch",
    "Sparse",
    "Unbalanced",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
