"""The agreement of clones with themselves: one half of a clone as the prediction for the other."""

from __future__ import annotations

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.evaluation.clones.measures import Truth
from cellflow.evaluation.clones.scores import Method, Score, Scorer, mean_known

__all__ = ["HALF", "halves", "with_halves"]

HALF = Method("half of the clone", "ceiling")


def halves(counts: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Labelled cells of each clone in two random halves, `(n_clones, n_labels)` each.

    The second half has the odd cell, so that it is never empty.
    """
    whole = counts.astype(np.int64)
    first = np.zeros_like(whole)
    for k in np.flatnonzero(whole.sum(axis=1) > 1):
        first[k] = rng.multivariate_hypergeometric(whole[k], int(whole[k].sum()) // 2)
    return first.astype(np.float64), (whole - first).astype(np.float64)


def with_halves(
    scorer: Scorer, counts: FloatArray, clone: IntArray, n_halves: int, rng: np.random.Generator
) -> list[Score]:
    """One half of each clone as the prediction for the other half; means over halvings.

    Parameters
    ----------
    scorer
        Of the cells.
    counts
        Labelled cells of every clone, `(n_clones, n_labels)`.
    clone
        Clone of each cell, `(m,)`. Cells whose clone has a single labelled cell are left out.
    n_halves
        Halvings.
    rng
        Of the halves.
    """
    truth = scorer.truth
    rows = np.flatnonzero(counts[clone].sum(axis=1) > 1)
    if truth is None or len(rows) == 0:
        return []
    part = scorer.part(rows, scorer.start)
    found: dict[str, list[FloatArray]] = {}
    for _ in range(n_halves):
        first, second = halves(counts, rng)
        seen = first[clone[rows]]
        other = Truth(second[clone[rows]], truth.pair, truth.common, truth.fold[rows])
        half = Scorer(part.start, part.unit, other, part.weight)
        for name, values in half.drawn(seen / seen.sum(axis=1, keepdims=True)).items():
            found.setdefault(name, []).append(values)
    mean = {name: mean_known(np.array(values)) for name, values in found.items()}
    return part.scores(HALF, mean)
