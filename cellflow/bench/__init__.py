"""Is it any good? Held-out snapshots beside baselines, on the cells of an AnnData."""

from cellflow.bench._holdout import holdout

__all__ = ["holdout"]
