"""Quantities integrated along paths, against rates whose integrals are known."""

import numpy as np
import pytest
import torch

from cellflow.core.population import Clock
from cellflow.errors import InputError, IntegrationError, IntegrationWarning
from cellflow.fields import MLP
from cellflow.simulation import Trajectories, integrate, integrate_sde

DOUBLE = {"dtype": torch.float64}
X = np.random.default_rng(0).normal(size=(5, 2))
NOISE = {"sigma": 0.7, "step": 0.05, "random_state": 0}


def decaying(t, x):
    """dx/dt = -x."""
    return -x


def constant(t, x):
    return torch.full_like(x[:, 0], 0.3)


def linear_in_time(t, x):
    return t.to(x) * torch.ones_like(x[:, 0])


def first(t, x):
    return x[:, 0]


def solved(solver, along, times, x=X, **options):
    if solver == "sde":
        return integrate_sde(decaying, x, 0.0, times, along=along, **NOISE, **options)
    return integrate(decaying, x, 0.0, times, step=0.05, along=along, method=solver, **options)


@pytest.mark.parametrize("solver", ["rk4", "midpoint", "euler", "dopri5", "sde"])
@pytest.mark.parametrize("times", [[2.0, 0.5, 0.0], [-1.0, -0.5]])
@pytest.mark.filterwarnings("ignore::cellflow.errors.IntegrationWarning")
def test_a_constant_rate_adds_up(solver, times):
    moved = solved(solver, {"log_weight": constant}, times, **DOUBLE)
    np.testing.assert_allclose(moved.log_weight, 0.3 * np.array(times)[:, None] + 0 * X[:, 0])


@pytest.mark.parametrize("solver", ["rk4", "midpoint", "dopri5", "sde"])
@pytest.mark.parametrize("times", [[2.0, 0.5], [-1.0, -2.0]])
def test_a_rate_linear_in_time_is_exact_for_every_rule_of_order_two(solver, times):
    moved = solved(solver, {"log_weight": linear_in_time}, times, **DOUBLE)
    exact = 0.5 * np.square(times)[:, None] + 0 * X[:, 0]
    np.testing.assert_allclose(moved.log_weight, exact, atol=1e-6)


@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
def test_a_rate_that_depends_on_the_state_has_its_closed_form(solver):
    """On dx/dt = -x the integral of x is x0 (1 - exp(-t))."""
    times = np.array([1.0, 3.0, -0.5])
    moved = solved(solver, {"log_weight": first}, times, rtol=1e-8, atol=1e-8, **DOUBLE)
    exact = (1.0 - np.exp(-times))[:, None] * X[:, 0]
    np.testing.assert_allclose(moved.log_weight, exact, atol=1e-6)


def test_the_mean_of_a_rate_along_a_diffusion_has_its_closed_form():
    """Of dX = -X dt + sigma dW, E of the integral of X is E X0 (1 - exp(-t)), and of X^2 that of
    the second moment.
    """
    x = np.random.default_rng(0).normal(1.0, 0.5, size=(20_000, 1))
    along = {"first": first, "square": lambda t, y: y[:, 0] ** 2}
    moved = solved("sde", along, [1.0], x=x)
    mean = 1.0 - np.exp(-1.0)
    still = 0.5 * NOISE["sigma"] ** 2
    square = still + (1.25 - still) * 0.5 * (1.0 - np.exp(-2.0))
    for name, exact in (("first", mean), ("square", square)):
        found = moved.along[name][0]
        assert found.mean() == pytest.approx(exact, abs=4 * found.std() / len(x) ** 0.5)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
@pytest.mark.filterwarnings("ignore::cellflow.errors.IntegrationWarning")
def test_order_of_convergence(method, order):
    steps = 1.0 / np.array([4, 8, 16, 32])
    exact = X[:, 0] * (1.0 - np.exp(-1.0))
    errors = [
        np.abs(
            integrate(
                decaying, X, 0.0, [1.0], step=h, method=method, along={"q": first}, **DOUBLE
            ).along["q"][0]
            - exact
        ).max()
        for h in steps
    ]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("solver", ["rk4", "midpoint", "euler", "sde"])
