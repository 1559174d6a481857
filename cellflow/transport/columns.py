r"""Column generation for optimal transport between two clouds.

.. math:: \min_{\pi \ge 0} \sum_{ij} \pi_{ij} \|x_i - y_j\|^p, \qquad \pi 1 = a, \quad \pi^T 1 = b

An optimal plan uses at most `n + m - 1` of the `n m` pairs. So the problem is solved on a few arcs
only, by an *engine*. The potentials of that solution price all pairs: pairs of negative reduced
cost are added, and the potentials, made feasible, bound the optimum from below. This is repeated
until cost and bound agree to the gap that is asked for.

The first arcs come from a subsample, which is solved by the same method: pairs whose reduced cost
is small under its potentials. Two rough but complete plans are added, so that every restricted
problem has a solution.

References
----------
Schmitzer, B. (2016). A sparse multiscale algorithm for dense optimal transport. Journal of
Mathematical Imaging and Vision 56.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from cellflow.core._random import systematic
from cellflow.core._typing import FloatArray, IntArray
from cellflow.transport.pricing import Priced
from cellflow.transport.problem import Arcs, Problem
from cellflow.transport.units import monotone

__all__ = [
    "Checked",
    "Engine",
    "Improved",
    "Restricted",
    "Solved",
    "Start",
    "first_arcs",
    "generate",
    "halved",
    "improve",
]

logger = logging.getLogger("cellflow")

#: Up to this many pairs, all of them are arcs.
_ALL_PAIRS = 400**2
#: The gap to which a subsample is solved at least, and in how many rounds.
_ROUGH_GAP = 1e-3
_ROUGH_ROUNDS = 6
#: First arcs per cell to the best of all cells on the other side.
_NEAR = 16
#: Complete plans by halving, whose edges make every graph feasible.
_HALVINGS = 2


class Start(NamedTuple):
    """Potentials `u (n,)`, `v (m,)` to begin with, and roughly the cost to expect."""

    u: FloatArray
    v: FloatArray
    cost: float


class Restricted(NamedTuple):
    """An optimal plan on some arcs: units on each `(e,)`, and potentials `u (n,)`, `v (m,)`."""

    flow: IntArray
    u: FloatArray
    v: FloatArray


class Checked(NamedTuple):
    """What pricing all pairs has shown: potentials `u (n,)`, `v (m,)`, their proof, new arcs."""

    gap: float  # bound on (cost - optimum) / cost; infinite where nothing is proven
    u: FloatArray
    v: FloatArray
    keys: IntArray  # arcs to add


class Engine(Protocol):
    """Solves one problem on a growing graph, to a gap, from the potentials of `start`."""

    #: How many times larger a cloud is than the subsample that its first potentials come from.
    ratio: ClassVar[int]
    #: First arcs per cell to the best of the subsample.
    far: ClassVar[int]

    def __init__(self, problem: Problem, start: Start, gap: float) -> None: ...

    def solve(self, arcs: Arcs) -> Restricted:
        """Find an optimal plan on these arcs, from the potentials known so far."""

    def check(self, found: Restricted, cost: float) -> Checked:
        """Price all pairs by the potentials of a plan of this cost."""

    def refine(self) -> bool:
        """Work more accurately, as no arc is missing; False where that is impossible."""


class Solved(NamedTuple):
    """A plan: ends `i, j` and `units` of its edges, mean cost, certified gap and potentials."""

    i: IntArray
    j: IntArray
    units: IntArray
    cost: float
    gap: float
    u: FloatArray
    v: FloatArray


def generate(
    problem: Problem, engine: type[Engine], *, gap: float, rounds: int, rng: np.random.Generator
) -> Solved:
    """Generate arcs until the plan on them is certified to `gap`, or for so many rounds.

    Parameters
    ----------
    problem
        What to solve.
    engine
        Solves the restricted problems.
    gap
        Largest (cost - lower bound) / cost.
    rounds
        How often arcs may be added.
    rng
        Draws subsamples and directions, which decide what is tried first.
    """
    arcs, start = first_arcs(problem, engine, gap, rng)
    improved = improve(problem, engine(problem, start, gap), arcs, gap=gap, rounds=rounds)
    return improved.solved


class Improved(NamedTuple):
    """Where rounds of column generation ended: graph, plan on it, its cost, what pricing showed."""

    arcs: Arcs
    found: Restricted
    cost: float
    checked: Checked

    @property
    def solved(self) -> Solved:
        """The edges that carry mass, and the potentials."""
        arcs, found, cost, checked = self
        used = np.flatnonzero(found.flow)
        ends = (arcs.source[used], arcs.target[used])
        return Solved(*ends, found.flow[used], cost, checked.gap, checked.u, checked.v)


def improve(problem: Problem, solver: Engine, arcs: Arcs, *, gap: float, rounds: int) -> Improved:
    """Solve on a graph and add arcs to it, as `generate` does, by an engine of this problem."""
    total = problem.supply.sum()
    for round_ in range(rounds):
        found = solver.solve(arcs)
        cost = float(found.flow @ arcs.cost / total)
        checked = solver.check(found, cost)
        logger.debug(
            "%d x %d cells, round %d: cost %.9g, gap %.2g, %d arcs",
            *arcs.shape,
            round_,
            cost,
            checked.gap,
            len(arcs),
        )
        if checked.gap <= gap or round_ == rounds - 1:
            break
        more = arcs.joined(checked.keys, problem.costs)
        if len(more) == len(arcs) and not solver.refine():
            break
        arcs = more
    return Improved(arcs, found, cost, checked)


def first_arcs(
    problem: Problem, engine: type[Engine], gap: float, rng: np.random.Generator
) -> tuple[Arcs, Start]:
    """All pairs of small clouds; else pairs of small reduced cost by a subsample's potentials."""
    x = problem.x
    y = problem.y
    n = len(x)
    m = len(y)
    if n * m <= _ALL_PAIRS:
        arcs = problem.arcs(np.arange(n * m))
        cost = float(problem.a @ arcs.cost.reshape(n, m) @ problem.b)
        return arcs, Start(np.zeros(n), np.zeros(m), cost)
    size = max(n, m) // engine.ratio
    rows, drawn = np.unique(systematic(problem.supply, size, rng), return_counts=True)
    columns, also_drawn = np.unique(systematic(problem.demand, size, rng), return_counts=True)
    part = replace(problem, x=x[rows], y=y[columns], supply=drawn, demand=also_drawn)
    few = generate(part, engine, gap=max(2 * gap, _ROUGH_GAP), rounds=_ROUGH_ROUNDS, rng=rng)

    def toward(here: FloatArray, there: FloatArray, potential: FloatArray) -> Priced:
        beside = replace(problem, x=here, y=there)
        return beside.price(np.zeros(len(here)), potential, rows=engine.far)

    to_columns = toward(x, y[columns], few.v)
    to_rows = toward(y, x[rows], few.u)
    u = to_columns.row_min
    v = to_rows.row_min
    # Pairs beyond the best few of the subsample hardly ever carry mass.
    limits = (to_columns.row_value[:, -1] - u, to_rows.row_value[:, -1] - v)
    near = problem.price(u, v, rows=_NEAR, columns=_NEAR, row_limit=limits[0], col_limit=limits[1])
    i, k = np.nonzero(to_columns.row_arc >= 0)
    j, other_k = np.nonzero(to_rows.row_arc >= 0)
    keys = [
        near.keys,
        i * np.int64(m) + columns[to_columns.row_arc[i, k]],
        rows[to_rows.row_arc[j, other_k]] * np.int64(m) + j,
        *(halved(problem, rng) for _ in range(_HALVINGS)),
    ]
    return problem.arcs(np.concatenate(keys)), Start(u, v, few.cost)


def halved(problem: Problem, rng: np.random.Generator) -> IntArray:
    """Arcs of a complete plan: both clouds are halved repeatedly, in the same random directions."""
    x = problem.x
    y = problem.y
    orders = [np.arange(len(x)), np.arange(len(y))]
    places = [np.zeros(len(x)), np.zeros(len(y))]
    for level in range(int(np.log2(max(len(x), len(y)))) + 1):
        direction = x.T @ rng.standard_normal(len(x)) + y.T @ rng.standard_normal(len(y))
        for side, (z, units) in enumerate(((x, problem.supply), (y, problem.demand))):
            along = z @ direction
            within = (along - along.min()) / (np.ptp(along) * (1.0 + 1e-9) or 1.0)
            order = np.argsort(np.floor(places[side] * 2.0**level) + within)
            ends = np.cumsum(units[order])
            places[side][order] = (ends - units[order] / 2) / ends[-1]
            orders[side] = order
    rows, columns = orders
    i, j, _ = monotone(problem.supply[rows], problem.demand[columns])
    return rows[i] * np.int64(len(y)) + columns[j]
