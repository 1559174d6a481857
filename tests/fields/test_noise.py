"""Laws of fields that know the noise of their input."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import problems
from cellflow import Snapshots
from cellflow.core.population import Clock
from cellflow.fields import MLP, AtNoise, NoiseConditional
from cellflow.fields.ladder import Ladder, Moments

CLOCK = Clock(start=0.0, stop=72.0, unit=24.0, median_gap=24.0)
LADDER = Ladder((4.0, 2.0, 1.0, 0.5))
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
MOMENTS = Moments(
    np.array([0.0, 24.0, 72.0]),
    np.arange(9.0).reshape(3, 3),
    ROTATION,
    np.array([[1.0, 2, 3], [0.1, 1, 4], [1, 1, 1]]),
)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NoiseConditional(
            3, CLOCK, ladder=LADDER, moments=MOMENTS, field=partial(MLP, width=16)
        ).double()


@pytest.fixture
def x():
    return torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_one_level_for_all_is_a_level_for_each(network, x):
    t = torch.linspace(0, 72, 9, dtype=torch.float64)
    torch.testing.assert_close(
        network(t, x, 2.0), network(t, x, torch.full((9,), 2.0, dtype=torch.float64))
    )
    torch.testing.assert_close(AtNoise(network, 2.0)(t, x), network(t, x, 2.0))


def test_a_row_depends_on_its_own_noise_only(network, x):
    t, noise = (
        torch.tensor(10.0, dtype=torch.float64),
        torch.tensor([0.0, 0.5, 1, 2, 4, 0.5, 1, 2, 4], dtype=torch.float64),
    )
    both = network(t, x, noise)
    for k in range(9):
        torch.testing.assert_close(both[k], network(t, x[k : k + 1], noise[k])[0])


@pytest.mark.parametrize(
    ("t", "share", "k"),
    [(0.0, 0.0, 0), (6.0, 0.25, 0), (24.0, 1.0, 0), (60.0, 0.75, 1), (99.0, 1.0, 1)],
)
def test_without_the_network_it_is_the_score_of_a_normal_distribution_that_moves(
    network, x, t, share, k
):
    for p in network.net.net[-1].parameters():
        torch.nn.init.zeros_(p)
    mean = (1 - share) * MOMENTS.mean[k] + share * MOMENTS.mean[k + 1]
    variance = (1 - share) * MOMENTS.variance[k] + share * MOMENTS.variance[k + 1]
    for noise in (0.0, 1.0, 4.0):
        law = problems.Gaussian(mean, ROTATION @ np.diag(variance + noise**2) @ ROTATION.T)
        np.testing.assert_allclose(
            network(torch.tensor(t), x, noise).detach(), law.score(x.numpy())
        )


def test_moments_are_those_of_the_cells():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [problems.SOURCE.sample(20_000, rng), problems.SOURCE.sample(20_000, rng) + [3, 0]]
    )
    moments = Moments.fitted(Snapshots.from_arrays(x, np.repeat([0.0, 1.0], 20_000)), noise=0.5)
    for k in (0, 1):
        covariance = moments.axes @ np.diag(moments.variance[k] - 0.5) @ moments.axes.T
        np.testing.assert_allclose(covariance, problems.SOURCE.cov, atol=0.03)
        np.testing.assert_allclose(moments.mean[k], problems.SOURCE.mean + [3 * k, 0], atol=0.03)


def test_sampling_starts_as_wide_as_the_noisy_cells(network):
    z = torch.randn(50_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    start = network.starting_points(torch.tensor(24.0), z)
    np.testing.assert_allclose(start.mean(dim=0), MOMENTS.mean[1], atol=0.1)
    np.testing.assert_allclose(
        np.cov(start.T), ROTATION @ np.diag(MOMENTS.variance[1] + 16) @ ROTATION.T, atol=0.5
    )


def test_far_from_the_data_the_score_points_home(network, x):
    far = 1e6 * x
    assert ((network(torch.tensor(5.0, dtype=torch.float64), far, 0.5) * far).sum(dim=1) < 0).all()


def test_it_is_smooth_down_to_no_noise(network, x):
    t = torch.tensor(5.0, dtype=torch.float64)
    torch.testing.assert_close(network(t, x, 1e-9), network(t, x, 0.0))


def test_rescaling_time_does_not_rescale_scores(x):
    out = []
    for factor in (1.0, 60.0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            clock = Clock(0.0, 72.0 * factor, 24.0 * factor, 24.0 * factor)
            moments = replace(MOMENTS, times=factor * MOMENTS.times)
            field = NoiseConditional(3, clock, ladder=LADDER, moments=moments, field=MLP).double()
        out.append(field(torch.tensor(30.0 * factor, dtype=torch.float64), x, 1.0))
    torch.testing.assert_close(*out)
