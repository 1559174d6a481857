"""The solver against systems that know their answer."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from cellflow.core.population import Clock
from cellflow.errors import InputError, IntegrationError, IntegrationWarning
from cellflow.fields import MLP
from cellflow.simulation import integrate

A = np.array([[-0.3, 1.0], [-1.0, -0.1]])
X = np.random.default_rng(0).normal(size=(5, 2))
DOUBLE = {"dtype": torch.float64}


def linear(t, x):
    return x @ torch.from_numpy(A.T).to(x)


def growing(t, x):
    """dx/dt = t x, solved by x exp(t^2 / 2): depends on time."""
    return t.to(x) * x


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_linear_system_forward_and_backward(method):
    times = [3.0, -2.0, 0.5, 0.0, 3.0]
    moved = integrate(
        linear, X, 0.0, times, step=0.02, method=method, rtol=1e-9, atol=1e-9, **DOUBLE
    )
    assert moved.x.shape == (5, 5, 2)
    for t, x in zip(times, moved.x, strict=True):
        np.testing.assert_allclose(x, X @ expm(A * t).T, atol=1e-6)


def test_time_dependent_system_from_any_start():
    moved = integrate(growing, X, 1.0, [0.0, 2.0], step=0.01, **DOUBLE)
    for t, x in zip([0.0, 2.0], moved.x, strict=True):
        np.testing.assert_allclose(x, X * np.exp(0.5 * (t**2 - 1.0)), rtol=1e-7)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
@pytest.mark.filterwarnings(
    "ignore::cellflow.errors.IntegrationWarning"
)  # coarse steps are the point
def test_order_of_convergence(method, order):
    steps = 1.0 / np.array([4, 8, 16, 32])
    exact = X * np.exp(0.5)
    errors = [
        np.abs(
            integrate(growing, X, 0.0, [1.0], step=h, method=method, **DOUBLE).x[0] - exact
        ).max()
        for h in steps
    ]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.25)


def test_there_and_back_again():
    there = integrate(linear, X, 0.0, [2.0], step=0.05, **DOUBLE).x[0]
    back = integrate(linear, there, 2.0, [0.0], step=0.05, **DOUBLE).x[0]
    np.testing.assert_allclose(back, X, atol=1e-6)


@pytest.mark.parametrize("n", [1, 3, 700, 1500])
def test_P9_a_cell_does_not_depend_on_the_cells_asked_with_it(n):
    field = MLP(20, Clock(0.0, 1.0, 1.0, 1.0), width=64)
    x = np.random.default_rng(1).normal(size=(2000, 20))
    rows = np.random.default_rng(2).permutation(2000)[:n]
    every = integrate(field, x, 0.0, [0.3, 1.0], step=0.1).x
    some = integrate(field, x[rows], 0.0, [0.3, 1.0], step=0.1).x
    np.testing.assert_array_equal(some, every[:, rows])


def test_a_time_does_not_depend_on_the_order_of_times():
    field = MLP(3, Clock(0.0, 1.0, 1.0, 1.0))
    x = np.ones((2, 3))
    up, down = (
        integrate(field, x, 0.5, times, step=0.1).x for times in ([0.0, 0.7, 1.0], [1.0, 0.7, 0.0])
    )
    np.testing.assert_array_equal(up, down[::-1])


def test_no_times_give_no_states():
    assert integrate(linear, X, 0.0, [], step=0.1).x.shape == (0, 5, 2)


def test_the_halving_estimate_bounds_the_true_error():
    with pytest.warns(IntegrationWarning, match="smaller `step`"):
        moved = integrate(growing, X, 0.0, [3.0], step=1.0, method="midpoint", **DOUBLE)
    fine = integrate(growing, X, 0.0, [3.0], step=0.01, **DOUBLE)
    assert fine.error < 1e-6 < 1e-2 < moved.error


def test_an_explosion_names_the_time_and_the_cell():
    def explosive(t, x):
        return x**3

    x = np.array([[0.1], [5.0], [0.1]])
    with pytest.raises(
        IntegrationError, match=r"Cell 1 stops being finite between time 0 and 4 .*smaller `step`"
    ):
        integrate(explosive, x, 0.0, [4.0, 9.0], step=0.1)


def test_an_adaptive_solver_that_gives_up_says_so():
    def stiff(t, x):
        return 1e12 * torch.sin(1e12 * t) * torch.ones_like(x) / (t - 0.5).abs() ** 2

    with pytest.raises(IntegrationError, match="dopri5 could not go on"):
        integrate(stiff, X, 0.0, [1.0], step=0.1, method="dopri5", rtol=1e-12, atol=1e-12)


def test_a_late_clock_keeps_its_digits():
    start = 1e6

    def late(t, x):
        return torch.cos(t - start).to(x)[None, None].expand_as(x)

    moved = integrate(late, np.zeros((1, 1)), start, [start + 1.0], step=0.01)
    assert moved.x[0, 0, 0] == pytest.approx(np.sin(1.0), abs=1e-5)


@pytest.mark.parametrize(
    ("key", "options"), [("step", {"step": 0.0}), ("method", {"step": 0.1, "method": "rk5"})]
)
def test_bad_options_are_refused(key, options):
    with pytest.raises(InputError, match=key):
        integrate(linear, X, 0.0, [1.0], **options)


def test_times_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="nan"):
        integrate(linear, X, 0.0, [1.0, np.nan], step=0.1)


def test_a_time_in_another_unit_is_refused_before_any_work():
    with pytest.raises(InputError, match="limit is 10,000"):
        integrate(linear, X, 0.0, [1e9], step=0.1)
