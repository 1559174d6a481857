"""Pairs with mass that grows start as the source and end as the target, whatever the plan."""

import numpy as np
import pytest

from cellflow.core.plans import EdgePlan, ProductPlan, growing_pairs, log_factors, mass_at
from cellflow.core.population import Population
from cellflow.couplings import Entropic, Exact, Unbalanced
from cellflow.errors import InputError

RNG = np.random.default_rng(3)
SOURCE = Population(RNG.normal(size=(60, 2)), 0.0, RNG.random(60))
TARGET = Population(RNG.normal(size=(80, 2)) + 1.0, 2.0, RNG.random(80))

PLANS = {
    "exact": Exact(),
    "entropic": Entropic(epsilon=0.5),
    "relaxed": Unbalanced(0.1),
    "independent": lambda a, b: ProductPlan(a.weight, b.weight, 1.0),
}


@pytest.mark.parametrize("name", PLANS)
def test_pairs_carry_both_marginals(name):
    plan = PLANS[name](SOURCE, TARGET)
    pairs = growing_pairs(plan, SOURCE, TARGET, 40_000, np.random.default_rng(0))
    for share, cells, weight in ((0.0, pairs.i, SOURCE.weight), (1.0, pairs.j, TARGET.weight)):
        mass = mass_at(pairs.log_ratio, share)
        found = np.bincount(cells, mass, len(weight)) / len(mass)
        np.testing.assert_allclose(found, weight, atol=2e-3)


def test_pairs_of_a_balanced_plan_do_not_grow():
    pairs = growing_pairs(Exact()(SOURCE, TARGET), SOURCE, TARGET, 500, np.random.default_rng(0))
    np.testing.assert_allclose(pairs.log_ratio, 0.0, atol=1e-9)


def test_growth_of_two_cells_is_the_ratio_of_their_shares():
    """Two cells that stay where they are, with shares 1/2, 1/2 and then 1/4, 3/4."""
    place = np.array([[0.0], [9.0]])
    source = Population(place, 0.0)
    target = Population(place, 1.0, [0.25, 0.75])
    plan = EdgePlan((2, 2), [0, 1], [0, 1], [0.3, 0.7], 0.0)
    by_source, by_target = log_factors(plan, source, target)
    np.testing.assert_allclose(by_target - by_source, np.log([0.5, 1.5]))


def test_cells_that_a_plan_leaves_out_are_not_drawn():
    plan = EdgePlan((3, 2), [0, 2], [1, 1], [0.5, 0.5], 0.0)
    source = Population(np.zeros((3, 1)), 0.0)
    target = Population(np.zeros((2, 1)), 1.0)
    pairs = growing_pairs(plan, source, target, 100, np.random.default_rng(0))
    assert set(pairs.i) == {0, 2}
    assert set(pairs.j) == {1}
    assert np.isfinite(pairs.log_ratio).all()


@pytest.mark.parametrize("log_ratio", [-800.0, -3.0, 0.0, 2.0, 800.0])
def test_masses_are_geometric_in_time_and_at_most_two(log_ratio):
    share = np.linspace(0.0, 1.0, 11)
    mass = mass_at(np.full(11, log_ratio), share)
    assert (mass >= 0).all()
    assert mass.max() <= 2.0
    if abs(log_ratio) < 100:
        np.testing.assert_allclose(np.diff(np.log(mass)), log_ratio / 10, atol=1e-12)
        assert mass[0] + mass[-1] == pytest.approx(2.0)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("side", ["source", "target"])
def test_partners_are_drawn_by_the_mass_of_a_cell(name, side):
    plan = PLANS[name](SOURCE, TARGET)
    own, other = (SOURCE, TARGET) if side == "source" else (TARGET, SOURCE)
    cell = 7
    drawn = plan.partners(np.full(20_000, cell), np.random.default_rng(0), side)
    mean = plan.barycentre(other.x, side)[cell]
    np.testing.assert_allclose(other.x[drawn].mean(axis=0), mean, atol=0.05)
    assert len(own.x) > cell


def test_prior_growth_weights_the_sources():
    rates = np.linspace(-1.0, 1.0, 60)
    prior = Population(SOURCE.x, 0.0, SOURCE.weight, growth=rates)
    expected = prior.expected(2.0).weight
    wanted = SOURCE.weight * np.exp(2.0 * rates)
    np.testing.assert_allclose(expected, wanted / wanted.sum())
    assert prior.part(np.arange(3)).growth.tolist() == rates[:3].tolist()


def test_prior_rates_in_another_unit_are_refused():
    rates = np.linspace(-900.0, 800.0, 60)
    with pytest.raises(InputError, match=r"-900 to 800 per unit of time"):
        Population(SOURCE.x, 0.0, growth=rates).expected(2.0)
