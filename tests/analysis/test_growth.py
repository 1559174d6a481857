"""Growth of cells from plans alone: closed forms and invariances."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.analysis.growth import assumed_growth, cell_growth, plan_growth
from cellflow.core.plans import BlockPlan, EdgePlan
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Exact, Independent, Unbalanced
from cellflow.model.coupled import solve_plans


def cloud(n, time, *, mass=1.0, weight=None, seed=0, context=None):
    rng = np.random.default_rng((seed, n))
    return Population(rng.normal(size=(n, 2)), time, weight, mass=mass, context=context)


def types(shares, n, time, *, mass=1.0, seed=0):
    """Two types eight standard deviations apart that move up by one per unit of time."""
    rng = np.random.default_rng((seed, n))
    second = np.arange(n) >= round(shares[0] * n)
    x = rng.normal(size=(n, 2)) + np.stack([8.0 * second, np.full(n, time)], axis=1)
    return Population(x, time, mass=mass)


def first(population):
    return population.x[:, 0] < 4


def rates(snapshots, coupling):
    return cell_growth(snapshots, solve_plans(snapshots, coupling)[0])


@pytest.mark.parametrize("coupling", [Exact(), Independent()])
def test_a_balanced_plan_grows_by_the_sizes(coupling):
    """Sizes A to B in h give log(B / A) / h for every cell, whatever the weights are."""
    a = cloud(30, 1.0, mass=2.0, weight=np.linspace(1.0, 3.0, 30))
    b = cloud(40, 5.0, mass=6.0, seed=1)
    forth, back = plan_growth(coupling(a, b), a, b)
    np.testing.assert_allclose(forth, np.log(3.0) / 4.0, atol=1e-9)
    np.testing.assert_allclose(back, np.log(3.0) / 4.0, atol=1e-9)


def test_an_inner_snapshot_has_the_mean_of_both_sides():
    snapshots = Snapshots((cloud(20, 0.0), cloud(20, 1.0, mass=2.0), cloud(20, 4.0, mass=16.0)))
    found = rates(snapshots, Exact())
    for rate, known in zip(found, (1.0, 0.5 * (1.0 + 1.0), 1.0), strict=True):
        np.testing.assert_allclose(rate, known * np.log(2.0), atol=1e-9)
    uneven = Snapshots((cloud(20, 0.0), cloud(20, 1.0, mass=2.0), cloud(20, 2.0, mass=8.0)))
    np.testing.assert_allclose(rates(uneven, Exact())[1], 1.5 * np.log(2.0), atol=1e-9)


def test_rates_follow_the_unit_of_time():
    days = Snapshots((types((0.5, 0.5), 60, 0.0), types((0.25, 0.75), 60, 2.0, mass=3.0)))
    hours = Snapshots(tuple(replace(p, time=24.0 * p.time) for p in days.populations))
    for day, hour in zip(*(rates(s, Unbalanced(1.0)) for s in (days, hours)), strict=True):
        np.testing.assert_allclose(24.0 * hour, day, rtol=1e-9)


def test_sizes_shift_all_rates_alike():
    """Another ratio of the sizes adds its logarithm over h to every rate."""
    equal = Snapshots((types((0.5, 0.5), 60, 0.0), types((0.25, 0.75), 60, 2.0)))
    grown = Snapshots((equal[0], replace(equal[1], mass=5.0)))
    for one, other in zip(*(rates(s, Unbalanced(0.5)) for s in (equal, grown)), strict=True):
        np.testing.assert_allclose(other - one, np.log(5.0) / 2.0, atol=1e-9)


def test_the_mass_of_descendants_adds_up():
    """The weights times exp(g h) of the sources sum to the mass of the target."""
    a = types((0.5, 0.5), 50, 0.0, mass=2.0)
    b = types((0.2, 0.8), 70, 3.0, mass=7.0)
    plan = Unbalanced(0.3)(a, b)
    forth, back = plan_growth(plan, a, b)
    assert (a.mass * a.weight * np.exp(3.0 * forth)).sum() == pytest.approx(7.0, rel=1e-3)
    assert (b.mass * b.weight * np.exp(-3.0 * back)).sum() == pytest.approx(2.0, rel=1e-3)


def test_time_backward_turns_the_sign():
    a = types((0.5, 0.5), 50, 0.0, mass=2.0)
    b = types((0.2, 0.8), 50, 3.0, mass=7.0)
    forth, back = plan_growth(Unbalanced(0.3)(a, b), a, b)
    first_, last = replace(b, time=0.0), replace(a, time=3.0)
    again, before = plan_growth(Unbalanced(0.3)(first_, last), first_, last)
    np.testing.assert_allclose(again, -back, atol=0.02)
    np.testing.assert_allclose(before, -forth, atol=0.02)


def test_prior_rates_are_kept_up_to_a_constant():
    """A balanced plan from weights exp(g h) gives g back, moved so that the sizes come out."""
    rng = np.random.default_rng(0)
    prior = rng.uniform(-0.5, 0.5, 80)
    a = Population(rng.normal(size=(80, 2)), 0.0, growth=prior)
    b = Population(rng.normal(size=(80, 2)), 2.0, mass=3.0)
    plan = Exact()(a.expected(2.0), b)
    forth, _ = plan_growth(plan, a, b)
    assert np.ptp(forth - prior) < 1e-9
    assert (a.weight * np.exp(2.0 * forth)).sum() == pytest.approx(3.0)


def test_the_truth_lies_between_the_assumptions():
    """Shares .5/.5 to .25/.75 while the whole doubles: rates are log(1) / h and log(3) / h."""
    snapshots = Snapshots((types((0.5, 0.5), 300, 0.0), types((0.25, 0.75), 400, 2.0, mass=2.0)))
    found = dict(assumed_growth(snapshots))
    assert list(found) == ["tau=0.1", "tau=0.3", "tau=1", "tau=3"]
    source = snapshots[0]
    each = [f.at(source.x, np.zeros(300)) for f in found.values()]
    low = np.min(each, axis=0)
    high = np.max(each, axis=0)
    for mine, true in ((first(source), 0.0), (~first(source), np.log(3.0) / 2.0)):
        assert low[mine].mean() - 0.05 <= true <= high[mine].mean() + 0.05
    # Where marginals are hardly kept, mass stays within the types: their masses grow as they do.
    near = np.exp(2.0 * cell_growth(snapshots, solve_plans(snapshots, Unbalanced(0.1))[0])[0])
    assert near[first(source)].mean() == pytest.approx(1.0, abs=0.01)
    assert near[~first(source)].mean() == pytest.approx(3.0, abs=0.03)


def test_prior_rates_are_an_assumption_of_their_own():
    a = types((0.5, 0.5), 60, 0.0)
    snapshots = Snapshots((replace(a, growth=np.where(first(a), 0.1, 0.4)), cloud(60, 2.0)))
    found = dict(assumed_growth(snapshots, taus=[1.0]))
    assert list(found) == ["tau=1", "prior"]
    rate = found["prior"].at(a.x, np.zeros(60))
    assert rate[~first(a)].mean() - rate[first(a)].mean() == pytest.approx(0.3, abs=1e-6)


def test_rates_between_snapshots_are_interpolated():
    sizes = (1.0, 2.0, 8.0)
    snapshots = Snapshots(tuple(cloud(40, float(k), mass=m) for k, m in enumerate(sizes)))
    field = next(field for _, field in assumed_growth(snapshots, taus=[50.0]))
    x = np.zeros((5, 2))
    found = field.at(x, np.array([-1.0, 0.0, 0.5, 1.5, 9.0]))
    known = np.log(2.0) * np.array([1.0, 1.0, 1.25, 1.75, 2.0])
    np.testing.assert_allclose(found, known, atol=0.1)


def test_large_snapshots_are_drawn_down():
    snapshots = Snapshots((types((0.5, 0.5), 900, 0.0), types((0.25, 0.75), 1100, 2.0)))
    whole, drawn = (dict(assumed_growth(snapshots, taus=[0.3], max_cells=n)) for n in (9999, 250))
    assert [len(p) for p in drawn["tau=0.3"].snapshots.populations] == [250, 250]
    x = snapshots[0].x
    each = [found["tau=0.3"].at(x, np.zeros(900)) for found in (whole, drawn)]
    for mine in (first(snapshots[0]), ~first(snapshots[0])):
        assert each[1][mine].mean() == pytest.approx(each[0][mine].mean(), abs=0.05)


def test_conditions_grow_by_themselves():
    """Cells of a condition do not grow because more of them were sampled, nor by others' cells."""
    feature = np.repeat([[0.0], [1.0]], (30, 10), axis=0)
    later = np.repeat([[0.0], [1.0]], (10, 30), axis=0)
    snapshots = Snapshots((cloud(40, 0.0, context=feature), cloud(40, 1.0, context=later, seed=1)))
    plan = solve_plans(snapshots, Exact())[0][0]
    assert isinstance(plan, BlockPlan)
    for rate in plan_growth(plan, *snapshots.populations):
        np.testing.assert_allclose(rate, 0.0, atol=1e-9)
    field = next(field for _, field in assumed_growth(snapshots, taus=[1.0]))
    apart = field.at(snapshots[0].x, np.zeros(40), feature)
    assert np.isfinite(apart).all()
    assert np.isnan(field.at(np.zeros((1, 2)), np.zeros(1), np.array([[2.0]]))).all()


def test_cells_without_mass_have_no_rate():
    a, b = cloud(3, 0.0), cloud(2, 1.0)
    plan = EdgePlan((3, 2), np.array([0, 1]), np.array([0, 0]), np.array([0.5, 0.5]), 1.0)
    forth, back = plan_growth(plan, a, b)
    np.testing.assert_array_equal(np.isnan(forth), [False, False, True])
    np.testing.assert_array_equal(np.isnan(back), [False, True])
    found = cell_growth(Snapshots((a, b)), [plan])
    np.testing.assert_array_equal(np.isnan(found[0]), [False, False, True])
