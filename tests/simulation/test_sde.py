"""Laws of stochastic simulation, on the Ornstein-Uhlenbeck process and its time reversal."""

import numpy as np
import pytest
import torch

import problems
from cellflow.errors import InputError, IntegrationError
from cellflow.simulation import integrate, integrate_sde
from cellflow.simulation.sde import march

THETA, SIGMA = 0.8, 0.7
START = problems.Gaussian(np.array([2.0, -1.0]), np.array([[0.5, 0.2], [0.2, 0.3]]))


def law(t):
    return problems.ornstein_uhlenbeck(START, THETA, SIGMA, float(t))


def drift(t, x):
    return -THETA * x


def score(t, x):
    p = law(t)
    return -torch.linalg.solve(torch.from_numpy(p.cov), (x - torch.from_numpy(p.mean)).T).T


def velocity(t, x):
    """Probability flow of the process."""
    return drift(t, x) - 0.5 * SIGMA**2 * score(t, x)


def assert_law(x, p, *, z=4.5):
    n = len(x)
    assert (np.abs(x.mean(axis=0) - p.mean) < z * np.sqrt(np.diag(p.cov) / n)).all()
    sd = np.sqrt((p.cov**2 + np.outer(np.diag(p.cov), np.diag(p.cov))) / n)
    assert (np.abs(np.cov(x.T) - p.cov) < z * sd).all()


@pytest.mark.parametrize("width", [0.3, SIGMA, 1.5])
@pytest.mark.parametrize("direction", [1, -1])
def test_any_width_has_the_marginals_of_the_flow_forward_and_reversed(width, direction):
    # Forward v + sigma^2/2 s, reversed v - sigma^2/2 s: the sign convention of the score, on the
    # exact law.
    t0, t1 = (0.0, 1.5) if direction == 1 else (1.5, 0.0)
    x = law(t0).sample(20_000, np.random.default_rng(0))
    field = lambda t, y: velocity(t, y) + direction * 0.5 * width**2 * score(t, y)
    times = np.linspace(t0, t1, 4)
    moved = integrate_sde(
        field, x, t0, times, sigma=width, step=0.03, random_state=1, dtype=torch.float64
    )
    flowed = integrate(velocity, x, t0, times, step=0.05, dtype=torch.float64)
    for k, t in enumerate(times):
        assert_law(moved.x[k], law(t))
        assert_law(flowed.x[k], law(t))


def test_with_the_wrong_sign_of_the_score_marginals_are_wrong():
    x = law(0.0).sample(20_000, np.random.default_rng(0))
    field = lambda t, y: velocity(t, y) - 0.5 * SIGMA**2 * score(t, y)
    wrong = integrate_sde(
        field, x, 0.0, [1.5], sigma=SIGMA, step=0.03, random_state=1, dtype=torch.float64
    ).x[0]
    with pytest.raises(AssertionError):
        assert_law(wrong, law(1.5))


def test_the_time_reversal_brings_paths_back_together():
    # Joint law of both ends: the reversed diffusion has the covariance between the times of the
    # forward one.
    x1 = law(1.0).sample(40_000, np.random.default_rng(0))
    field = lambda t, y: drift(t, y) - SIGMA**2 * score(t, y)
    x0 = integrate_sde(
        field, x1, 1.0, [0.0], sigma=SIGMA, step=0.02, random_state=1, dtype=torch.float64
    ).x[0]
    cross = np.cov(x0.T, x1.T)[:2, 2:]
    np.testing.assert_allclose(cross, np.exp(-THETA) * START.cov, atol=0.012)


@pytest.mark.parametrize(("scheme", "order"), [("euler-maruyama", 1), ("heun", 2)])
def test_weak_order(scheme, order):
    # For a linear drift both schemes map mean and covariance linearly, so the exact weak error is
    # computed, without sampling: one unit of noise at a time through the scheme itself.
    def error(n_steps):
        h = 1.0 / n_steps
        ends = torch.linspace(0, 1, n_steps + 1, dtype=torch.float64)
        still = [torch.zeros(1, 1, dtype=torch.float64)] * n_steps
        mean = [
            *march(
                drift,
                torch.ones(1, 1, dtype=torch.float64),
                0.0,
                ends,
                iter(still),
                sigma=SIGMA,
                scheme=scheme,
            )
        ][-1][0]
        noise = iter([torch.eye(n_steps, dtype=torch.float64)[k][:, None] for k in range(n_steps)])
        start = torch.zeros(n_steps, 1, dtype=torch.float64)
        variance = (
            [*march(drift, start, 0.0, ends, noise, sigma=SIGMA, scheme=scheme)][-1][0]
            .square()
            .sum()
        )
        exact = SIGMA**2 / (2 * THETA) * (1 - np.exp(-2 * THETA))
        return abs(float(mean) - np.exp(-THETA)) + abs(float(variance) - exact), h

    (coarse, h), (fine, half) = error(32), error(64)
    assert np.log(coarse / fine) / np.log(h / half) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("scheme", ["euler-maruyama", "heun"])
