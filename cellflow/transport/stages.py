r"""Transport with masses of many units: an auction of few units, then the simplex of all.

The auction is fast where a cell has one or two units. Where 10,000 cells meet 10,001, each has
thousands, and the last splinters of mass take nearly all bids: each raises a price by
:math:`\epsilon` and moves next to nothing. So masses are rounded to few units at first, of which
the auction finds prices that are nearly right. From these the network simplex needs few pivots to
the optimum of the exact masses, on the arcs that the auction has found. Only it makes the plan and
its certificate.

References
----------
Bertsekas, D. P. and Castañon, D. A. (1989). The auction algorithm for the transportation problem.
Annals of Operations Research 20.
Bixby, R. E. and Saltzman, M. J. (1994). Recovering an optimal LP basis from an interior point
solution. Operations Research Letters 15.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cellflow.core._typing import IntArray
from cellflow.transport.auction import Auction
from cellflow.transport.columns import Solved, Start, first_arcs, generate, halved, improve
from cellflow.transport.problem import Problem
from cellflow.transport.simplex import Simplex

__all__ = ["fewer_units", "solve_in_stages"]

#: Up to so many units per cell of the larger side, the auction takes the masses as they are.
_FEW = 4
#: Units per cell of the larger side that masses are rounded to: equal ones, and others. More units
#: are more exact and take longer.
_EQUAL = 1
_UNEQUAL = 6
#: The gap of the rounded problem at which the simplex takes over. At larger ones it pivots long.
_ROUNDED_GAP = 3e-3
#: Complete plans of the exact masses whose edges are arcs as well.
_HALVINGS = 2


def fewer_units(problem: Problem) -> Problem:
    """Round the masses to a few units per cell, at least one; few enough stay as they are."""
    larger = max(len(problem.x), len(problem.y))
    if problem.supply.sum() <= _FEW * larger:
        return problem
    equal = np.ptp(problem.supply) == 0 and np.ptp(problem.demand) == 0
    total = (_EQUAL if equal else _UNEQUAL) * larger
    return replace(
        problem, supply=_rounded(problem.supply, total), demand=_rounded(problem.demand, total)
    )


def _rounded(units: IntArray, total: int) -> IntArray:
    """As many units in all as said: one for each cell, the others in proportion."""
    share = np.cumsum(units) / units.sum()
    ends = np.rint(share * (total - len(units))).astype(np.int64)
    rounded: IntArray = 1 + np.diff(ends, prepend=0)
    return rounded


def solve_in_stages(
    problem: Problem, *, gap: float, rounds: int, rng: np.random.Generator
) -> Solved:
    """Find a plan whose cost is certified to `gap`, or after so many rounds of either stage.

    Parameters
    ----------
    problem
        What to solve.
    gap
        Largest (cost - lower bound) / cost.
    rounds
        How often arcs may be added in each stage.
    rng
        Draws subsamples and directions, which decide what is tried first.
    """
    rough = fewer_units(problem)
    if rough is problem:
        return generate(problem, Auction, gap=gap, rounds=rounds, rng=rng)
    arcs, start = first_arcs(rough, Auction, gap, rng)
    rough_gap = max(gap, _ROUNDED_GAP)
    auction = Auction(rough, start, rough_gap)
    arcs, _, cost, checked = improve(rough, auction, arcs, gap=rough_gap, rounds=rounds)
    exact = [checked.keys, *(halved(problem, rng) for _ in range(_HALVINGS))]
    # Numbered anew, by row: arcs of negative reduced cost are then spread evenly, and the simplex
    # finds one after reading few. In the order of adding it takes up to ten times as long.
    arcs = replace(arcs.joined(np.concatenate(exact), problem.costs), number=None)
    u = np.minimum.reduceat(arcs.cost - checked.v[arcs.target], arcs.start[:-1])
    simplex = Simplex(problem, Start(u, checked.v, cost), gap)
    return improve(problem, simplex, arcs, gap=gap, rounds=rounds).solved
