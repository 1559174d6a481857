"""Near-exact transport between whole populations, with a certificate."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.core._random import as_seed, stream, systematic
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.core.plans import EdgePlan
from cellflow.core.population import Population
from cellflow.couplings.base import arc_costs, cloud, positive, whole
from cellflow.errors import CouplingWarning
from cellflow.transport._mass import monotone, whole_units

if TYPE_CHECKING:
    from cellflow.transport.auction import Arcs

__all__ = ["Sparse"]

logger = logging.getLogger("cellflow")

#: Up to this many pairs, all of them are candidates.
_ALL_PAIRS = 400**2
#: How many times larger a population is than the subsample that its first potentials come from.
_RATIO = 4
#: Candidate arcs per cell: the best of all cells on the other side, the best of the subsample's,
#: and what a round adds.
_NEAR = 16
_FAR = 4
_ADDED = 5
#: The auction's epsilons: the first relative to what the cost is in doubt by, the ratio of
#: successive ones, the last in terms of the cost times `tol`.
_COARSE = 0.05
_STEP = 6.0
_FINE = 0.1
#: Bids per source and epsilon after which an auction has failed; a hundred is usual.
_MAX_BIDS = 20_000
#: Complete plans by halving, whose edges make every graph feasible.
_HALVINGS = 2
#: Rounding, relative to the largest cost there could be: nothing is resolved below.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Sparse:
    r"""Optimal transport for squared Euclidean cost to a stated, certified accuracy, for tens of thousands of cells.

    Column generation: a subsample is solved first (by the same method); its potentials, extended to
    all cells, tell which pairs have a small reduced cost :math:`|x_i - y_j|^2 - u_i - v_j`; two
    rough but complete plans make sure that everything can be placed; transport on these few arcs is
    solved by an auction; one pass over all pairs then yields a lower bound on the optimum and the
    arcs that were missing, until the bound is within `tol`. The bound includes the rounding error
    of the pass. Any sizes and any weights work; cells of weight zero stay out of the plan;
    identical cells are merged and shared out again; in one dimension the plan is exact by sorting.

    Time grows with the number of pairs (seconds for 20,000 by 20,000), memory with the number of
    cells. Unequal weights take two to three times as long as equal ones.

    Parameters
    ----------
    tol
        Stop when (cost - lower bound) / cost is at most this.
    random_state
        Seed of the subsamples.
    max_rounds
        How often missing arcs may be added.

    Warns
    -----
    CouplingWarning
        The certified gap is still above `tol` after `max_rounds`; the plan is complete
        nevertheless.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> source, target = Population(rng.normal(size=(60, 2)), 0.0), Population(rng.normal(size=(40, 2)) + 1, 1.0)
    >>> Sparse(tol=1e-3)(source, target).gap <= 1e-3
    True
    """

    tol: float = 1e-3
    random_state: int = 0
    max_rounds: int = 20

    def __post_init__(self) -> None:
        positive(tol=self.tol)
        whole(max_rounds=self.max_rounds)
        object.__setattr__(self, "random_state", as_seed(self.random_state))

    @guarded
    def __call__(self, source: Population, target: Population) -> EdgePlan:
        """Couple two whole populations."""
        centre = target.weight @ target.x
        a = cloud(source, centre)
        b = cloud(target, centre)
        supply, demand = whole_units(a.weight, b.weight)
        if a.x.shape[1] == 1:
            i, j, units, cost, gap = *_sorted(a.x[:, 0], b.x[:, 0], supply, demand), 0.0
        else:
            rng = stream(self.random_state)
            x = _Cells.of(a.x, supply, rng)
            y = _Cells.of(b.x, demand, rng)
            # The larger side bids: few bidders would look at too many offers each.
            swap = len(x.x) < len(y.x)
            bidders, others = (y, x) if swap else (x, y)
            solved = _solve(
                bidders.x, others.x, bidders.units, others.units, self.tol, rng, self.max_rounds
            )
            if swap:
                solved = solved._replace(i=solved.j, j=solved.i)
            edge, i, units = _share_out(solved.i, solved.units, x.label, supply)
            other, j, units = _share_out(solved.j[edge], units, y.label, demand)
            i = i[other]
            cost = solved.cost
            gap = solved.gap
        if gap > self.tol:
            msg = (
                f"The plan of {len(source)} x {len(target)} cells is certified to {gap:.2g} of its"
                f" cost only, and tol={self.tol:g} was asked. Raise `max_rounds` or `tol`, or take"
                " Exact() if its matrix fits into memory."
            )
            warn(msg, CouplingWarning)
        return EdgePlan(
            (len(source), len(target)), a.rows[i], b.rows[j], units.astype(np.float64), cost, gap
        )


def _sorted(
    x: FloatArray, y: FloatArray, supply: IntArray, demand: IntArray
) -> tuple[IntArray, IntArray, IntArray, float]:
    """Solve one dimension: the monotone plan is optimal."""
    rows = np.argsort(x)
    columns = np.argsort(y)
    i, j, units = monotone(supply[rows], demand[columns])
    i = rows[i]
    j = columns[j]
    return i, j, units, float((x[i] - y[j]) ** 2 @ units / units.sum())


class _Cells(NamedTuple):
    """Distinct positions in random order; `label` says which of them each given cell is."""

    x: FloatArray
    units: IntArray
    label: IntArray

    @classmethod
    def of(cls, x: FloatArray, units: IntArray, rng: np.random.Generator) -> _Cells:
        # Identical cells have identical projections, and looking for those first is cheap.
        projection = np.einsum("ij,j->i", x, rng.standard_normal(x.shape[1]))
        label = np.arange(len(x))
        if len(np.unique(projection)) < len(x):
            x, label = np.unique(x, axis=0, return_inverse=True)
        merged = np.bincount(label, weights=units, minlength=len(x)).astype(
            np.int64
        )  # exact: at most 2^52
        order = rng.permutation(np.flatnonzero(merged))
        place = np.full(len(x), -1)
        place[order] = np.arange(len(order))
        return cls(x[order], merged[order], place[label])


def _share_out(
    end: IntArray, flow: IntArray, label: IntArray, units: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Split edges that end in merged cells among the cells themselves: edge, cell and units of each part."""
    edges = np.argsort(end, kind="stable")
    cells = np.flatnonzero(units)
    cells = cells[np.argsort(label[cells], kind="stable")]
    edge, cell, part = monotone(flow[edges], units[cells])
    return edges[edge], cells[cell], part


