"""The reference answers themselves, by independent routes."""

import numpy as np
import pytest

import problems


@pytest.mark.parametrize(
    "system",
    [problems.SPIRAL, problems.ROTATION, problems.LOGISTIC],
    ids=["spiral", "rotation", "logistic"],
)
def test_solutions_solve_their_equations(system):
    x0 = np.random.default_rng(0).uniform(0.2, 0.8, (5, 2))
    np.testing.assert_allclose(
        problems.rk4(system.velocity, x0, 0.0, 2.0, 400), system.solution(x0, 2.0), atol=1e-9
    )


def test_transport_map_carries_one_gaussian_to_the_other():
    matrix = problems.transport_map(problems.SOURCE, problems.TARGET)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert (np.linalg.eigvalsh(matrix) > 0).all()
    np.testing.assert_allclose(
        matrix @ problems.SOURCE.cov @ matrix.T, problems.TARGET.cov, atol=1e-12
    )


@pytest.mark.parametrize("s", [0.25, 0.5])
def test_displacement_is_a_geodesic(s):
    middle = problems.displacement(problems.SOURCE, problems.TARGET, s)
    whole = problems.wasserstein2(problems.SOURCE, problems.TARGET)
    assert problems.wasserstein2(problems.SOURCE, middle) == pytest.approx(s * whole)
    assert problems.wasserstein2(middle, problems.TARGET) == pytest.approx((1 - s) * whole)


def test_schroedinger_bridge_tends_to_the_displacement_without_noise():
    bridge = problems.schroedinger_bridge(problems.SOURCE, problems.TARGET, 1e-4, 2.0, 0.3)
    straight = problems.displacement(problems.SOURCE, problems.TARGET, 0.3)
    np.testing.assert_allclose(bridge.cov, straight.cov, atol=1e-6)


def test_schroedinger_bridge_between_points_is_the_brownian_bridge():
    x0, x1 = np.zeros(2), np.ones(2)
    points = [problems.Gaussian(x, 1e-10 * np.eye(2)) for x in (x0, x1)]
    bridge = problems.schroedinger_bridge(*points, 0.7, 2.0, 0.25)
    expected = problems.brownian_bridge(x0, x1, 1.0, 3.0, 0.7, 1.5)
    np.testing.assert_allclose(bridge.mean, expected.mean)
    np.testing.assert_allclose(bridge.cov, expected.cov, atol=1e-8)


def test_score_is_the_gradient_of_the_log_density():
    x, step = np.array([[0.4, -0.9]]), 1e-6
    ahead, back = (problems.TARGET.log_density(x + sign * step * np.eye(2)) for sign in (1, -1))
    np.testing.assert_allclose(problems.TARGET.score(x)[0], (ahead - back) / (2 * step), atol=1e-7)
