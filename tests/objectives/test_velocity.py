"""Conditional flow matching as a loss."""

import pytest
import torch

from cellflow import objectives
from cellflow.fields.dynamics import Dynamics
from cellflow.objectives import velocity_matching
from cellflow.paths import PathSample


class Constant(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))

    def forward(self, t, x):
        return self.value.expand_as(x)


@pytest.fixture
def sample():
    g = torch.Generator().manual_seed(0)
    x, velocity = torch.randn(2, 50, 3, generator=g, dtype=torch.float64)
    return PathSample(torch.rand(50, generator=g, dtype=torch.float64), x, velocity)


def test_every_objective_of_the_family_is_an_objective():
    functions = [getattr(objectives, name) for name in objectives.__all__ if name != "Objective"]
    assert all(isinstance(f, objectives.Objective) for f in functions)


def test_zero_at_the_target_only(sample):
    class Exact(torch.nn.Module):
        def forward(self, t, x):
            return sample.velocity

    assert velocity_matching(Dynamics(Exact()), sample) == 0.0
    assert velocity_matching(Dynamics(Constant([0.0, 0.0, 0.0])), sample) > 0.1


def test_the_minimiser_is_the_conditional_mean(sample):
    mean = sample.velocity.mean(dim=0)
    dynamics = Dynamics(Constant(mean.tolist()))
    velocity_matching(dynamics, sample).backward()
    torch.testing.assert_close(
        dynamics.velocity.value.grad, torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_measured_in_the_unit_of_time(sample):
    slow = PathSample(60.0 * sample.t, sample.x, sample.velocity / 60.0)
    field = Constant([1.0, 2.0, 3.0])
    slow_field = Constant([1.0 / 60, 2.0 / 60, 3.0 / 60])
    torch.testing.assert_close(
        velocity_matching(Dynamics(field, unit=1.0), sample),
        velocity_matching(Dynamics(slow_field, unit=60.0), slow),
    )


def test_rows_weigh_as_told(sample):
    dynamics = Dynamics(Constant([0.5, 0.0, -0.5]))
    weight = torch.zeros(50, dtype=torch.float64)
    weight[:10] = 7.0
    weighted = PathSample(sample.t, sample.x, sample.velocity, weight=weight)
    torch.testing.assert_close(
        velocity_matching(dynamics, weighted), velocity_matching(dynamics, sample.rows(0, 10))
    )
