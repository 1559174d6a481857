"""Transport with relaxed marginals: closed forms, conditions of the optimum, limits, bounds."""

from dataclasses import replace

import numpy as np
import ot
import pytest
from scipy.spatial.distance import cdist
from scipy.special import kl_div

from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Entropic, Minibatch, Unbalanced
from cellflow.errors import CouplingError, CouplingWarning, InputError
from cellflow.model.description import describe, from_description
from cellflow.model.fitting import couple, fit
from cellflow.model.recipes import ot_cfm
from cellflow.training import Training

EPSILON = 0.02


def clouds(n=40, m=30, d=2, seed=0):
    rng = np.random.default_rng(seed)
    return Population(rng.normal(size=(n, d)), 0.0, rng.gamma(1.0, size=n)), Population(
        rng.normal(size=(m, d)) + 1, 1.0, rng.gamma(1.0, size=m)
    )


def matrix(plan):
    return np.concatenate([mass for _, mass, _ in plan.tiles()])


def mean_cost(source, target):
    return source.weight @ cdist(source.x, target.x, "sqeuclidean") @ target.weight


def objective(plan, source, target, tau_source, tau_target, epsilon=EPSILON):
    """In units of the mean cost, from the whole matrix."""
    mass = matrix(plan)
    costs = cdist(source.x, target.x, "sqeuclidean") / mean_cost(source, target)
    value = (mass * costs).sum()
    value += epsilon * kl_div(mass, np.outer(source.weight, target.weight)).sum()
    for tau, sums, weight in (
        (tau_source, mass.sum(axis=1), source.weight),
        (tau_target, mass.sum(axis=0), target.weight),
    ):
        value += tau * kl_div(sums, weight).sum() if np.isfinite(tau) else 0.0
    return value


@pytest.mark.parametrize("tau", [(1.0, 1.0), (0.1, 2.0), (np.inf, 0.3)])
def test_mass_between_two_cells_is_that_of_the_closed_form(tau):
    # cost + (epsilon + tau_s + tau_t) log(mass) = 0, and the cost is the unit.
    source, target = Population(np.zeros((1, 2)), 0.0), Population(np.ones((1, 2)), 1.0)
    plan = Unbalanced(tau_source=tau[0], tau_target=tau[1], tol=1e-12)(source, target)
    assert plan.total == pytest.approx(np.exp(-1.0 / (EPSILON + sum(tau))), rel=1e-6)


@pytest.mark.parametrize("tau", [(0.1, 0.1), (0.05, 0.2)])
def test_far_types_keep_to_themselves_with_masses_between_their_shares(tau):
    place = np.array([[0.0, 0.0], [10.0, 0.0]])
    source = Population(place, 0.0, np.array([0.5, 0.5]))
    target = Population(place, 1.0, np.array([0.3, 0.7]))
    plan = Unbalanced(tau_source=tau[0], tau_target=tau[1], tol=1e-14)(source, target)
    powers = (EPSILON + np.array(tau)) / (EPSILON + sum(tau))
    expected = source.weight ** powers[0] * target.weight ** powers[1]
    np.testing.assert_allclose(plan.row_mass, expected, rtol=1e-5)
    np.testing.assert_allclose(plan.col_mass, expected, rtol=1e-5)
    i, j = plan.sample(1000, np.random.default_rng(0))
    np.testing.assert_array_equal(i, j)


@pytest.mark.parametrize("tau", [(1.0, 1.0), (0.1, 0.1), (3.0, 0.5)])
def test_plans_are_those_of_pot(tau):
    source, target = clouds()
    plan = Unbalanced(tau_source=tau[0], tau_target=tau[1], tol=1e-13)(source, target)
    costs = cdist(source.x, target.x, "sqeuclidean") / mean_cost(source, target)
    expected = ot.unbalanced.sinkhorn_unbalanced(
        source.weight,
        target.weight,
        costs,
        EPSILON,
        tau,
        method="sinkhorn",
        reg_type="kl",
        numItermax=100_000,
        stopThr=1e-14,
    )
    np.testing.assert_allclose(matrix(plan), expected, atol=1e-6 * expected.max())


