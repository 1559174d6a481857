"""Densities carried along flows whose answer is known."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.linalg import expm

import problems
from cellflow.core.population import Clock
from cellflow.errors import InputError, IntegrationError, IntegrationWarning
from cellflow.fields import MLP, Potential
from cellflow.simulation import Exact, Hutchinson, integrate, log_likelihood, push_with_log_prob

DOUBLE = {"dtype": torch.float64}
CLOCK = Clock(0.0, 1.0, 1.0, 1.0)
X = np.random.default_rng(0).normal(size=(6, 2))


def spiral(t, x):
    return x @ torch.from_numpy(problems.SPIRAL.matrix.T) + torch.from_numpy(problems.SPIRAL.offset)


def spiralled(t):
    """Law at `t` of the source, carried by the spiral."""
    flow = expm(t * problems.SPIRAL.matrix)
    mean = problems.SPIRAL.solution(problems.SOURCE.mean[None], t)[0]
    return problems.Gaussian(mean, flow @ problems.SOURCE.cov @ flow.T)


def geodesic(t, x):
    """Velocity of McCann's interpolation between two Gaussians: linear in the state, with a matrix
    that turns with time.
    """
    a = torch.from_numpy(problems.transport_map(problems.SOURCE, problems.TARGET))
    m0, m1 = torch.from_numpy(problems.SOURCE.mean), torch.from_numpy(problems.TARGET.mean)
    eye = torch.eye(2, dtype=torch.float64)
    back = torch.linalg.inv((1 - t) * eye + t * a)
    return m1 - m0 + (x - (1 - t) * m0 - t * m1) @ ((a - eye) @ back).mT


def logistic(t, x):
    return x * (1 - x)


def network(dim=3, seed=0, builder=MLP):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return builder(dim, CLOCK)


def normal(x):
    return -0.5 * (x**2).sum(axis=1) - 0.5 * x.shape[1] * np.log(2 * np.pi)


# Closed forms -------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [2.0, -1.5, 0.0])
def test_a_gaussian_in_a_linear_system(t):
    found = log_likelihood(spiral, X, t, 0.0, problems.SOURCE.log_density, step=0.02, **DOUBLE)
    np.testing.assert_allclose(found, spiralled(t).log_density(X), atol=1e-6)


@pytest.mark.parametrize("t", [0.3, 1.0])
def test_a_gaussian_on_its_geodesic(t):
    at = problems.displacement(problems.SOURCE, problems.TARGET, t)
    found = log_likelihood(geodesic, X, t, 0.0, problems.SOURCE.log_density, step=0.02, **DOUBLE)
    np.testing.assert_allclose(found, at.log_density(X), atol=1e-5)
    x0 = problems.SOURCE.sample(5, np.random.default_rng(1))
    moved, log_p = push_with_log_prob(
        geodesic, x0, problems.SOURCE.log_density(x0), 0.0, [t], step=0.02, **DOUBLE
    )
    np.testing.assert_allclose(log_p[0], at.log_density(moved.x[0]), atol=1e-5)


def test_any_times_in_any_order():
    times = [1.0, -0.5, 0.0, 1.0]
    x0 = problems.SOURCE.sample(5, np.random.default_rng(1))
    moved, log_p = push_with_log_prob(
        spiral, x0, problems.SOURCE.log_density(x0), 0.0, times, step=0.05, **DOUBLE
    )
    assert moved.times.tolist() == times
    assert log_p.shape == (4, 5)
    for t, x, found in zip(times, moved.x, log_p, strict=True):
        np.testing.assert_allclose(x, problems.SPIRAL.solution(x0, t), atol=1e-6)
        np.testing.assert_allclose(found, spiralled(t).log_density(x), atol=1e-5)


def test_order_of_convergence():
    """A nonlinear flow: log |dx(t) / dx(0)| in closed form."""
    x0 = np.linspace(0.05, 2.0, 7)[:, None]
    exact = -2.0 - 2.0 * np.log(x0 + (1 - x0) * np.exp(-2.0))[:, 0]
    steps = 2.0 / np.array([16, 32, 64, 128])
    errors = [
        np.abs(
            -push_with_log_prob(logistic, x0, np.zeros(7), 0.0, [2.0], step=h, **DOUBLE)[1][0]
            - exact
        ).max()
        for h in steps
    ]

    assert errors[-1] < 1e-7
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(4.0, abs=0.4)


def test_probability_is_conserved():
    """Whatever the field, what it carries still integrates to one."""
    axis = np.linspace(-6, 6, 81)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    log_p = log_likelihood(network(2), grid, 1.0, 0.0, normal, step=0.25)
    assert np.exp(log_p).sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    "field",
    [network(), network(builder=partial(Potential, field=MLP))],
    ids=["network", "gradient"],
)
def test_there_and_back_again(field):
    x0 = np.random.default_rng(2).normal(size=(20, 3))
    options = {"step": 0.2, "dtype": torch.float64}
    moved, log_p = push_with_log_prob(field.double(), x0, normal(x0), 0.2, [1.0], **options)
    back = log_likelihood(field.double(), moved.x[0], 1.0, 0.2, normal, **options)
    np.testing.assert_allclose(back, log_p[0], atol=1e-5)
    assert np.abs(log_p[0] - normal(x0)).max() > 1e-3


def test_states_are_those_of_integrate():
    moved, _ = push_with_log_prob(
        network(), X @ np.ones((2, 3)), np.zeros(6), 0.0, [0.4, 1.0], step=0.1
    )
    np.testing.assert_allclose(
        moved.x, integrate(network(), X @ np.ones((2, 3)), 0.0, [0.4, 1.0], step=0.1).x, atol=1e-6
    )


def test_an_ornstein_uhlenbeck_process_by_its_probability_flow():
    """The flow with the marginals of dX = -x dt + dW has the law of the process at every time."""
    law = lambda t: problems.ornstein_uhlenbeck(problems.SOURCE, 1.0, 1.0, float(t))

    def velocity(t, x):
        p = law(t)
        centred = x - torch.from_numpy(p.mean)
        return -x + 0.5 * torch.linalg.solve(torch.from_numpy(p.cov), centred.T).T

    x0 = problems.SOURCE.sample(5, np.random.default_rng(1))
    moved, log_p = push_with_log_prob(
        velocity, x0, problems.SOURCE.log_density(x0), 0.0, [0.5, 2.0], step=0.02, **DOUBLE
    )
    for t, x, found in zip(moved.times, moved.x, log_p, strict=True):
        np.testing.assert_allclose(found, law(t).log_density(x), atol=1e-5)
    np.testing.assert_array_equal(
        log_p, problems.SOURCE.log_density(x0) + moved.along["log_density"]
    )


# The estimate of the trace ------------------------------------------------------------------------


def test_the_estimate_is_exact_where_coordinates_do_not_meet():
    rates = torch.linspace(-1.0, 0.5, 120, dtype=torch.float64)
    x = np.random.default_rng(0).normal(size=(4, 120))
    found = log_likelihood(
        lambda _t, y: rates * y, x, 1.0, 0.0, normal, step=0.05, divergence=Hutchinson(1), **DOUBLE
    )
    np.testing.assert_allclose(
        found, normal(x * np.exp(-rates.numpy())) - rates.sum().item(), atol=1e-6
    )


def test_the_estimate_is_unbiased():
    """In a linear system its error is that of the signs, whichever the cell, and every cell has
    signs of its own.
    """
    x = np.random.default_rng(0).normal(size=(1000, 2))
    error = log_likelihood(
        spiral, x, 1.0, 0.0, normal, step=0.5, divergence=Hutchinson(1), **DOUBLE
    ) - log_likelihood(spiral, x, 1.0, 0.0, normal, step=0.5, **DOUBLE)
    assert error.std() > 0.05
    assert error.mean() == pytest.approx(0.0, abs=4 * error.std() / 1000**0.5)
    other = log_likelihood(
        spiral, x[:5], 1.0, 0.0, normal, step=0.5, divergence=Hutchinson(1, seed=1), **DOUBLE
    )
    assert (
        other
        != log_likelihood(
            spiral, x[:5], 1.0, 0.0, normal, step=0.5, divergence=Hutchinson(1), **DOUBLE
        )
    ).any()


def test_the_variance_falls_with_the_probes():
    x = np.random.default_rng(0).normal(size=(100, 2))
    few, many = (
        log_likelihood(spiral, x, 1.0, 0.0, normal, step=0.5, divergence=Hutchinson(n), **DOUBLE)
        - log_likelihood(spiral, x, 1.0, 0.0, normal, step=0.5, **DOUBLE)
        for n in (1, 64)
    )
    assert np.std(few) / np.std(many) == pytest.approx(8.0, rel=0.5)


@pytest.mark.parametrize(("dim", "estimated"), [(100, False), (101, True)])
def test_estimated_by_default_where_the_dimensions_are_many(dim, estimated):
    matrix = torch.from_numpy(np.random.default_rng(0).normal(size=(dim, dim)) / dim)
    x = np.random.default_rng(1).normal(size=(2, dim))
    default, guess = (
        log_likelihood(
            lambda _t, y: y @ matrix, x, 1.0, 0.0, normal, step=1.0, divergence=d, **DOUBLE
        )
        for d in (None, Hutchinson())
    )
    assert np.array_equal(default, guess) is estimated


# Promises -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("divergence", [Exact(), Hutchinson(2)], ids=["exact", "estimate"])
@pytest.mark.parametrize("n", [1, 3, 1500])
def test_p9_a_cell_does_not_depend_on_the_cells_asked_with_it(n, divergence):
    field, x = network(4), np.random.default_rng(1).normal(size=(1600, 4))
    rows = np.random.default_rng(2).permutation(1600)[:n]
    options = {"step": 0.5, "divergence": divergence}
    every = log_likelihood(field, x, 1.0, 0.0, normal, **options)
    # On some processors the product of a backward pass rounds a row by its position: float32's last
    # bits, and no more.
    same = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(
        log_likelihood(field, x[rows], 1.0, 0.0, normal, **options), every[rows], **same
    )
    _, pushed = push_with_log_prob(field, x, normal(x), 0.0, [1.0], **options)
    _, some = push_with_log_prob(field, x[rows], normal(x[rows]), 0.0, [0.5, 1.0], **options)
    np.testing.assert_allclose(some[1], pushed[0][rows], **same)


def test_features_of_the_cells_reach_the_field():
    """dx/dt = c x for a rate c of each cell."""
    rate = np.linspace(-1.0, 1.0, 6)[:, None]
    found = log_likelihood(
        lambda _t, x, c: c * x, X, 1.0, 0.0, normal, step=0.05, context=rate, **DOUBLE
    )
    np.testing.assert_allclose(found, normal(X * np.exp(-rate)) - 2 * rate[:, 0], atol=1e-6)


def test_parameters_and_gradients_of_the_caller_are_left_alone():
    field = network()
    log_likelihood(field, np.zeros((1, 3)), 1.0, 0.0, normal, step=0.5)
    assert all(p.grad is None and p.requires_grad for p in field.parameters())


def test_nothing_asked_nothing_answered():
    assert log_likelihood(spiral, np.zeros((0, 2)), 1.0, 0.0, normal, step=0.1).shape == (0,)
    moved, log_p = push_with_log_prob(spiral, X, np.zeros(6), 0.0, [], step=0.1, **DOUBLE)
    assert moved.x.shape == (0, 6, 2)
    assert log_p.shape == (0, 6)


# Warnings and errors ------------------------------------------------------------------------------


def test_a_coarse_step_is_said():
    with pytest.warns(
        IntegrationWarning,
        match=r"Halving the step of 0.5 moves .* its log_density by .* smaller `step`",
    ):
        push_with_log_prob(
            lambda _t, x: torch.sin(8 * x), X, np.zeros(6), 0.0, [1.0], step=0.5, **DOUBLE
        )


def test_an_explosion_names_the_time_and_the_cell():
    x = np.array([[0.1], [5.0], [0.1]])
    with pytest.raises(
        IntegrationError, match=r"Cell 1 stops being finite between time 0 and 4 .*smaller `step`"
    ):
        push_with_log_prob(lambda _t, y: y**3, x, np.zeros(3), 0.0, [4.0, 9.0], step=0.1)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"step": 0.0}, InputError, r"step=0\.0"),
        ({"t": np.nan}, InputError, "t=nan"),
        ({"t0": np.inf}, InputError, "t0=inf"),
        ({"t": 1e9}, InputError, "limit is 10,000"),
        ({"x": np.zeros(3)}, InputError, r"shape \(3,\); expected \(n, d\)"),
        ({"field": lambda _t, x: x[:, :1]}, InputError, r"returned shape \(256, 1\)"),
        (
            {"field": lambda _t, x: torch.ones_like(x)},
            InputError,
            r"not connected .* may add 0 \* x",
        ),
        (
            {"field": lambda _t, x: x.detach() * torch.ones(1, requires_grad=True)},
            InputError,
            "not connected",
        ),
        (
            {"log_prob0": lambda x: x},
            InputError,
            r"log_prob0\(x\(t0\)\) has shape \(6, 2\); expected \(6,\)",
        ),
        (
            {"log_prob0": lambda x: x[:, 0] * np.nan},
            IntegrationError,
            r"Cell 0 has log_prob0.*=nan \(6 cells in all\)",
        ),
    ],
)
def test_bad_input(change, error, words):
    arguments = {
        "field": spiral,
        "x": X,
        "t": 1.0,
        "t0": 0.0,
        "log_prob0": normal,
        "step": 0.5,
        **DOUBLE,
        **change,
    }
    with pytest.raises(error, match=words):
        log_likelihood(**arguments)


@pytest.mark.parametrize("options", [{"n_probes": 0}, {"seed": -1}])
def test_an_estimate_that_cannot_be(options):
    with pytest.raises(InputError, match=r"n_probes=0|no seed"):
        Hutchinson(**options)
