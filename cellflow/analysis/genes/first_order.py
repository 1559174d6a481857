"""What small edits of all genes do to fates, from gradients along the paths of the cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from cellflow.analysis.genes.arrivals import Question
from cellflow.analysis.genes.effects import Estimate
from cellflow.analysis.genes.perturbation import Perturbation
from cellflow.analysis.genes.seen import Seen
from cellflow.analysis.genes.sensitivity import end_classifier
from cellflow.analysis.members import degrees_of
from cellflow.core._spread import spread
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["FirstOrder", "first_order"]

#: Times of the paths at which gradients are taken.
_TIMES = 9
#: Steps of the solver per mean interval between snapshots.
_STEPS_PER_UNIT = 8
#: Cells by which the response of each gene to itself is found.
_SELF = 32
#: Genes that are taken together.
_GENES = 256


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """Effects of edits of single genes, to first order in the change of the gene.

    Parameters
    ----------
    share
        Share of each fate without an edit, by the smooth classifier, shape `(l,)`.
    log_odds
        Changes of the log-odds of the fates, `l * g` of them: those of the first fate by gene, and
        so on.
    size
        Root mean square change of each gene, over cells and times, in its standard deviations,
        shape `(g,)`.
    """

    share: FloatArray
    log_odds: Estimate
    size: FloatArray


@dataclass(frozen=True, eq=False)
class _Along:
    """Paths of cells with gradients of the log-odds of the composition at the end.

    Parameters
    ----------
    times
        Shape `(t,)`.
    x
        States, shape `(t, n, d)`.
    gradient
        By a change of each cell at each time, shape `(t, n, l, d)`.
    share
        Composition, shape `(l,)`.
    """

    times: FloatArray
    x: FloatArray
    gradient: FloatArray
    share: FloatArray


def first_order(
    asked: Perturbation,
    seen: Seen,
    value: Callable[[FloatArray], FloatArray],
    fates: IntArray,
    *,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda parts, _: parts,
) -> FirstOrder:
    r"""Effects of edits of each gene by itself on the log-odds of fates.

    With the gradient :math:`\lambda(t)` of the log-odds by the state at time :math:`t`, and the
    response :math:`r` to the gene with loadings :math:`w`, a start edited by :math:`\Delta` changes
    them by :math:`\lambda(0) \cdot r \Delta`. A gene that is held at a value differs by
    :math:`\Delta(t)` from what it would be along the path. What that does to the rest of the state
    is

    .. math:: \int \bigl(-\dot\lambda \cdot r - (\lambda \cdot r)\,(w^\top J r)\bigr)\,\Delta\,dt

    because :math:`-\dot\lambda = J^\top \lambda` with the Jacobian :math:`J` of the velocity (and
    the gradient of growth), and because the change of the gene by itself is taken away. What the
    others do to the held gene is neglected.

    Parameters
    ----------
    asked
        The cells. Paths are those of the flow, where fates are those of diffusions too.
    seen
        The genes.
    value
        `(n, g) -> (n, g)`: expression of the genes after the edit from that before.
    fates
        Numbers of fates of which cells were measured at the end, shape `(l,)`.
    watch
        Progress over the members.

    Raises
    ------
    InputError
        Fewer than two labels at the end.
    """
    classifier = end_classifier(asked.cells, asked.targets)
    question = asked.question
    flows = cast("tuple[Flow, ...]", asked.flow.members) or (asked.flow,)
    own: list[FloatArray] = []
    each: list[FloatArray] = []
    shares: list[FloatArray] = []
    parts: FloatArray = np.zeros(0)
    for flow in watch(flows, len(flows)):
        along = _along(flow, question, lambda x: classifier.log_odds(x, fates))
        if not own:
            own = [_own(flow, along, question, seen)] if asked.hold else [np.zeros(0)]
        contributions = _contributions(along, seen, value, own[0], hold=asked.hold)
        each.append(contributions.sum(axis=0))
        parts = contributions if len(each) == 1 else parts + contributions
        shares.append(along.share)
    found = np.stack(each)
    mean = found.mean(axis=0)
    share = np.mean(shares, axis=0)
    size = _size(along, seen, value, hold=asked.hold)
    if not asked.flow.members:
        unknown = np.full(mean.shape, np.nan)
        return FirstOrder(share, Estimate(mean, unknown, unknown), size)
    estimate = _estimate(found, parts / len(flows), degrees_of(asked.flow))
    return FirstOrder(share, estimate, size)


def _estimate(each: FloatArray, parts: FloatArray, degrees: float) -> Estimate:
    """As of `effects`: between members, and between cells, of which each gives a part."""
    n = len(parts)
    between = spread(each, degrees).se ** 2
    # A single cell says nothing about others.
    of_cells = parts.var(axis=0, ddof=1) * n if n > 1 else np.zeros(between.shape)
    total = between + of_cells
    split = between**2 / degrees + of_cells**2 / max(n - 1, 1)
    freedom = np.divide(total**2, split, out=np.full(total.shape, degrees), where=split > 0)
    return Estimate(each.mean(axis=0), np.sqrt(total), freedom)


def _along(flow: Flow, question: Question, odds: Callable[[Tensor], Tensor]) -> _Along:
    """Move the cells, and take gradients at some times."""
    end = question.targets.at
    times = np.linspace(question.start, end, _TIMES)
    step = flow.clock.unit / _STEPS_PER_UNIT
    context = question.cells.context
    moved = flow.simulate(question.x, question.start, times[1:], step=step, context=context)
    x = np.concatenate([question.x[None], moved.x])

    def value(x: Tensor, along: Mapping[str, Tensor]) -> Tensor:
        found = odds(x)
        grown = along["log_weight"].to(found) if "log_weight" in along else 0.0 * found[:, 0]
        return torch.cat([found, grown[:, None]], dim=1)

    weight = question.cells.weight / question.cells.weight.sum()
    gradients = []
    for k, time in enumerate(times.tolist()):
        values, slope = flow.sensitivity(x[k], time, end, value, step=step, context=context)
        if k == 0:
            mass = weight * np.exp(values[:, -1] - values[:, -1].max())
            mass = mass / mass.sum()
            p = 1.0 / (1.0 + np.exp(-np.clip(values[:, :-1], -700.0, 700.0)))
            share = mass @ p
        # As `Sensitivity.of_composition`, cell by cell.
        change = (p * (1.0 - p))[:, :, None] * slope[:, :-1]
        change += (p - share)[:, :, None] * slope[:, -1:]
        size = (share * (1.0 - share))[:, None]
        scaled = np.divide(change, size, out=np.zeros_like(change), where=size > 0)
        gradients.append(mass[:, None, None] * scaled)
    return _Along(times, x, np.stack(gradients), share)


def _own(flow: Flow, along: _Along, question: Question, seen: Seen) -> FloatArray:
    """Rate at which each gene changes with itself, at each time, shape `(t, g)`."""
    context = question.cells.context
    some = np.unique(np.linspace(0, len(question) - 1, min(_SELF, len(question))).astype(int))
    found = []
    for x, time in zip(along.x, along.times.tolist(), strict=True):
        features = None if context is None else context[some]
        jacobian = flow.jacobian(x[some], time, context=features).mean(axis=0)
        found.append(np.einsum("gi,ij,gj->g", seen.decoder.loadings, jacobian, seen.responses))
    return np.stack(found)


def _contributions(
    along: _Along,
    seen: Seen,
    value: Callable[[FloatArray], FloatArray],
    own: FloatArray,
    *,
    hold: bool,
) -> FloatArray:
    """What each cell adds to the effect on each fate of each gene, shape `(n, l * g)`."""
    response = seen.responses
    wanted = value(seen.decoded(along.x[0]))
    n = along.x.shape[1]
    found = np.zeros((n, along.gradient.shape[2], len(response)))
    for start in range(0, len(response), _GENES):
        genes = slice(start, start + _GENES)
        loadings = seen.decoder.loadings[genes].T
        level = seen.decoder.mean[genes]
        reach = [gradient @ response[genes].T for gradient in along.gradient]
        change = [wanted[:, genes] - (x @ loadings + level) for x in along.x]
        if not hold:
            found[:, :, genes] = reach[0] * change[0][:, None]
            continue
        for k, width in enumerate(np.diff(along.times)):
            middle = (change[k] + change[k + 1])[:, None] / 2.0
            away = [reach[j] * own[j, genes] * change[j][:, None] for j in (k, k + 1)]
            found[:, :, genes] += (reach[k] - reach[k + 1]) * middle
            found[:, :, genes] -= width * (away[0] + away[1]) / 2.0
    return found.reshape(n, -1)


def _size(
    along: _Along, seen: Seen, value: Callable[[FloatArray], FloatArray], *, hold: bool
) -> FloatArray:
    wanted = value(seen.decoded(along.x[0]))
    times = along.x if hold else along.x[:1]
    squares = [((wanted - seen.decoded(x)) ** 2).mean(axis=0) for x in times]
    size = np.sqrt(np.mean(squares, axis=0))
    return np.divide(size, seen.sd, out=np.full(size.shape, np.nan), where=seen.varies)