class _Solved(NamedTuple):
    """A complete plan, its mean cost, its gap, and the potentials that prove it."""

    i: IntArray
    j: IntArray
    units: IntArray
    cost: float
    gap: float
    u: FloatArray
    v: FloatArray


def _solve(
    x: FloatArray,
    y: FloatArray,
    supply: IntArray,
    demand: IntArray,
    tol: float,
    rng: np.random.Generator,
    rounds: int,
) -> _Solved:
    """Generate arcs until the certified gap is at most `tol`."""
    from cellflow.transport.auction import auction
    from cellflow.transport.pricing import price

    n = len(x)
    m = len(y)
    total = supply.sum()
    v: FloatArray
    a = supply / total
    b = demand / total
    resolution = max(
        _ROUNDING * (np.linalg.norm(x, axis=1).max() + np.linalg.norm(y, axis=1).max()) ** 2, 1e-200
    )
    if n * m <= _ALL_PAIRS:
        arcs = _joined(None, np.arange(n * m), x, y)
        v = np.zeros(m)
        cost = float(a @ arcs.cost.reshape(n, m) @ b)
    else:
        arcs, v, cost = _candidates(x, y, supply, demand, tol, rng)
    bound = 0.0
    fine = _FINE * tol
    doubt = cost
    dtype: type[np.floating] = np.float32
    for round_ in range(rounds):
        last = max(fine * cost, 0.1 * resolution)
        coarse = max(_COARSE * doubt, last)
        epsilon = np.geomspace(
            coarse, last, 1 + int(np.ceil(np.log(coarse / last) / np.log(_STEP)))
        )
        flow, u, v = auction(arcs, supply, demand, v, epsilon=epsilon, max_bids=_MAX_BIDS * n)
        cost = float(flow @ arcs.cost / total)
        threshold = -0.2 * fine * cost
        priced = price(
            x,
            y,
            u,
            v,
            rows=_ADDED,
            columns=_ADDED,
            row_limit=threshold,
            col_limit=threshold,
            dtype=dtype,
        )
        # Potentials bound the optimum once they are feasible, and either side can be lowered to
        # make them so.
        lower = u + priced.row_min
        excess = np.where(priced.col_arc[:, 0] >= 0, priced.col_value[:, 0], threshold)
        by_rows = a @ (lower - priced.error) + b @ v
        by_columns = a @ u + b @ (v + excess) - priced.error.max()
        bound = max(bound, float(by_rows), float(by_columns))
        doubt = max(cost, cost - float(max(by_rows, by_columns)))
        gap = max(0.0, 1.0 - bound / cost) if cost > resolution else 0.0
        logger.debug(
            "%d x %d cells, round %d: cost %.6g, gap %.2g, %d arcs",
            n,
            m,
            round_,
            cost,
            gap,
            len(arcs.key),
        )
        if gap <= tol or round_ == rounds - 1:
            break
        if a @ priced.error > 0.1 * tol * cost:
            dtype = np.float64
        known = len(arcs.key)
        missing = [
            _keys(np.arange(n)[:, None], priced.row_arc, m),
            _keys(priced.col_arc, np.arange(m)[:, None], m),
        ]
        arcs = _joined(arcs, np.concatenate(missing), x, y)
        if len(arcs.key) == known:
            fine *= 0.3
        # Lowered potentials of the sources leave room for higher ones of the targets: what was
        # overpriced sells again.
        v = np.full(m, np.inf)
        np.minimum.at(v, arcs.target, arcs.cost - lower[arcs.source])
    used = np.flatnonzero(flow)
    return _Solved(arcs.source[used], arcs.target[used], flow[used], cost, gap, u, v)


