"""To other tools and back: scVelo, CellRank, moscot, Waddington-OT, Palantir, scVI.

What is handed over follows the contract of the other tool, so that it works there unmodified. The
packages are imported when a call needs them.
"""

from cellflow.interop._cellrank import to_cellrank
from cellflow.interop._moscot import from_moscot, to_moscot
from cellflow.interop._palantir import to_palantir
from cellflow.interop._scvelo import to_scvelo
from cellflow.interop._scvi import from_scvi
from cellflow.interop._wot import from_wot, to_wot

__all__ = [
    "from_moscot",
    "from_scvi",
    "from_wot",
    "to_cellrank",
    "to_moscot",
    "to_palantir",
    "to_scvelo",
    "to_wot",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
