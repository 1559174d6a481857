"""Is it any good? Held-out snapshots beside baselines, the report, the literature's tables, and the choice of a method."""

from cellflow.bench._holdout import holdout
from cellflow.bench._literature import literature
from cellflow.bench._report import report
from cellflow.bench._tune import tune

__all__ = ["holdout", "literature", "report", "tune"]
