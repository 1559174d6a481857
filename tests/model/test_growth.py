"""A fit with growth carries the weighted snapshots into each other."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Unbalanced
from cellflow.metrics import wasserstein
from cellflow.model.fitting import fit
from cellflow.model.recipes import describe, from_description, ot_cfm, uot_cfm
from cellflow.training import Training

FEW = Training(steps=600)
RNG = np.random.default_rng(0)
PLACES = np.array([[0.0, 0.0], [8.0, 0.0]])


def two_types(shares, n, time, mass=1.0):
    """Two types far apart that move up by one per unit of time, with these shares."""
    kind = np.arange(n) >= round(shares[0] * n)
    x = PLACES[kind.astype(int)] + RNG.normal(size=(n, 2)) + [0.0, time]
    return Population(x, time, mass=mass)


@pytest.fixture(scope="module")
def snapshots():
    return Snapshots((two_types((0.5, 0.5), 300, 0.0), two_types((0.2, 0.8), 400, 2.0, mass=5.0)))


@pytest.fixture(scope="module")
def flow(snapshots):
    return fit(snapshots, uot_cfm(tau=0.3, training=FEW))


def test_rates_are_those_of_the_types(flow, snapshots):
    """Masses go from 0.5 and 0.5 to 1 and 4 in two units of time, along the paths of each type."""
    source = snapshots[0]
    log_mass = flow.simulate(source.x, 0.0, [2.0]).log_weight[0]
    first = source.x[:, 0] < 4
    assert np.exp(log_mass[first]).mean() == pytest.approx(1.0 / 0.5, rel=0.05)
    assert np.exp(log_mass[~first]).mean() == pytest.approx(4.0 / 0.5, rel=0.05)


def test_cells_stay_within_their_type_and_masses_come_out_right(flow, snapshots):
    source = snapshots[0]
    moved = flow.simulate(source.x, 0.0, [2.0])
    first = source.x[:, 0] < 4
    assert ((moved.x[0][:, 0] < 4) == first).mean() > 0.99
    mass = moved.weights(source.weight * source.mass)[0]
    assert mass.sum() == pytest.approx(5.0, rel=0.05)
    assert mass[first].sum() / mass.sum() == pytest.approx(0.2, abs=0.02)


def test_a_balanced_fit_moves_cells_between_the_types(snapshots):
    source = snapshots[0]
    flow = fit(snapshots, ot_cfm(training=FEW))
    crossed = (flow.simulate(source.x, 0.0, [2.0]).x[0][:, 0] > 4) & (source.x[:, 0] < 4)
    assert crossed.mean() > 0.2


def test_the_weighted_population_is_nearer_than_the_balanced_one(flow, snapshots):
    source = snapshots[0]
    target = snapshots[1]
    moved = flow.simulate(source.x, 0.0, [2.0])
    weight = moved.weights(source.weight)[0]
    straight = fit(snapshots, ot_cfm(training=FEW)).simulate(source.x, 0.0, [2.0])
    mine = wasserstein(moved.x[0], target.x, x_weight=weight / weight.sum())
    assert mine < 0.8 * wasserstein(straight.x[0], target.x)


def test_growth_of_a_balanced_plan_is_that_of_the_whole(snapshots):
    flow = fit(snapshots, ot_cfm(training=FEW).with_growth())
    growth = flow.head("growth", snapshots[0].x, 1.0)
    np.testing.assert_allclose(growth, np.log(5.0) / 2.0, atol=0.02)


def test_a_prior_says_which_type_grows(snapshots):
    """A balanced plan of sources that count as often as they divide stays within the types."""
    source = snapshots[0]
    rates = np.where(source.x[:, 0] < 4, np.log(0.4) / 2, np.log(1.6) / 2)
    known = Snapshots((replace(source, growth=rates), snapshots[1]))
    flow = fit(known, ot_cfm(training=FEW).with_growth())
    moved = flow.simulate(source.x, 0.0, [2.0])
    first = source.x[:, 0] < 4
    assert ((moved.x[0][:, 0] < 4) == first).mean() > 0.97
    assert np.median(flow.head("growth", source.x[first], 0.0)) == pytest.approx(
        np.log(1.0 / 0.5) / 2, abs=0.05
    )


def test_another_unit_of_time_rescales_rates(snapshots, flow):
    hours = Snapshots(tuple(replace(p, time=24.0 * p.time) for p in snapshots.populations))
    again = fit(hours, uot_cfm(tau=0.3, training=FEW))
    x = snapshots[0].x
    np.testing.assert_allclose(
        24.0 * again.head("growth", x, 24.0), flow.head("growth", x, 1.0), atol=1e-4
    )


def test_the_recipe_is_described_and_read():
    recipe = uot_cfm(tau=0.5)
    assert from_description(describe(recipe)).coupling == Unbalanced(0.5)
    assert recipe.grows
    assert not ot_cfm().grows


def test_the_mean_moves_by_velocities_and_by_growth(flow, snapshots):
    """Most of what moves the mean of two types is that one of them grows."""
    from cellflow.analysis.diagnosis.sample import Sample
    from cellflow.analysis.diagnosis.speed import middle_speed

    found = middle_speed(Sample.drawn(flow, snapshots, 300, 0), 1)
    assert found["middle_ratio"] == pytest.approx(1.0, abs=0.15)
    assert found["middle_cosine"] > 0.97
