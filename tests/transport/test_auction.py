"""The auction on a graph: feasible duals, complementary slackness, optimality."""

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist

from cellflow.errors import CouplingError
from cellflow.transport.auction import auction
from cellflow.transport.problem import Arcs


def problem(n=60, m=45, *, density=1.0, seed=0):
    """Costs, a graph that holds a complete plan, and whole units on either side."""
    rng = np.random.default_rng(seed)
    costs = cdist(rng.normal(size=(n, 3)), rng.normal(size=(m, 3)), "sqeuclidean")
    supply = rng.multinomial(1000, np.full(n, 1 / n)) + 1
    demand = np.diff(
        np.r_[
            0, np.sort(rng.choice(np.arange(1, supply.sum()), m - 1, replace=False)), supply.sum()
        ]
    )
    kept = rng.random((n, m)) < density
    ends, other_ends = np.cumsum(supply), np.cumsum(demand)
    cuts = np.union1d(ends, other_ends)
    kept[np.searchsorted(ends, cuts), np.searchsorted(other_ends, cuts)] = True
    key = np.flatnonzero(kept)
    return np.where(kept, costs, 1e3), Arcs((n, m), key, costs.ravel()[key]), supply, demand


def steps(last):
    return np.geomspace(1.0, last, 8)


@pytest.mark.parametrize("density", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("seed", range(3))
def test_plan_and_potentials_prove_each_other(density, seed):
    costs, arcs, supply, demand = problem(density=density, seed=seed)
    epsilon = 1e-6
    flow, u, v = auction(arcs, supply, demand, np.zeros(45), epsilon=steps(epsilon), max_bids=10**7)
    np.testing.assert_array_equal(np.bincount(arcs.source, flow, 60), supply)
    np.testing.assert_array_equal(np.bincount(arcs.target, flow, 45), demand)
    slack = arcs.cost - u[arcs.source] - v[arcs.target]
    assert slack.min() > -1e-12
    assert slack[flow > 0].max() <= epsilon * 1.001
    total = supply.sum()
    best = ot.emd2(supply / total, demand / total, costs, numItermax=10**7)
    assert flow @ arcs.cost / total == pytest.approx(best, abs=2e-6)
    assert (supply @ u + demand @ v) / total == pytest.approx(best, abs=2e-6)


def test_any_prices_may_be_the_first():
    _, arcs, supply, demand = problem()
    costs = [
        auction(arcs, supply, demand, v, epsilon=steps(1e-7), max_bids=10**7)[0] @ arcs.cost
        for v in (np.zeros(45), np.random.default_rng(0).normal(size=45) * 5)
    ]
    assert costs[0] == pytest.approx(costs[1], rel=1e-6)


def test_many_lots_of_one_target():
    # One target holds a lot of every source: its heap is as large as it gets.
    n = 500
    costs = np.random.default_rng(0).random((n, 2))
    arcs = Arcs((n, 2), np.arange(2 * n), costs.ravel())
    flow, u, v = auction(
        arcs, np.full(n, 1), np.array([n - 3, 3]), np.zeros(2), epsilon=steps(1e-9), max_bids=10**7
    )
    difference = np.sort(costs[:, 1] - costs[:, 0])
    assert flow @ arcs.cost == pytest.approx(costs[:, 0].sum() + difference[:3].sum(), abs=1e-5)
    assert difference[2] - 1e-6 <= v[1] - v[0] <= difference[3] + 1e-6
    assert u.shape == (n,)


def test_an_auction_that_is_not_over_is_an_error():
    _, arcs, supply, demand = problem()
    with pytest.raises(CouplingError, match="not over after 10 bids"):
        auction(arcs, supply, demand, np.zeros(45), epsilon=steps(1e-6), max_bids=10)