@pytest.mark.parametrize("tau", [(1.0, 1.0), (np.inf, 0.5), (0.2, np.inf)])
def test_conditions_of_the_optimum(tau):
    source, target = clouds()
    plan = Unbalanced(tau_source=tau[0], tau_target=tau[1], tol=1e-14)(source, target)
    unit = mean_cost(source, target)
    rows = source.weight * np.exp(-plan.f / (tau[0] * unit))
    columns = target.weight * np.exp(-plan.g / (tau[1] * unit))
    np.testing.assert_allclose(plan.row_mass, rows, atol=1e-8)
    np.testing.assert_allclose(plan.col_mass, columns, atol=1e-8)


def test_a_side_that_is_kept_is_kept_exactly_and_the_other_is_not():
    source, target = clouds()
    forward = Unbalanced(0.2, tau_source=np.inf)(source, target)
    backward = Unbalanced(0.2, tau_target=np.inf)(source, target)
    np.testing.assert_allclose(forward.row_mass, source.weight, rtol=1e-12)
    np.testing.assert_allclose(backward.col_mass, target.weight, rtol=1e-12)
    assert np.abs(forward.col_mass - target.weight).sum() > 0.05
    assert np.abs(backward.row_mass - source.weight).sum() > 0.05


def test_strong_relaxation_is_the_balanced_plan():
    source, target = clouds()
    unit = mean_cost(source, target)
    balanced = matrix(Entropic(epsilon=EPSILON * unit, tol=1e-9)(source, target))
    kept = Unbalanced(np.inf, tol=1e-9)(source, target)
    np.testing.assert_allclose(matrix(kept), balanced, atol=1e-7 * balanced.max())
    assert kept.gap is None
    error = [np.abs(matrix(Unbalanced(t)(source, target)) - balanced).sum() for t in (1, 10, 100)]
    assert error[0] > 3 * error[1] > 9 * error[2]


def test_the_weaker_the_marginals_the_nearer_mass_stays():
    source, target = clouds(80, 80)
    cost = [Unbalanced(tau)(source, target).cost for tau in (0.01, 0.1, 1.0, 10.0, np.inf)]
    assert (np.diff(cost) > 0).all()


def test_one_setting_serves_all_units():
    source, target = clouds()
    plan = Unbalanced(tol=1e-12)(source, target)
    moved = (Population(1e3 * p.x + 1e5, p.time, p.weight) for p in (source, target))
    np.testing.assert_allclose(matrix(Unbalanced(tol=1e-12)(*moved)), matrix(plan), atol=1e-9)


def test_cells_may_be_doubled_and_come_in_any_order():
    source, target = clouds()
    plan = Unbalanced(tol=1e-13)(source, target)
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(40), 2))
    twice = Population(source.x[order], 0.0, source.weight[order])
    other = Unbalanced(tol=1e-13)(twice, target)
    np.testing.assert_allclose(other.row_mass, plan.row_mass[order] / 2, rtol=1e-4)
    np.testing.assert_allclose(other.col_mass, plan.col_mass, rtol=1e-4)


@pytest.mark.parametrize("tau", [(1.0, 1.0), (0.1, 3.0), (np.inf, 0.5)])
@pytest.mark.parametrize("max_iter", [1, 2, 4, 8])
def test_the_gap_is_a_bound(tau, max_iter):
    source, target = clouds()
    solver = Unbalanced(tau_source=tau[0], tau_target=tau[1], max_iter=max_iter, tol=1e-12)
    with pytest.warns(CouplingWarning, match="a gap of|an error"):
        plan = solver(source, target)
    best = objective(replace(solver, max_iter=1000)(source, target), source, target, *tau)
    value = objective(plan, source, target, *tau)
    assert best <= value * (1 + 1e-9)
    assert value * (1 - plan.gap) <= best * (1 + 1e-9)


