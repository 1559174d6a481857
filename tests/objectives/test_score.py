"""Laws of score matching: three losses, one minimiser."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from cellflow import paths
from cellflow.core.population import Pairs
from cellflow.errors import InputError
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.ladder import Ladder
from cellflow.objectives import (
    denoising_score_matching,
    implicit_score_matching,
    sliced_score_matching,
)
from cellflow.paths.base import PathSample

LOSSES = [denoising_score_matching, sliced_score_matching, implicit_score_matching]
MEAN, FACTOR = (
    torch.tensor([1.0, -2.0], dtype=torch.float64),
    torch.tensor([[1.5, 0.0], [0.7, 0.6]], dtype=torch.float64),
)
COVARIANCE = FACTOR @ FACTOR.T


class GaussianScore(nn.Module):
    """Exact score of a Gaussian under noise, perturbed by `shift` and `stretch`, which are zero at
    the minimum.
    """

    def __init__(self, levels=(2.0, 1.0, 0.5)):
        super().__init__()
        self.ladder = Ladder(levels)
        self.shift = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.stretch = nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))

    def forward(self, t, x, noise=0.0, context=None):
        noise = torch.as_tensor(noise, dtype=x.dtype).expand(len(x))
        covariance = COVARIANCE + noise.square()[:, None, None] * torch.eye(2, dtype=x.dtype)
        exact = -torch.linalg.solve(covariance, x - MEAN)
        return exact + self.shift + x @ self.stretch


def sample(n, *, std=0.0, levels=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)
    z = draw(n, 2)
    # A path of width `std` whose centres have what is left of the covariance.
    rest = torch.linalg.cholesky(COVARIANCE - std**2 * torch.eye(2, dtype=torch.float64))
    x = MEAN + draw(n, 2) @ rest.T + std * z
    level = torch.rand(n, dtype=torch.float64, generator=generator) if levels else None
    width = torch.full((n,), std, dtype=torch.float64)
    return PathSample(
        torch.zeros(n), x, torch.zeros_like(x), std=width, z=z, level=level, probe=draw(n, 2)
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("std", [0.0, 0.4])
def test_the_exact_score_is_the_minimum(loss, std):
    dynamics = Dynamics(nn.Identity(), GaussianScore())
    gradients = []
    for seed in range(20):
        dynamics.zero_grad()
        loss(dynamics, sample(20_000, std=std, seed=seed)).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in dynamics.score.parameters()]))
    gradients = torch.stack(gradients)
    error = gradients.std(dim=0) / len(gradients) ** 0.5
    assert (gradients.mean(dim=0).abs() < 4.5 * error).all()
    # ... and it is one: off it, the gradient is far from zero.
    with torch.no_grad():
        dynamics.score.shift.fill_(0.5)
    dynamics.zero_grad()
    loss(dynamics, sample(20_000, std=std)).backward()
    assert (dynamics.score.shift.grad > 10 * gradients.std(dim=0)[:2]).all()


def test_the_three_differ_by_a_constant():
    # Vincent 2011, Hyvärinen 2005: as functions of the score, at one level, the losses are equal up
    # to constant and factor.
    dynamics = Dynamics(nn.Identity(), GaussianScore())
    points = sample(400_000, std=0.4, levels=False)
    values = []
    for shift in (0.0, 0.5):
        with torch.no_grad():
            dynamics.score.shift.fill_(shift)
            values.append([float(loss(dynamics, points)) for loss in LOSSES])
    denoising, sliced, implicit = (b - a for a, b in zip(*values, strict=True))
    assert 0.5 * denoising == pytest.approx(implicit, rel=0.03)
    assert sliced == pytest.approx(implicit, rel=0.03)


def test_slices_estimate_the_trace_without_bias():
    dynamics = Dynamics(nn.Identity(), GaussianScore())
    points = sample(5, levels=False)
    exact = implicit_score_matching(dynamics, points)
    many = PathSample(
        **{
            name: None if v is None else v.repeat_interleave(40_000, dim=0)
            for name, v in vars(points).items()
        }
    )
    generator = torch.Generator().manual_seed(1)
    many = replace(
        many, probe=torch.randn(len(many.x), 2, dtype=torch.float64, generator=generator)
    )
    assert float(sliced_score_matching(dynamics, many).detach()) == pytest.approx(
        float(exact.detach()), abs=0.02
    )


def test_half_of_the_rows_of_a_wide_path_keep_their_noise_and_all_of_a_point_get_some():
    seen = []

    class Spy(GaussianScore):
        def forward(self, t, x, noise=0.0, context=None):
            seen.append(noise)
            return super().forward(t, x, noise)

    dynamics = Dynamics(nn.Identity(), Spy())
    denoising_score_matching(dynamics, sample(20_000, std=0.4))
    denoising_score_matching(dynamics, sample(20_000, std=0.0))
    wide, point = seen
    assert float((wide == 0).double().mean()) == pytest.approx(0.5, abs=0.02)
    for level in (2.0, 1.0, 0.5):
        assert float((wide == level).double().mean()) == pytest.approx(1 / 6, abs=0.02)
        assert float((point == level).double().mean()) == pytest.approx(1 / 3, abs=0.02)


def test_the_loss_does_not_vanish_at_the_observed_times():
    # At the ends of a bridge the path has no width; the ladder keeps the weight of the score
    # positive there.
    n = 3000
    generator = torch.Generator().manual_seed(0)
    x0 = MEAN + torch.randn(n, 2, dtype=torch.float64, generator=generator) @ FACTOR.T
    zeros = torch.zeros(n, dtype=torch.float64)
    pairs = Pairs(x0, x0, zeros, zeros + 1)
    z = torch.randn(n, 2, dtype=torch.float64, generator=generator)
    points = paths.sample(paths.BrownianBridge(1.0), zeros + 1e-9, pairs, z)
    points = replace(points, level=torch.rand(n, dtype=torch.float64, generator=generator))
    dynamics = Dynamics(nn.Identity(), GaussianScore())
    with torch.no_grad():
        dynamics.score.shift.fill_(1.0)
    denoising_score_matching(dynamics, points).backward()
    assert (dynamics.score.shift.grad > 0.1).all()


@pytest.mark.parametrize("loss", [sliced_score_matching, implicit_score_matching])
def test_it_can_be_evaluated_without_gradients(loss):
    dynamics, points = Dynamics(nn.Identity(), GaussianScore()), sample(50)
    with torch.no_grad():
        value = loss(dynamics, points)
    assert not value.requires_grad
    assert float(value) == pytest.approx(float(loss(dynamics, points).detach()))


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_count(loss):
    dynamics, points = Dynamics(nn.Identity(), GaussianScore()), sample(40)
    weight = torch.zeros(40, dtype=torch.float64)
    weight[:10] = 2.0
    expected = loss(dynamics, points.rows(0, 10)).detach()
    assert float(loss(dynamics, replace(points, weight=weight)).detach()) == pytest.approx(
        float(expected)
    )


def test_what_cannot_be_matched_is_refused():
    dynamics, points = Dynamics(nn.Identity(), GaussianScore()), sample(10, levels=False)
    with pytest.raises(InputError, match="carry none"):
        denoising_score_matching(dynamics, points)
    with pytest.raises(InputError, match="probe"):
        sliced_score_matching(dynamics, replace(points, probe=None))
    with pytest.raises(InputError, match="with a score"):
        implicit_score_matching(Dynamics(nn.Identity()), points)
