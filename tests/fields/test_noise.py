"""Laws of fields that know the noise of their input."""

from functools import partial

import pytest
import torch

from cellflow.fields import MLP, AtNoise, NoiseConditional
from cellflow.ladder import Ladder
from cellflow.population import Clock

CLOCK = Clock(start=0.0, stop=72.0, unit=24.0, median_gap=24.0)
LADDER = Ladder((4.0, 2.0, 1.0, 0.5), spread=1.5)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NoiseConditional(3, CLOCK, ladder=LADDER, field=partial(MLP, width=16)).double()


@pytest.fixture
def x():
    return torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_one_level_for_all_is_a_level_for_each(network, x):
    t = torch.linspace(0, 72, 9, dtype=torch.float64)
    torch.testing.assert_close(network(t, x, 2.0), network(t, x, torch.full((9,), 2.0, dtype=torch.float64)))
    torch.testing.assert_close(AtNoise(network, 2.0)(t, x), network(t, x, 2.0))


def test_a_row_depends_on_its_own_noise_only(network, x):
    t, noise = torch.tensor(10.0, dtype=torch.float64), torch.tensor([0.0, 0.5, 1, 2, 4, 0.5, 1, 2, 4], dtype=torch.float64)
    both = network(t, x, noise)
    for k in range(9):
        torch.testing.assert_close(both[k], network(t, x[k : k + 1], noise[k])[0])


def test_without_the_network_it_is_the_score_of_a_noisy_normal_distribution(network, x):
    for p in network.net.net[-1].parameters():
        torch.nn.init.zeros_(p)
    for noise in (0.0, 1.0, 4.0):
        torch.testing.assert_close(network(torch.tensor(5.0), x, noise), -x / (1.5**2 + noise**2))


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
            field = NoiseConditional(3, clock, ladder=LADDER, field=MLP).double()
        out.append(field(torch.tensor(30.0 * factor, dtype=torch.float64), x, 1.0))
    torch.testing.assert_close(*out)
