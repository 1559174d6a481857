"""Laws of every path."""

import math

import pytest
import torch

from cellflow import paths
from cellflow.core.population import Clock, Pairs
from cellflow.errors import InputError
from examples import PATHS


@pytest.fixture
def pairs():
    g = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, 7, 3, generator=g, dtype=torch.float64)
    # Uneven gaps, and one pair that straddles a left-out snapshot: row by row, nothing else is
    # needed.
    t0 = torch.tensor([0.0, 0.0, 1.0, -3.0, 2.0, 2.0, 2.0], dtype=torch.float64)
    t1 = torch.tensor([1.0, 2.0, 7.0, 0.5, 2.1, 3.0, 1002.0], dtype=torch.float64)
    return Pairs(x0, x1, t0, t1)


@pytest.fixture
def inside(pairs):
    return pairs.t0 + torch.linspace(0.1, 0.9, 7, dtype=torch.float64) * (pairs.t1 - pairs.t0)


@pytest.fixture
def z(pairs):
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_starts_and_ends_at_the_cells_of_the_pair(path, pairs):
    start = torch.zeros_like(pairs.x0) if isinstance(path, paths.FromNoise) else pairs.x0
    torch.testing.assert_close(path.mean(pairs.t0, pairs), start)
    torch.testing.assert_close(path.mean(pairs.t1, pairs), pairs.x1)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_velocity_is_the_time_derivative(path, pairs, inside, z):
    gap = pairs.t1 - pairs.t0
    h = 1e-6 * gap
    before, after = (paths.sample(path, inside + s * h, pairs, z).x for s in (-1, 1))
    velocity = paths.sample(path, inside, pairs, z).velocity
    torch.testing.assert_close(
        velocity * gap[:, None], (after - before) / 2e-6, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_score_is_the_gradient_of_the_log_density(path, pairs, inside, z):
    drawn = paths.sample(path, inside, pairs, z)
    x = drawn.x.clone().requires_grad_()
    density = torch.distributions.Normal(
        path.mean(inside, pairs), path.std(inside, pairs)[:, None]
    ).log_prob(x)
    (gradient,) = torch.autograd.grad(density.sum(), x)
    torch.testing.assert_close(drawn.score, gradient)


@pytest.mark.parametrize(
    "path",
    [
        *map(PATHS.get, ("Linear", "Trigonometric", "FromNoise")),
        paths.BrownianBridge(sigma=0.7 / math.sqrt(60.0)),
    ],
)
def test_rescaling_time_rescales_velocities_and_nothing_else(path, pairs, inside, z):
    slow = path if not isinstance(path, paths.BrownianBridge) else paths.BrownianBridge(sigma=0.7)
    minutes = Pairs(pairs.x0, pairs.x1, 60.0 * pairs.t0, 60.0 * pairs.t1)
    in_hours, in_minutes = (
        paths.sample(slow, inside, pairs, z),
        paths.sample(path, 60.0 * inside, minutes, z),
    )
    torch.testing.assert_close(in_minutes.x, in_hours.x)
    torch.testing.assert_close(60.0 * in_minutes.velocity, in_hours.velocity)


def test_bridge_forward_drift_points_at_the_end(pairs, inside, z):
    bridge = PATHS["BrownianBridge"]
    drawn = paths.sample(bridge, inside, pairs, z)
    drift = drawn.velocity + 0.5 * bridge.sigma**2 * drawn.score
    torch.testing.assert_close(
        drift, (pairs.x1 - drawn.x) / (pairs.t1 - inside)[:, None], rtol=1e-10, atol=1e-10
    )


def test_trigonometric_path_preserves_variance():
    g = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, 200_000, 1, generator=g, dtype=torch.float64)
    zero, one = torch.zeros(200_000, dtype=torch.float64), torch.ones(200_000, dtype=torch.float64)
    middle = paths.Trigonometric(smoothing=0.0).mean(0.5 * one, Pairs(x0, x1, zero, one))
    assert middle.var().item() == pytest.approx(1.0, abs=0.02)
    assert paths.Linear().mean(0.5 * one, Pairs(x0, x1, zero, one)).var().item() == pytest.approx(
        0.5, abs=0.02
    )


