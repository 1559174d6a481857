"""Judge methods on held-out snapshots: tables, a report, published protocols, and a choice."""

from cellflow.bench._holdout import holdout
from cellflow.bench._lineage import lineage
from cellflow.bench._literature import literature
from cellflow.bench._report import report
from cellflow.bench._tune import tune

__all__ = ["holdout", "lineage", "literature", "report", "tune"]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__