def test_strong_order_one_for_additive_noise(scheme):
    # The same Brownian motions at every resolution, against the finest.
    rng, n, fine = np.random.default_rng(0), 400, 1024
    increments = torch.from_numpy(rng.normal(size=(fine, n, 1)) / fine**0.5)
    field = lambda t, x: -torch.sin(2 * x) - 0.3 * x

    def end(n_steps):
        summed = increments.reshape(n_steps, fine // n_steps, n, 1).sum(dim=1) * n_steps**0.5
        ends = torch.linspace(0, 1, n_steps + 1, dtype=torch.float64)
        x = torch.zeros(n, 1, dtype=torch.float64)
        return [*march(field, x, 0.0, ends, iter(summed), sigma=SIGMA, scheme=scheme)][-1][0]

    errors = [float((end(k) - end(fine)).abs().mean()) for k in (16, 32)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.25)


def test_a_cells_path_is_its_own():
    # P9: to the last bit, whatever cells are asked with it, in whatever order.
    x = START.sample(1500, np.random.default_rng(0))
    keys = [(k,) for k in range(1500)]
    options = {"sigma": 0.5, "step": 0.1, "random_state": 3}
    whole = integrate_sde(drift, x, 0.0, [0.5, 1.0], keys=keys, **options).x
    rows = [1400, 3, 77]
    some = integrate_sde(drift, x[rows], 0.0, [0.5, 1.0], keys=[keys[r] for r in rows], **options).x
    np.testing.assert_array_equal(some, whole[:, rows])
    other = integrate_sde(drift, x, 0.0, [0.5, 1.0], keys=keys, **(options | {"random_state": 4})).x
    assert not np.isclose(other, whole).any()


def test_asking_for_more_times_on_the_steps_changes_nothing():
    x = START.sample(10, np.random.default_rng(0))
    options = {"sigma": 0.5, "step": 0.25, "random_state": 3}
    many = integrate_sde(drift, x, 0.0, [0.25, 0.5, 1.0], **options).x[-1]
    np.testing.assert_allclose(many, integrate_sde(drift, x, 0.0, [1.0], **options).x[0], atol=1e-6)


def test_times_come_back_as_they_were_asked():
    x = START.sample(5, np.random.default_rng(0))
    moved = integrate_sde(drift, x, 1.0, [0.5, 1.0, 0.0, 0.5], sigma=0.5, step=0.1, random_state=0)
    assert moved.times.tolist() == [0.5, 1.0, 0.0, 0.5]
    np.testing.assert_array_equal(moved.x[0], moved.x[3])
    np.testing.assert_allclose(moved.x[1], x, rtol=1e-6)


def test_context_reaches_the_drift():
    x, context = np.zeros((4, 1)), np.arange(4.0)[:, None]
    field = lambda t, y, c: c.expand_as(y)
    moved = integrate_sde(
        field, x, 0.0, [1.0], sigma=1e-6, step=0.1, random_state=0, context=context
    )
    np.testing.assert_allclose(moved.x[0], context, atol=1e-4)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"sigma": 0.0}, "probability flow"),
        ({"sigma": -1.0}, "above 0"),
        ({"sigma": np.nan}, "above 0"),
        ({"step": 0.0}, "units of time"),
        ({"scheme": "huen"}, "did you mean 'heun'"),
        ({"times": [0.0, 2.0]}, "both sides"),
        ({"times": [np.inf]}, "finite"),
        ({"times": [1e9]}, "limit"),
        ({"keys": [(0,)]}, "one per cell"),
        ({"context": np.zeros((2, 1))}, "one row of features"),
    ],
)
def test_bad_input(bad, message):
    options = {"times": [1.5], "sigma": 1.0, "step": 0.1, "random_state": 0} | bad
    with pytest.raises(InputError, match=message):
        integrate_sde(drift, np.zeros((3, 2)), 1.0, options.pop("times"), **options)


def test_a_state_that_runs_away_is_said():
    with pytest.raises(IntegrationError, match=r"Cell 0 .*heun"):
        integrate_sde(
            lambda t, x: x**3,
            np.full((1, 1), 1e10),
            0.0,
            [1.0],
            sigma=0.1,
            step=0.1,
            random_state=0,
        )


def test_the_old_name_of_the_seed_gives_the_same_and_a_warning():
    x = np.zeros((2, 1))
    options = {"sigma": 0.1, "step": 0.1}
    with pytest.warns(FutureWarning, match=r"integrate_sde\(random_state=...\)"):
        old = integrate_sde(drift, x, 0.0, [1.0], seed=4, **options).x
    new = integrate_sde(drift, x, 0.0, [1.0], random_state=4, **options).x
    np.testing.assert_array_equal(old, new)