def test_a_path_from_noise_starts_standard_normal_whatever_the_source(pairs, inside, z):
    path = PATHS["FromNoise"]
    torch.testing.assert_close(path.std(pairs.t0, pairs), torch.ones_like(pairs.t0))
    torch.testing.assert_close(path.std(pairs.t1, pairs), torch.full_like(pairs.t1, 0.05))
    elsewhere = Pairs(pairs.x0 + 5.0, pairs.x1, pairs.t0, pairs.t1)
    torch.testing.assert_close(
        paths.sample(path, inside, elsewhere, z).x, paths.sample(path, inside, pairs, z).x
    )
    # Every path is a straight line from its noise to near its cell.
    ends = paths.sample(path, pairs.t1, pairs, z).x
    drawn = paths.sample(path, inside, pairs, z)
    torch.testing.assert_close(drawn.velocity * (pairs.t1 - pairs.t0)[:, None], ends - z)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, math.nan, True, "small"])
def test_bad_smallest_is_refused(value):
    with pytest.raises(InputError, match="smallest"):
        paths.FromNoise(value)


def test_a_path_without_width_has_no_score(pairs, inside, z):
    assert paths.sample(paths.Linear(smoothing=0.0), inside, pairs, z).score is None


def test_float32_states_stay_float32_beside_float64_times(pairs, inside, z):
    single = Pairs(pairs.x0.float(), pairs.x1.float(), pairs.t0, pairs.t1)
    drawn = paths.sample(PATHS["BrownianBridge"], inside, single, z.float())
    assert (drawn.t.dtype, drawn.x.dtype, drawn.velocity.dtype) == (
        torch.float64,
        torch.float32,
        torch.float32,
    )


@pytest.mark.parametrize("make", [lambda v: paths.Linear(v), lambda v: paths.Trigonometric(v)])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_bad_smoothing_is_refused(make, value):
    with pytest.raises(InputError, match="smoothing"):
        make(value)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, "automatic"])
def test_bad_sigma_is_refused(value):
    with pytest.raises(InputError, match="sigma"):
        paths.BrownianBridge(value)


def test_an_unresolved_sigma_says_what_to_do(pairs, inside, z):
    with pytest.raises(InputError, match="depends on the snapshots"):
        paths.sample(paths.BrownianBridge(), inside, pairs, z)


def test_the_old_name_of_a_path_that_is_prepared_warns():
    with pytest.warns(FutureWarning, match="Surveyed is now paths.Path"):
        assert paths.Surveyed is paths.Path
    with pytest.raises(AttributeError, match="no attribute 'Survey'"):
        paths.Survey  # noqa: B018


@pytest.mark.parametrize("path", [*PATHS.values(), paths.TimeWarped(PATHS["BrownianBridge"])])
def test_every_path_says_what_it_is(path):
    bridge = "Bridge" in repr(path)
    assert (path.sigma == 0.7) is bridge
    assert path.generates is isinstance(path, paths.FromNoise)
    assert path.tabled is isinstance(path, paths.TimeWarped)


def test_sigma_auto_is_resolved_inside_of_wrappers():
    clock = Clock(0.0, 8.0, 4.0, 4.0)
    path = paths.TimeWarped(paths.BrownianBridge()).resolved(clock)
    assert path == paths.TimeWarped(paths.BrownianBridge(sigma=0.25))


def test_a_path_that_is_not_prepared_refuses_to_be_evaluated(pairs, inside):
    for path in (paths.LimitedHermite(), paths.TimeWarped(paths.Linear())):
        with pytest.raises(InputError, match="depends on the snapshots"):
            path.mean(inside, pairs)
