"""A transport plan for squared distances, certified to be within a stated gap of the optimum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.transport.units import monotone, whole_units

__all__ = ["Edges", "certified"]


class Edges(NamedTuple):
    """A complete plan: ends `i, j` and `units` of its edges, mean cost, and certified gap."""

    i: IntArray
    j: IntArray
    units: IntArray
    cost: float
    gap: float


def certified(
    x: FloatArray,
    y: FloatArray,
    a: FloatArray,
    b: FloatArray,
    *,
    gap: float,
    rounds: int,
    rng: np.random.Generator,
) -> Edges:
    """Solve transport until (cost - lower bound) / cost is at most `gap`, or for so many rounds.

    Identical cells are merged, and their mass is shared out again. In one dimension the plan is
    exact.

    Parameters
    ----------
    x, y
        Positions, shapes `(n, d)` and `(m, d)`, centred.
    a, b
        Weights, positive, of sum one.
    gap, rounds, rng
        See `columns.generate`.
    """
    supply, demand = whole_units(a, b)
    if x.shape[1] == 1:
        # The monotone plan is optimal.
        rows = np.argsort(x[:, 0])
        columns = np.argsort(y[:, 0])
        i, j, units = monotone(supply[rows], demand[columns])
        i = rows[i]
        j = columns[j]
        return Edges(i, j, units, float((x[i, 0] - y[j, 0]) ** 2 @ units / units.sum()), 0.0)
    from cellflow.transport.problem import Problem
    from cellflow.transport.stages import solve_in_stages

    own = _Distinct.of(x, supply, rng)
    their = _Distinct.of(y, demand, rng)
    # The larger side bids: few bidders would read too many offers each.
    swap = len(own.x) < len(their.x)
    bidders, others = (their, own) if swap else (own, their)
    problem = Problem(bidders.x, others.x, bidders.units, others.units)
    found = solve_in_stages(problem, gap=gap, rounds=rounds, rng=rng)
    ends = (found.j, found.i) if swap else (found.i, found.j)
    edge, i, units = _share_out(ends[0], found.units, own.label, supply)
    other, j, units = _share_out(ends[1][edge], units, their.label, demand)
    return Edges(i[other], j, units, found.cost, found.gap)


class _Distinct(NamedTuple):
    """Distinct positions in random order; `label` is the number of each given cell's position."""

    x: FloatArray
    units: IntArray
    label: IntArray

    @classmethod
    def of(cls, x: FloatArray, units: IntArray, rng: np.random.Generator) -> _Distinct:
        # Identical cells have identical projections, and looking for those first is cheap.
        projection = np.einsum("ij,j->i", x, rng.standard_normal(x.shape[1]))
        label = np.arange(len(x))
        if len(np.unique(projection)) < len(x):
            x, label = np.unique(x, axis=0, return_inverse=True)
        # Exact in float64: units sum to at most 2^52.
        merged = np.bincount(label, weights=units, minlength=len(x)).astype(np.int64)
        order = rng.permutation(np.flatnonzero(merged))
        place = np.full(len(x), -1)
        place[order] = np.arange(len(order))
        return cls(x[order], merged[order], place[label])


def _share_out(
    end: IntArray, flow: IntArray, label: IntArray, units: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Split edges that end in merged cells among the cells: edge, cell and units of each part."""
    edges = np.argsort(end, kind="stable")
    cells = np.flatnonzero(units)
    cells = cells[np.argsort(label[cells], kind="stable")]
    edge, cell, part = monotone(flow[edges], units[cells])
    return edges[edge], cells[cell], part
