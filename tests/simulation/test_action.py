"""Paths of least action, for drifts whose paths are known."""

import math

import pytest
import torch

from cellflow.simulation import action_along, least_action


def even(duration, n):
    return torch.linspace(0.0, duration, n + 1, dtype=torch.float64)


def line(a, b, n):
    a, b = (torch.tensor(end, dtype=torch.float64) for end in (a, b))
    return torch.lerp(a[None], b[None], torch.linspace(0.0, 1.0, n + 1).double()[:, None])


def resting(t, x):
    return torch.zeros_like(x)


@pytest.mark.parametrize("n", [2, 7, 50])
def test_without_a_drift_it_is_the_straight_line(n):
    sigma, duration = 0.4, 3.0
    straight = line([1.0, -2.0], [0.0, 1.0], n)
    wave = torch.sin(torch.linspace(0.0, math.pi, n + 1).double())[:, None]
    found = least_action(resting, even(duration, n), [straight + wave], sigma=sigma)
    assert found.converged
    assert found.total == pytest.approx(10.0 / (2 * duration * sigma**2), rel=1e-6)
    torch.testing.assert_close(found.x, straight, atol=1e-4, rtol=0.0)


@pytest.mark.parametrize(("duration", "n"), [(0.5, 50), (3.0, 50), (3.0, 200), (8.0, 100)])
def test_the_action_of_an_ornstein_uhlenbeck_process(duration, n):
    # Its transition density is Gaussian, and the least action is its exponent.
    theta, sigma = 0.7, 0.4
    start, end = [1.0, -0.5], [-1.0, 2.0]
    found = least_action(
        lambda t, x: -theta * x, even(duration, n), [line(start, end, n)], sigma=sigma
    )
    decay = math.exp(-theta * duration)
    gap = sum((b - a * decay) ** 2 for a, b in zip(start, end, strict=True))
    known = theta * gap / (sigma**2 * (1 - decay**2))
    step = duration / n
    assert found.converged
    assert found.total == pytest.approx(known, rel=0.15 * (theta * step) ** 2 + 1e-6)


def test_the_error_falls_with_the_square_of_the_step():
    theta, decay = 0.7, math.exp(-2.1)
    known = theta * (1.0 + decay) ** 2 / (1 - decay**2)
    errors = []
    for n in (10, 20, 40):
        found = least_action(
            lambda t, x: -theta * x, even(3.0, n), [line([1.0], [-1.0], n)], sigma=1.0
        )
        errors.append(abs(found.total - known))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.1)


def turning(t, x):
    return torch.stack([-x[:, 1], x[:, 0]], dim=1)


def test_along_the_drift_it_is_zero():
    n = 100
    times = even(2.0, n)
    path = torch.stack([times.cos(), times.sin()], dim=1)
    assert float(action_along(turning, times, path, 0.3)[-1]) < 1e-6
    ends = (path[0].tolist(), path[-1].tolist())
    found = least_action(turning, times, [line(*ends, n)], sigma=0.3)
    assert found.total < 1e-6
    torch.testing.assert_close(found.x, path, atol=1e-3, rtol=0.0)


def test_the_action_adds_up_and_scales_with_the_noise():
    times = even(2.0, 20)
    path = line([0.0, 1.0], [2.0, 0.0], 20)
    along = action_along(turning, times, path, 0.5)
    assert float(along[0]) == 0.0
    assert bool((along.diff() >= 0).all())
    torch.testing.assert_close(action_along(turning, times, path, 1.0), along / 4)
    torch.testing.assert_close(
        action_along(turning, times[10:], path[10:], 0.5)[-1], along[-1] - along[10]
    )


#: Height of the barrier, how far the valley bends, and its steepness.
HEIGHT, BEND, STEEP = 1.0, 1.5, 4.0


def wells(t, x):
    """Descent of V = h (y^2 - 1)^2 + k/2 (x - c (1 - y^2))^2: saddle at (c, 0), of height h."""
    off = x[:, 0] - BEND * (1 - x[:, 1] ** 2)
    slope = 4 * HEIGHT * x[:, 1] * (x[:, 1] ** 2 - 1) + 2 * STEEP * BEND * off * x[:, 1]
    return -torch.stack([STEEP * off, slope], dim=1)


def test_between_two_wells_it_goes_through_the_saddle():
    n, sigma = 100, 0.5
    start = line([0.0, -1.0], [0.0, 1.0], n)
    found = least_action(wells, even(10.0, n), [start], sigma=sigma)
    crossing = found.x[found.x[:, 1].abs().argmin()]
    assert float(crossing[0]) == pytest.approx(BEND, abs=0.05)
    # In a long time, the action is that of climbing the barrier, 2 h / sigma^2.
    assert found.total == pytest.approx(2 * HEIGHT / sigma**2, rel=0.03)
    straight = float(action_along(wells, even(10.0, n), start, sigma)[-1])
    assert found.total < 0.05 * straight


def test_the_best_of_several_starts_is_returned():
    # Two valleys at y = 1 and y = -1, and a ridge between them. In the lower one the drift leads
    # towards the end, but the ways in and out are steep; along the ridge the path is better.
    def valleys(t, x):
        return torch.stack([torch.sigmoid(-8 * x[:, 1]), -8 * x[:, 1] * (x[:, 1] ** 2 - 1)], dim=1)

    n = 40
    times, ridge = even(4.0, n), line([0.0, 0.0], [4.0, 0.0], n)
    below = ridge.clone()
    below[1:-1, 1] = -1.0
    starts = [below, ridge]
    valley, along = (least_action(valleys, times, [start], sigma=0.5).total for start in starts)
    # The climb out of the valley, of height 2, has the action 2 h / sigma^2.
    assert valley == pytest.approx(2 * 2.0 / 0.25, rel=0.1)
    assert along <= float(action_along(valleys, times, ridge, 0.5)[-1])
    for each in (starts, starts[::-1]):
        assert least_action(valleys, times, each, sigma=0.5).total == pytest.approx(along)


def test_a_drift_that_depends_on_time_is_asked_at_the_middle_of_steps():
    asked = []

    def drift(t, x):
        asked.append(t)
        return torch.ones_like(x) * t[:, None]

    times = even(2.0, 4)
    path = (times**2 / 2)[:, None]
    assert float(action_along(drift, times, path, 1.0)[-1]) == pytest.approx(0.0, abs=1e-12)
    torch.testing.assert_close(asked[0], torch.tensor([0.25, 0.75, 1.25, 1.75]).double())