@pytest.mark.parametrize("n", [1, 7, 1500])
@pytest.mark.filterwarnings("ignore::cellflow.errors.IntegrationWarning")
def test_states_do_not_depend_on_what_is_integrated_along_them(solver, n):
    field = MLP(5, Clock(0.0, 1.0, 1.0, 1.0), width=64)
    x = np.random.default_rng(1).normal(size=(n, 5))
    growth = MLP(5, Clock(0.0, 1.0, 1.0, 1.0), out_dim=1)
    rates = {"log_weight": lambda t, y: growth(t, y)[:, 0], "time": lambda t, y: 0 * y[:, 0] + 1}

    def run(x, along):
        if solver == "sde":
            keys = [(k,) for k in range(len(x))]
            return integrate_sde(field, x, 0.0, [0.3, 1.0], along=along, keys=keys, **NOISE)
        return integrate(field, x, 0.0, [0.3, 1.0], step=0.1, method=solver, along=along)

    alone = run(x, None)
    several = run(x, rates)
    np.testing.assert_array_equal(alone.x, several.x)
    np.testing.assert_array_equal(run(x[:1], rates).log_weight, several.log_weight[:, :1])
    np.testing.assert_allclose(several.along["time"], [[0.3] * n, [1.0] * n], rtol=1e-6)
    assert not alone.along
    assert (alone.log_weight == 0).all()


def test_features_of_the_cells_reach_the_rates():
    context = np.arange(5.0)[:, None]
    along = {"log_weight": lambda t, x, c: c[:, 0]}
    moved = integrate(lambda t, x, c: 0 * x, X, 0.0, [2.0], step=0.5, along=along, context=context)
    np.testing.assert_allclose(moved.log_weight[0], 2.0 * context[:, 0], rtol=1e-6)


def test_an_adaptive_solver_keeps_its_tolerance_for_a_rate_of_cells_that_stand_still():
    wave = lambda t, x: torch.cos(40.0 * t).to(x) + 0 * x[:, 0]
    moved = integrate(
        lambda t, x: 0 * x, X, 0.0, [1.0], step=1.0, method="dopri5", along={"q": wave}, **DOUBLE
    )
    np.testing.assert_allclose(moved.along["q"][0], np.sin(40.0) / 40.0, atol=1e-4)


def test_weights_are_those_of_the_start_times_the_growth():
    moved = Trajectories(
        np.ones(1), np.zeros((1, 4, 2)), {"log_weight": np.log([[1.0, 2.0, 3.0, 4.0]])},
        np.array([0, 0, 1, 1]),
    )  # fmt: skip
    np.testing.assert_allclose(moved.weights(np.array([0.5, 0.25])), [[0.5, 1.0, 0.75, 1.0]])


def test_a_step_too_coarse_for_a_rate_is_said():
    wave = lambda t, x: 9 * torch.cos(40.0 * t).to(x) + 0 * x[:, 0]
    with pytest.warns(IntegrationWarning, match="its log_weight by"):
        integrate(decaying, X, 0.0, [1.0], step=0.25, along={"log_weight": wave})


@pytest.mark.parametrize("solver", ["rk4", "sde"])
def test_a_rate_that_runs_away_names_the_cell_and_the_time(solver):
    rate = lambda t, x: torch.where(x[:, 0] == x[:, 0].max(), torch.inf, 0.0)
    with pytest.raises(
        IntegrationError, match=r"has a log_weight that stops being finite"
    ) as caught:
        solved(solver, {"log_weight": rate}, [1.0], x=np.array([[0.0], [9.0], [0.0]]))
    assert caught.value.cell == 1
    assert caught.value.partial.x.shape == (1, 3, 1)


@pytest.mark.parametrize("solver", ["rk4", "sde"])
def test_a_rate_of_another_shape_is_refused(solver):
    with pytest.raises(InputError, match="returned shape"):
        solved(solver, {"q": lambda t, x: x}, [1.0])
