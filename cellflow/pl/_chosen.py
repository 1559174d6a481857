"""Cells that are followed in a figure."""

from __future__ import annotations

import numpy as np

from cellflow.core._random import as_seed, stream
from cellflow.core._typing import FloatArray, IntArray, RandomState

__all__ = ["spread_rows"]


def spread_rows(
    times: FloatArray, snapshots: FloatArray, n: int, random_state: RandomState
) -> IntArray:
    """Choose `n` rows, the same number from each snapshot as far as possible."""
    rng = stream(as_seed(random_state))
    groups = [rng.permutation(np.flatnonzero(times == t)) for t in snapshots]
    # In turn from each snapshot, until a small one has no more cells.
    turn = np.concatenate([np.arange(len(group)) for group in groups])
    return np.concatenate(groups)[np.argsort(turn, kind="stable")][:n]
