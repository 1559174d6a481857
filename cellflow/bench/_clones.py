"""Arguments of `cf.bench.lineage`: clones with labels, methods, the last time of barcodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.columns import read_labels
from cellflow.adapter.units import Time
from cellflow.core._numbers import as_count, as_number
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.evaluation.clones.benchmark import ClonalBenchmark
    from cellflow.evaluation.clones.cells import ClonalCells
    from cellflow.evaluation.clones.run import Setting

__all__ = ["clonal_cells", "known_until", "settings_of", "warn_of_few"]

#: Clones below which percentiles of a bootstrap are too narrow.
_FEW = 20


def clonal_cells(adata: AnnData, cells: Cells, cluster_key: str) -> ClonalCells:
    """Cells with clones, and the labels of the last time.

    Raises
    ------
    InputError
        One time only, no label at the last time, or a single one.
    """
    from cellflow.evaluation.clones.cells import ClonalCells

    labels = read_labels(adata, cluster_key)
    snapshots = cells.snapshots()
    last = snapshots[-1]
    own = labels[last.index]
    names = tuple(sorted({label for label in own if label is not None}))
    if len(names) < 2:
        found = f"the single label {names[0]!r}" if names else "no label"
        msg = (
            f"adata.obs[{cluster_key!r}] has {found} at the last time, {last.time:g}. Expected at"
            " least two labels there, which are the fates: pass another cluster_key=, or leave"
            " later times without labels out."
        )
        raise InputError(msg)
    number = {name: k for k, name in enumerate(names)}
    code = np.array([-1 if label is None else number[label] for label in own])
    return ClonalCells(snapshots, code, names)


def known_until(cells: Cells, until: Time | None) -> float | None:
    """The last time at which barcodes are known, in the unit of the column.

    Raises
    ------
    InputError
        No time, or one before which cells of fewer than two times were measured.
    """
    if until is None:
        return None
    time = cells.time_unit.number("until", until)
    times = np.unique(cells.time[cells.timed])
    if np.count_nonzero(times <= time) < 2:
        msg = (
            f"until={until!r}: barcodes are known at {np.count_nonzero(times <= time)} times up to"
            f" {time:g}, and clones of one time inform no coupling. Expected at least the second of"
            f" the times {times.tolist()}."
        )
        raise InputError(msg)
    return time


def settings_of(
    methods: object,
    strength: object,
    growth: Literal["none", "prior", "learn", "auto"],
    n_neighbors: int | None,
    until: float | None,
    network: bool,  # noqa: FBT001 (the public argument)
    seed: int,
) -> dict[str, Setting]:
    """What is judged, by the names of the rows.

    Raises
    ------
    InputError
        An unknown method, two of one name, one that generates, or a strength that is no positive
        number.
    """
    from cellflow.evaluation.arguments import several
    from cellflow.evaluation.assumptions import as_growth
    from cellflow.evaluation.clones.run import Setting
    from cellflow.model.recipes import DEFAULT, by_name

    given = [by_name(m) for m in several(DEFAULT if methods is None else methods)]
    strengths = [None if value is None else _strength(value) for value in several(strength)]
    if n_neighbors is not None:
        as_count("n_neighbors", n_neighbors)
    made: dict[str, Setting] = {}
    for recipe in given:
        if recipe.generates or recipe.name in made:
            what = "generates cells and couples none" if recipe.generates else "is given twice"
            msg = f"methods: {recipe.name!r} {what}; expected methods with plans, of other names."
            raise InputError(msg)
        made[recipe.name] = Setting(
            recipe, as_growth(growth), tuple(strengths), until, network, n_neighbors, seed
        )
    if not made or not strengths:
        msg = "methods or strength is empty; expected at least one of each."
        raise InputError(msg)
    return made


def _strength(value: object) -> float:
    """A positive number, or infinity."""
    if isinstance(value, float) and value == math.inf:
        return value
    return as_number("strength", value, above=0.0, remedy=", or inf")


def warn_of_few(found: ClonalBenchmark) -> None:
    """Warn where so few clones are scored that intervals are too narrow."""
    n = max(score.n_clones for score in found.scores)
    if n < _FEW:
        msg = (
            f"{n} clones are scored. Intervals by bootstrap of fewer than {_FEW} clones are too"
            " narrow, so do not read them as certainty."
        )
        warn(msg, InputWarning)
