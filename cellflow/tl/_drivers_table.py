"""Drivers of a fate as a table and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.tl._drivers_window import Window

if TYPE_CHECKING:
    import pandas as pd

    from cellflow.analysis.genes.drivers import DriverGenes, Drivers
    from cellflow.analysis.genes.scoring import PValues

__all__ = ["place_of", "table_of", "words_of"]


def place_of(fate: str, before: Mapping[str, Any]) -> str:
    """Name under which a fate is stored, which a file can hold and no other fate has."""
    name = fate.replace("/", "_")
    while name in before and str(before[name]["fate"]) != fate:
        name += "_"
    return name


def table_of(names: np.ndarray, genes: DriverGenes, found: Drivers) -> pd.DataFrame:
    """One row for each gene, the highest rank first."""
    import pandas as pd

    columns: dict[str, Any] = {
        "gene": names,
        "rank": found.together.rank,
        "score": found.together.score,
        **_tested("", found.together.zero, found.together.matched),
    }
    names_of_parts = ("association", "sensitivity", "velocity")
    for name, part in zip(names_of_parts, found.parts, strict=True):
        columns |= {name: part.value, f"{name}_se": part.se}
        columns |= _tested(f"{name}_", part.zero, part.matched)
    columns |= {"marker": found.marker, "marker_rank": found.marker_rank}
    columns |= {"r2": genes.r2, "leverage": genes.leverage}
    columns |= {"response": found.response.astype(object), "mean": found.mean, "sd": found.sd}
    table = pd.DataFrame(columns)
    return table.sort_values("rank", kind="stable").reset_index(drop=True)


def _tested(name: str, zero: PValues, matched: PValues) -> dict[str, Any]:
    """Columns of p-values."""
    return {
        f"{name}p": zero.p,
        f"{name}q": zero.q,
        f"{name}p_matched": matched.p,
        f"{name}q_matched": matched.q,
    }


def words_of(fate: str, chosen: Window, found: Drivers) -> str:
    """What was compared, in words."""
    which = "all cells" if chosen.asked else "cells whose commitment lies ahead"
    times = ", ".join(
        f"{time:g} ({n})" for time, n in zip(chosen.times, chosen.n_cells, strict=True)
    )
    like = "genes of similar mean and variance" if found.against == "genes" else "all genes"
    replicates = "Cells are the replicates, which says nothing about other samples."
    if found.n_samples:
        replicates = f"{found.n_samples} samples are the replicates of associations."
    sure = "p is against the errors over cells and between the members of the ensemble"
    if not chosen.question.flow.members:
        sure = "p is against a fate of random direction, because a single flow has no known error"
    parts = [
        f"Drivers of {fate!r} in {which} of the times {times}.",
        f"{sure}; p_matched against {like}, too.",
        replicates,
    ]
    if np.isnan(found.parts[1].value).all():
        parts.append("There are no sensitivities: the fate is not measured at the end.")
    return " ".join(parts)
