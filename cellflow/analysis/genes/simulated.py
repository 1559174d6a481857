"""Edits of many genes, one by one, simulated together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cellflow.analysis.genes.arrivals import Arrived
from cellflow.analysis.genes.edit import Edit
from cellflow.analysis.genes.effects import Effects, effects
from cellflow.analysis.genes.manifold import Manifold
from cellflow.analysis.genes.perturbation import PATHS, STEPS_PER_UNIT, Perturbation
from cellflow.analysis.members import degrees_of

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["Simulated", "simulated"]


@dataclass(frozen=True, eq=False)
class Simulated:
    """Effects of the edit of one gene, and shares of the states that lie where cells are.

    Parameters
    ----------
    effects
        On fates.
    support
        Mean over the times of the paths, with the edit.
    """

    effects: Effects
    support: float


def simulated(
    asked: Perturbation,
    edits: Sequence[Edit],
    *,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda parts, _: parts,
) -> list[Simulated]:
    """As `perturbed`, for many edits of the same cells, with steps of an eighth of an interval.

    Parameters
    ----------
    asked
        The cells.
    edits
        Of these cells, of as many genes each.
    watch
        Progress over members and parts of the edits.
    """
    question = replace(asked.question, step=asked.flow.clock.unit / STEPS_PER_UNIT)
    known = [asked.regions(edit) for edit in edits]
    manifold = Manifold(asked.flow, asked.cells)
    flows = cast("tuple[Flow, ...]", asked.flow.members) or (asked.flow,)
    width = max(1, PATHS // (len(question) * (1 if asked.noise is None else asked.noise.n_rep)))
    chunks = [range(k, min(k + width, len(edits))) for k in range(0, len(edits), width)]
    unchanged = [question.moved(flow, question.x) for flow in flows]
    after: list[list[Arrived]] = [[] for _ in edits]
    support = np.zeros(len(edits))
    tasks = [(m, chunk) for m in range(len(flows)) for chunk in chunks]
    for m, chunk in watch(tasks, len(tasks)):
        some = [edits[k] for k in chunk]
        for k, moved in zip(chunk, asked.moved_each(flows[m], question, some), strict=True):
            after[k].append(question.arrived(moved, known[k]))
            if m == 0:
                along = [edits[k].applied(question.x), *question.passed(moved)]
                times = [question.start, *question.grid.tolist()]
                shares = [manifold.share(x, t) for x, t in zip(along, times, strict=True)]
                support[k] = float(np.mean(shares))
    degrees = degrees_of(asked.flow) if asked.flow.members else None
    found = []
    for k, of_edit in enumerate(after):
        before = [question.arrived(moved, known[k]) for moved in unchanged]
        found.append(Simulated(effects(before, of_edit, degrees), float(support[k])))
    return found
