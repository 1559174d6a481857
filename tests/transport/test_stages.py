"""Sizes that share no divisor, and weights: few units first, the exact masses in the end."""

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist

from cellflow.core.population import Population
from cellflow.couplings import Sparse
from cellflow.transport.problem import Problem
from cellflow.transport.stages import fewer_units, solve_in_stages
from cellflow.transport.units import whole_units

SIZES = {
    "one more": (601, 600, False),
    "a third more": (700, 523, False),
    "weights": (600, 500, True),
}


def clouds(case, n_dims=2):
    n, m, weighted = SIZES[case]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, n_dims)) + 3.0 * rng.integers(0, 3, (n, 1))
    y = 1.3 * rng.normal(size=(m, n_dims)) + 3.0 * rng.integers(0, 3, (m, 1))
    a, b = (rng.gamma(1.0, size=k) if weighted else np.ones(k) for k in (n, m))
    return x, y, a / a.sum(), b / b.sum()


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.parametrize("n_dims", [2, 6])
def test_masses_are_exact_and_the_bound_is_below_the_optimum(case, n_dims):
    x, y, a, b = clouds(case, n_dims)
    plan = Sparse()(Population(x, 0.0, a), Population(y, 1.0, b))
    np.testing.assert_allclose(plan.row_mass, a, atol=1e-14)
    np.testing.assert_allclose(plan.col_mass, b, atol=1e-14)
    best = ot.emd2(a, b, cdist(x, y, "sqeuclidean"), numItermax=10**7)
    assert plan.gap <= 1e-3
    assert plan.cost * (1 - plan.gap) <= best * (1 + 1e-9)
    assert best <= plan.cost * (1 + 1e-9)


@pytest.mark.parametrize("case", SIZES)
def test_the_order_of_cells_changes_the_cost_within_the_gap_only(case):
    x, y, a, b = clouds(case)
    order = np.random.default_rng(1).permutation(len(x))
    plans = [
        Sparse()(Population(x[rows], 0.0, a[rows]), Population(y, 1.0, b))
        for rows in (np.arange(len(x)), order)
    ]
    assert plans[0].cost == pytest.approx(plans[1].cost, rel=1e-3)


def test_the_plan_is_complete_after_one_round():
    x, y, a, b = clouds("one more")
    supply, demand = whole_units(a, b)
    found = solve_in_stages(
        Problem(x, y, supply, demand), gap=1e-9, rounds=1, rng=np.random.default_rng(0)
    )
    np.testing.assert_array_equal(np.bincount(found.i, found.units, len(x)), supply)
    np.testing.assert_array_equal(np.bincount(found.j, found.units, len(y)), demand)


@pytest.mark.parametrize("case", SIZES)
def test_fewer_units_keep_the_total_and_every_cell(case):
    x, y, a, b = clouds(case)
    problem = Problem(x, y, *whole_units(a, b))
    fewer = fewer_units(problem)
    assert fewer.supply.sum() == fewer.demand.sum() <= 6 * len(x)
    assert min(fewer.supply.min(), fewer.demand.min()) >= 1
    for units, weight in ((fewer.supply, a), (fewer.demand, b)):
        # One unit each, and the others in proportion.
        least = units.sum() / len(units) - 1
        np.testing.assert_allclose(units - 1, least * len(weight) * weight, atol=1.0)


def test_few_units_stay_as_they_are():
    x, y, _, _ = clouds("a third more")
    problem = Problem(x, y[:350], *whole_units(np.ones(700) / 700, np.ones(350) / 350))
    assert fewer_units(problem) is problem