@pytest.mark.parametrize("tau", [(0.3, 0.3), (np.inf, 1.0), (1.0, np.inf)])
def test_subsamples_and_heavy_pairs_only_save_time(monkeypatch, caplog, tau):
    source, target = clouds(2300, 1900, 10)
    solver = Unbalanced(tau_source=tau[0], tau_target=tau[1])
    with caplog.at_level("DEBUG", logger="cellflow"):
        plan = solver(source, target)
    assert any("on heavy pairs" in message for message in caplog.messages)
    assert plan.gap <= 1e-4
    monkeypatch.setattr("cellflow.transport.scaling._LARGE", 10_000)
    monkeypatch.setattr("cellflow.transport.thinned._LARGE", 10**9)
    monkeypatch.setattr("cellflow.core._kernel._LARGE", 10**9)
    plain = replace(solver, tol=1e-9)(source, target)
    best = objective(plain, source, target, *tau)
    value = objective(plan, source, target, *tau)
    assert best * (1 - 1e-6) <= value <= best * (1 + 1e-4)
    assert value * (1 - plan.gap) <= best * (1 + 1e-6)


def test_cells_without_weight_have_no_mass():
    source, target = clouds()
    weight = source.weight * (np.arange(40) >= 10)
    plan = Unbalanced()(Population(source.x, 0.0, weight), target)
    assert (plan.row_mass[:10] == 0).all()
    assert (plan.row_mass[10:] > 0).all()
    without = Unbalanced()(Population(source.x[10:], 0.0, weight[10:]), target)
    np.testing.assert_allclose(plan.row_mass[10:], without.row_mass)


def test_cells_at_one_place_are_paired_independently():
    source, target = Population(np.ones((3, 2)), 0.0), Population(np.ones((2, 2)), 1.0)
    plan = Unbalanced()(source, target)
    np.testing.assert_allclose(matrix(plan), 1 / 6)
    assert plan.cost == pytest.approx(0.0, abs=1e-12)


def test_a_plan_without_mass_is_an_error():
    source, target = Population(np.zeros((3, 2)), 0.0), Population(np.ones((3, 2)), 1.0)
    with pytest.raises(CouplingError, match=r"no mass: with tau=\(1e-05, 1e-05\).*Raise `tau`"):
        Unbalanced(1e-5, epsilon=1e-5)(source, target)


def test_bad_strengths_are_named():
    with pytest.raises(InputError, match=r"tau_target=0.*above 0, or inf"):
        Unbalanced(tau_target=0)
    with pytest.raises(InputError, match="tau=nan"):
        Unbalanced(float("nan"))


@pytest.mark.parametrize("context", [False, True], ids=["alone", "conditions"])
def test_fits_and_descriptions(context):
    rng = np.random.default_rng(0)
    feature = np.repeat([[0.0], [1.0]], 40, axis=0) if context else None
    cells = Snapshots(
        tuple(Population(rng.normal(size=(80, 2)) + k, float(k), context=feature) for k in range(3))
    )
    coupling = Unbalanced(0.5, tau_target=np.inf)
    recipe = replace(ot_cfm(), coupling=coupling, training=Training(steps=3))
    assert from_description(describe(recipe)).coupling == coupling
    for plan in couple(cells, recipe).plans:
        np.testing.assert_allclose(plan.col_mass, 1 / 80, rtol=1e-9)
        assert 0.0 <= plan.gap <= coupling.tol
    fit(cells, recipe)


def test_batches():
    source, target = clouds(100, 100)
    plan = Minibatch(inner=Unbalanced(0.2), batch_size=50, n_batches=4)(source, target)
    assert plan.total == pytest.approx(Unbalanced(0.2)(source, target).total, rel=0.2)
