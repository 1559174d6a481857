"""Sinkhorn's iteration where it is hard: small epsilon, large costs, tiles, subsamples."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cellflow.core.population import Population
from cellflow.couplings import Entropic
from cellflow.errors import CouplingError, InputError
from cellflow.transport import sinkhorn


def clouds(n, m, d=3, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.gamma(1.0, size=n), rng.gamma(1.0, size=m)
    a[0] = 0.0
    return Population(rng.normal(size=(n, d)), 0.0, a), Population(
        rng.normal(size=(m, d)) + 1, 1.0, b
    )


def test_optimality_conditions():
    source, target = clouds(80, 60)
    plan = Entropic(epsilon=0.5, tol=1e-10)(source, target)
    matrix = np.concatenate([mass for _, mass, _ in plan.tiles()])
    np.testing.assert_allclose(matrix.sum(axis=1), source.weight, atol=1e-15)
    np.testing.assert_allclose(matrix.sum(axis=0), target.weight, atol=1e-10)
    some = np.ix_(source.weight > 0, target.weight > 0)
    kernel = (
        np.log(matrix[some] / np.outer(source.weight, target.weight)[some])
        + cdist(source.x, target.x, "sqeuclidean")[some] / 0.5
    )
    # What remains beside the cost is a function of the row plus a function of the column.
    residual = kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
    assert np.abs(residual).max() < 1e-9


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_only_epsilon_relative_to_the_costs_matters(scale):
    source, target = clouds(60, 50)
    plan = Entropic(epsilon=0.3, tol=1e-9)(source, target)
    scaled = (Population(p.x * scale, p.time, p.weight) for p in (source, target))
    other = Entropic(epsilon=0.3 * scale**2, tol=1e-9)(*scaled)
    np.testing.assert_allclose(other.barycentre(target.x), plan.barycentre(target.x), rtol=1e-6)


def test_tiny_epsilon_and_large_costs_stay_in_range():
    # Cost of the order of a million, epsilon 1e-4: kernels of exp(-1e10).
    x = 1e3 * np.arange(6.0)[:, None]
    plan = Entropic(epsilon=1e-4)(Population(x, 0.0), Population(x[::-1] + 10.0, 1.0))
    assert plan.cost == pytest.approx(100.0)
    np.testing.assert_allclose(plan.barycentre(x[::-1] + 10.0), x + 10.0)
    assert plan.marginal_error <= 1e-5
    i, j = plan.sample(1000, np.random.default_rng(0))
    np.testing.assert_array_equal(i + j, 5)


def test_what_does_not_converge_names_error_and_remedy():
    with pytest.raises(
        CouplingError, match=r"marginal error of .* after 3 iterations .*Raise `sigma`"
    ):
        Entropic(epsilon=1e-3, max_iter=3)(*clouds(200, 150))


def test_kept_and_recomputed_plans_agree(monkeypatch):
    source, target = clouds(300, 200)
    kept = Entropic(epsilon=0.5)(source, target)
    monkeypatch.setattr(sinkhorn, "_KEPT_PAIRS", 0)
    monkeypatch.setattr(sinkhorn, "_TILE", 1000)
    recomputed = Entropic(epsilon=0.5)(source, target)
    np.testing.assert_allclose(recomputed.f, kept.f, atol=1e-9)
    np.testing.assert_allclose(recomputed.g, kept.g, atol=1e-9)


def test_subsamples_only_start_the_iteration(monkeypatch):
    source, target = clouds(400, 300)
    plan = Entropic(epsilon=0.2, tol=1e-9)(source, target)
    monkeypatch.setattr(sinkhorn, "_LARGE", 50)
    other = Entropic(epsilon=0.2, tol=1e-9)(source, target)
    np.testing.assert_allclose(other.barycentre(target.x), plan.barycentre(target.x), atol=1e-6)


def test_overrelaxation_pays(monkeypatch, caplog):
    source, target = clouds(300, 300)

    def iterations():
        with caplog.at_level("DEBUG", logger="cellflow"):
            plan = Entropic(epsilon=0.02)(source, target)
        return int(caplog.messages[-1].split("after ")[1].split()[0]), plan.cost

    fast, cost = iterations()
    monkeypatch.setattr(sinkhorn, "_MAX_RELAXATION", 1.0)
    plain, same = iterations()
    assert 4 * fast < plain
    assert cost == pytest.approx(same, rel=1e-4)


def test_scalings_that_wander_are_taken_into_the_potentials(monkeypatch):
    source, target = clouds(100, 80)
    plan = Entropic(epsilon=0.05)(source, target)
    monkeypatch.setattr(sinkhorn, "_WIDE", 2.0)
    other = Entropic(epsilon=0.05)(source, target)
    np.testing.assert_allclose(other.barycentre(target.x), plan.barycentre(target.x), atol=1e-3)


def test_arguments():
    source, target = clouds(5, 5)
    with pytest.raises(InputError, match="same thing twice"):
        Entropic(sigma=1.0, epsilon=1.0)
    with pytest.raises(InputError, match="found neither"):
        Entropic(sigma=None)
    with pytest.raises(InputError, match="a finite number above 0"):
        Entropic(sigma="large")
    with pytest.raises(InputError, match="must be after"):
        Entropic(sigma=1.0)(target, source)
    assert Entropic(sigma=None, epsilon=2.0).regularisation(target, source) == 2.0
    assert Entropic(sigma=0.5).regularisation(source, target) == 0.5