def _candidates(
    x: FloatArray,
    y: FloatArray,
    supply: IntArray,
    demand: IntArray,
    tol: float,
    rng: np.random.Generator,
) -> tuple[Arcs, FloatArray, float]:
    """Solve a subsample, extend its potentials to all cells, and take the arcs of smallest reduced cost under them.

    Returns the graph, the targets' potentials and the subsample's cost.
    """
    from cellflow.transport.pricing import price

    n = len(x)
    m = len(y)
    size = max(n, m) // _RATIO
    (rows, drawn), (columns, also_drawn) = _sample(supply, size, rng), _sample(demand, size, rng)
    few = _solve(x[rows], y[columns], drawn, also_drawn, max(2 * tol, 1e-3), rng, 6)
    to_columns = price(x, y[columns], np.zeros(n), few.v, rows=_FAR)
    to_rows = price(y, x[rows], np.zeros(m), few.u, rows=_FAR)
    u = to_columns.row_min
    v = to_rows.row_min
    # Beyond the fourth best of the subsample, nothing promises much.
    limits = to_columns.row_value[:, -1] - u, to_rows.row_value[:, -1] - v
    near = price(x, y, u, v, rows=_NEAR, columns=_NEAR, row_limit=limits[0], col_limit=limits[1])
    keys = [
        _keys(np.arange(n)[:, None], near.row_arc, m),
        _keys(near.col_arc, np.arange(m)[:, None], m),
        _keys(
            np.arange(n)[:, None],
            np.where(to_columns.row_arc < 0, -1, columns[to_columns.row_arc]),
            m,
        ),
        _keys(np.where(to_rows.row_arc < 0, -1, rows[to_rows.row_arc]), np.arange(m)[:, None], m),
    ]
    for _ in range(_HALVINGS):
        i, j = _halved(x, y, supply, demand, rng)
        keys.append(i * np.int64(m) + j)
    return _joined(None, np.concatenate(keys), x, y), v, few.cost


def _halved(
    x: FloatArray, y: FloatArray, supply: IntArray, demand: IntArray, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Edges of a complete plan: both populations are halved again and again, along the same random directions."""
    orders = [np.arange(len(x)), np.arange(len(y))]
    places = [np.zeros(len(x)), np.zeros(len(y))]
    for level in range(int(np.log2(max(len(x), len(y)))) + 1):
        direction = x.T @ rng.standard_normal(len(x)) + y.T @ rng.standard_normal(len(y))
        for side, (z, units) in enumerate(((x, supply), (y, demand))):
            along = z @ direction
            within = (along - along.min()) / (np.ptp(along) * (1.0 + 1e-9) or 1.0)
            order = np.argsort(np.floor(places[side] * 2.0**level) + within)
            ends = np.cumsum(units[order])
            places[side][order] = (ends - units[order] / 2) / ends[-1]
            orders[side] = order
    i, j, _ = monotone(supply[orders[0]], demand[orders[1]])
    return orders[0][i], orders[1][j]


def _sample(units: IntArray, size: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Draw `size` times by mass, systematically: the cells drawn, and how often."""
    return np.unique(systematic(units, size, rng), return_counts=True)


def _keys(i: IntArray, j: IntArray, m: int) -> IntArray:
    """Name pairs by one number each; a pair with a negative end is none."""
    i, j = np.broadcast_arrays(i, j)
    found = (i >= 0) & (j >= 0)
    return i[found] * np.int64(m) + j[found]


def _joined(arcs: Arcs | None, keys: IntArray, x: FloatArray, y: FloatArray) -> Arcs:
    """Add pairs to a graph."""
    from cellflow.transport.auction import Arcs

    n = len(x)
    m = len(y)
    new = np.sort(keys)
    new = new[np.diff(new, prepend=-1) > 0]
    if arcs is not None:
        new = new[arcs.key[np.searchsorted(arcs.key, new).clip(max=len(arcs.key) - 1)] != new]
    costs = arc_costs(x, y, new // m, new % m)
    if arcs is None:
        return Arcs((n, m), new, costs)
    merged = np.concatenate([arcs.key, new])
    order = np.argsort(merged, kind="stable")
    return Arcs((n, m), merged[order], np.concatenate([arcs.cost, costs])[order])
