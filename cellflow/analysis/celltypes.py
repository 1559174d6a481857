"""Mass between cell types over one interval: of a plan, of pushed cells, of unmoved cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._settings import offers
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.plans import EdgePlan, Plan
from cellflow.core.population import Population
from cellflow.metrics.lineages import Lineage, Transitions, plan_transitions

__all__ = ["TypeMoves", "on_types", "same_condition", "type_moves", "types_warning"]

#: Quantile of the normal distribution: one false alarm in a hundred.
_ONE_SIDED_99 = 2.33
#: A smaller share of the mass is not worth a warning.
_SMALL = 0.02


@dataclass(frozen=True, eq=False)
class TypeMoves:
    """Mass between cell types over one interval.

    Parameters
    ----------
    from_time, time
        Its ends.
    plan
        Of the transport plan.
    unmoved
        When every early cell takes the type of the nearest late cell, without any motion.
    pushed
        When every pushed cell takes the type of the late cell nearest to it; None where no cell was
        pushed.
    lineage
        Descendants of each type; None where a cell should keep its type.
    n_plan, n_unmoved
        Early cells with a type that the plan and the unmoved baseline are of, as many as their
        weights are worth.
    """

    from_time: float
    time: float
    plan: Transitions
    unmoved: Transitions
    pushed: Transitions | None
    lineage: Lineage | None
    n_plan: float
    n_unmoved: float

    @property
    def by_plan(self) -> float:
        """Share of the plan's mass that goes to a type neither the cell's own nor a descendant."""
        return 1.0 - self.plan.consistent(self.lineage)

    @property
    def by_shares(self) -> float:
        """Least such share of a plan that conserves mass, because the shares of types change."""
        return self.plan.least_moved(self.lineage)

    @property
    def by_staying(self) -> float:
        """The same share of the unmoved cells."""
        return 1.0 - self.unmoved.consistent(self.lineage)

    @property
    def by_push(self) -> float:
        """The same share of pushed cells; NaN where no cell was pushed."""
        return float("nan") if self.pushed is None else 1.0 - self.pushed.consistent(self.lineage)

    @property
    def limit(self) -> float:
        """Largest `by_plan` that may be `by_staying` by chance: a one-sided 99 % limit."""
        p = self.by_plan
        q = self.by_staying
        error = np.sqrt(p * (1.0 - p) / self.n_plan + q * (1.0 - q) / self.n_unmoved)
        return q + max(_SMALL, _ONE_SIDED_99 * float(error))

    @property
    def is_excessive(self) -> bool:
        """Whether the plan moves more than unmoved cells would."""
        return self.by_plan > self.limit


def type_moves(
    source: Population,
    target: Population,
    plan: Plan,
    labels: np.ndarray,
    *,
    lineage: Lineage | None = None,
    some: Population | None = None,
    pushed: FloatArray | None = None,
) -> TypeMoves | None:
    """Measure the mass between cell types over one interval.

    Parameters
    ----------
    source, target
        The snapshots at its ends, in coordinates in which near cells are alike.
    plan
        Between them.
    labels
        Type of every cell by its row of origin (`Population.index`); None where a cell has none.
    lineage
        Descendants of each type.
    some
        The early cells that are followed; all by default.
    pushed
        Their positions at the end of the interval, shape `(len(some), d)`.

    Returns
    -------
    None where a snapshot has no cells with a type.
    """
    early = labels[source.index]
    late = labels[target.index]
    if not (_known(early, source) and _known(late, target)):
        return None
    some = source if some is None else some
    own = labels[some.index]
    if not _known(own, some):
        return None
    return TypeMoves(
        source.time,
        target.time,
        plan_transitions(plan, early, late),
        _taken(some, some.x, own, target, late),
        None if pushed is None else _taken(some, pushed, own, target, late),
        lineage,
        _worth(source, early),
        _worth(some, own),
    )


def _taken(
    some: Population, x: FloatArray, own: np.ndarray, target: Population, late: np.ndarray
) -> Transitions:
    """Cells at `x` with the type of the late cell of their condition that is nearest."""
    found = np.full(len(some), None, dtype=object)
    typed = np.array([label is not None for label in late])
    for here, there in same_condition(some.context, len(some), target.context, len(target)):
        there = there[typed[there] & (target.weight[there] > 0)]
        if len(there):
            found[here] = late[there[nearest(target.x[there], x[here], 1)[1][:, 0]]]
    each = np.arange(len(some))
    kept = EdgePlan((len(some), len(some)), each, each, some.weight, cost=0.0)
    return plan_transitions(kept, own, found)


def same_condition(
    a: FloatArray | None, n: int, b: FloatArray | None, m: int
) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows of two sets of cells that have the same condition; all of both without conditions."""
    if a is None or b is None:
        yield np.arange(n), np.arange(m)
        return
    for features in np.unique(a, axis=0):
        here, there = ((x == features).all(axis=1) for x in (a, b))
        yield np.flatnonzero(here), np.flatnonzero(there)


def _known(labels: np.ndarray, cells: Population) -> bool:
    return any(label is not None for label in labels[cells.weight > 0])


def _worth(cells: Population, labels: np.ndarray) -> float:
    """Number of cells with a type that the weights are worth (Kish 1965)."""
    weight = cells.weight[np.array([label is not None for label in labels])]
    return float(weight.sum() ** 2 / (weight**2).sum())


def on_types(types: Sequence[TypeMoves | None]) -> list[str]:
    """Sentences about the mass between cell types, interval by interval."""
    known = [found for found in types if found is not None]
    said = [_on_type(found) for found in known]
    if len(known) < len(types):
        said.append(
            "Cell types are not compared over every interval: some snapshots have no cells with a"
            " type."
        )
    if any(found.is_excessive for found in known):
        said.append(_remedy())
    return said


def _remedy() -> str:
    cause = (
        "A plan that conserves mass makes up for types that grow or shrink by turning cells of one"
        " type into another. Do not read lineages off these intervals."
    )
    if offers("lineage"):
        return (
            f"{cause} Where types do become others, name them: lineage={{'parent': ['child',"
            " ...]}."
        )
    return f"{cause} Where types do become others, name them in cf.tl.diagnose."


def _on_type(found: TypeMoves) -> str:
    """One interval in a sentence."""
    where = "to another type" if found.lineage is None else "out of its lineage"
    pushed = "" if np.isnan(found.by_push) else f" {found.by_push:.1%} of the pushed cells end so."
    head = (
        f"Between times {found.from_time:g} and {found.time:g}, the plan moves {found.by_plan:.1%}"
        f" of the mass {where}"
    )
    least = f"the shares of the types force it to move {found.by_shares:.1%}"
    still = f"of cells that do not move at all {found.by_staying:.1%} are nearest to such a type"
    more = "more" if found.is_excessive else "no more"
    return f"{head}; {least}, and {still}: {more} than if no cell had moved.{pushed}"


def types_warning(types: Sequence[TypeMoves | None]) -> str | None:
    """Warning about plans that move more mass between types than unmoved cells would, or None."""
    wrong = [found for found in types if found is not None and found.is_excessive]
    if not wrong:
        return None
    return " ".join([*(_on_type(found) for found in wrong), _remedy()])
