"""Mass between labels: conserved, equal to what was measured at both ends, chained cell by cell."""

from itertools import pairwise

import numpy as np
import pytest

from cellflow.analysis.label_flows import label_flow
from cellflow.core.plans import EdgePlan, ProductPlan
from cellflow.core.population import Population

CODES = np.array([0, 0, 1, 0, 1, 1, 1])  # three cells, then four


def cells(time, rows, weight=None, mass=1.0):
    return Population(
        np.zeros((len(rows), 1)), time, None if weight is None else np.array(weight), rows, mass
    )


def test_a_plan_by_hand():
    """Two cells of label 0 stay, half of the cell of label 1 changes."""
    plan = EdgePlan((3, 4), [0, 1, 2, 2], [0, 1, 2, 0], [2.0, 2.0, 1.0, 1.0], cost=0.0)
    source = cells(0.0, np.arange(3), mass=6.0)
    target = cells(1.0, np.arange(3, 7), weight=[3.0, 2.0, 1.0, 0.0], mass=6.0)
    found = label_flow(source, target, [plan], CODES, 2)
    np.testing.assert_allclose(found.before, [[2.0, 2.0], [1.0, 1.0]])
    np.testing.assert_allclose(found.after, [[2.0, 2.0], [1.0, 1.0]])
    np.testing.assert_allclose((found.source, found.target), [[4.0, 2.0], [3.0, 3.0]])


@pytest.mark.parametrize("n_between", [0, 1, 3])
def test_masses_at_both_ends_are_the_measured_ones_whatever_the_plan(n_between):
    """Rows and columns of plans with other marginals than the weights, over several intervals."""
    rng = np.random.default_rng(n_between)
    sizes = rng.integers(5, 12, size=n_between + 2)
    starts = np.cumsum([0, *sizes])
    codes = rng.integers(0, 3, size=starts[-1])
    populations = [
        cells(float(k), np.arange(starts[k], starts[k + 1]), rng.random(sizes[k]), rng.random() + 1)
        for k in range(len(sizes))
    ]
    plans = []
    for n, m in pairwise(sizes):
        i, j = (a.ravel() for a in np.indices((n, m)))
        plans.append(EdgePlan((n, m), i, j, rng.random(n * m), cost=0.0, total=0.7))
    found = label_flow(populations[0], populations[-1], plans, codes, 3)
    for end, sums, mass in (
        (populations[0], found.before.sum(axis=1), found.source),
        (populations[-1], found.after.sum(axis=0), found.target),
    ):
        expected = end.mass * np.bincount(codes[end.index], end.weight, 3)
        np.testing.assert_allclose(sums, expected)
        np.testing.assert_allclose(mass, expected)


def test_without_growth_both_masses_are_equal_over_one_interval_and_over_several():
    rng = np.random.default_rng(0)
    a, b, c = (cells(float(k), np.arange(6 * k, 6 * k + 6)) for k in range(3))
    codes = rng.integers(0, 3, size=18)
    turn = [EdgePlan((6, 6), np.arange(6), rng.permutation(6), np.ones(6), cost=0.0) for _ in "ab"]
    once = label_flow(a, b, turn[:1], codes, 3)
    twice = label_flow(a, c, turn, codes, 3)
    np.testing.assert_allclose(once.before, once.after)
    np.testing.assert_allclose(twice.before, twice.after)
    # Cell by cell, not label by label: a chain of permutations is a permutation.
    end = turn[1].j[np.argsort(turn[1].i)][turn[0].j[np.argsort(turn[0].i)]]
    expected = np.zeros((3, 3))
    np.add.at(expected, (codes[:6], codes[12:][end]), 1 / 6)
    np.testing.assert_allclose(twice.before, expected)


def test_independent_pairs_give_the_product_of_the_shares():
    source = cells(0.0, np.arange(3))
    target = cells(1.0, np.arange(3, 7))
    plan = ProductPlan(source.weight, target.weight, cost=0.0)
    found = label_flow(source, target, [plan], CODES, 2)
    np.testing.assert_allclose(found.before, np.outer([2 / 3, 1 / 3], [1 / 4, 3 / 4]))


def test_cells_without_mass_in_the_plan_have_no_flow():
    plan = EdgePlan((3, 4), [0, 1], [0, 1], [1.0, 1.0], cost=0.0)
    found = label_flow(cells(0.0, np.arange(3)), cells(1.0, np.arange(3, 7)), [plan], CODES, 2)
    np.testing.assert_allclose(found.source - found.before.sum(axis=1), [0.0, 1 / 3])
    np.testing.assert_allclose(found.target - found.after.sum(axis=0), [0.0, 1 / 2])
