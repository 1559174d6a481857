"""Several networks as one: each row is answered by its own network."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from cellflow.core.population import Clock
from cellflow.fields import MLP, NoiseConditional
from cellflow.fields.ladder import Ladder, Moments
from cellflow.fields.stacked import Mean, Separate, StackedLinear, member_of, stacked
from examples import FIELDS

CLOCK = Clock(0.0, 2.0, 1.0, 1.0)
K = 3


class Own(nn.Module):
    """A network that is not cellflow's, with a weight outside of a linear map."""

    def __init__(self, dim, clock, n_context=0):
        super().__init__()
        self.map = nn.Linear(dim + n_context, dim)
        self.factor = nn.Parameter(torch.randn(dim))

    def forward(self, t, x, context=None):
        inside = x if context is None else torch.cat([x, context], dim=1)
        return self.factor * self.map(inside).tanh() + t.reshape(-1, 1)


KINDS = {**FIELDS, "Own": Own, "frequencies": partial(MLP, n_frequencies=2, width=8)}


def _members(kind, **options):
    torch.manual_seed(0)
    return [kind(2, CLOCK, **options) for _ in range(K)]


def _rows(n=5):
    rng = torch.Generator().manual_seed(1)
    t = 2 * torch.rand(n, generator=rng, dtype=torch.float64)
    return t, torch.randn(n, 2, generator=rng), torch.randn(n, 3, generator=rng)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("n_context", [0, 3])
def test_each_row_is_answered_by_its_own_network(name, n_context):
    members = _members(KINDS[name], **({"n_context": n_context} if n_context else {}))
    t, x, context = _rows()
    beside = (context,) if n_context else ()
    joined = stacked(members)
    assert isinstance(joined, Separate) == (name == "Own")
    again = [value.repeat_interleave(K, dim=0) for value in (t, x, *beside)]
    found = joined(*again).view(5, K, 2)
    for m, member in enumerate(members):
        torch.testing.assert_close(found[:, m], member(t, x, *beside))
        alone = member_of(joined, m)
        torch.testing.assert_close(alone(t, x, *beside), member(t, x, *beside))
    mean = torch.stack([member(t, x, *beside) for member in members]).mean(dim=0)
    torch.testing.assert_close(Mean(joined, K)(t, x, *beside), mean)
    one = Mean(joined, K)(t[0], x, *beside)
    torch.testing.assert_close(one, torch.stack([m(t[0], x, *beside) for m in members]).mean(0))


def test_a_score_keeps_its_levels_and_starting_points():
    ladder = Ladder((2.0, 1.0, 0.5))
    moments = Moments.blank(2, 2)
    for value in (moments.times, moments.mean, moments.axes, moments.variance):
        value[:] = 1.0
    moments.times[1] = 2.0
    members = _members(NoiseConditional, ladder=ladder, moments=moments, field=MLP)
    mean = Mean(stacked(members), K)
    t, x, _ = _rows()
    assert mean.ladder == ladder
    z = torch.randn(4, 2)
    torch.testing.assert_close(mean.starting_points(t[0], z), members[0].starting_points(t[0], z))
    noise = torch.linspace(0, 1, 5)
    for level in (noise, 0.3):
        expected = torch.stack([member(t, x, level, None) for member in members]).mean(dim=0)
        torch.testing.assert_close(mean(t, x, level, None), expected)


def test_gradients_reach_each_network_from_its_own_rows():
    members = _members(partial(MLP, width=8))
    joined = stacked(members)
    t, x, _ = _rows(K)
    value = joined(t, x)
    value[1].sum().backward()
    members[1](t[1:2], x[1:2]).sum().backward()
    maps = [part for part in joined.modules() if isinstance(part, StackedLinear)]
    ours = [part for part in members[1].modules() if isinstance(part, nn.Linear)]
    assert len(maps) == len(ours) == 4
    for part, own in zip(maps, ours, strict=True):
        torch.testing.assert_close(part.weight.grad[1], own.weight.grad)
        assert not part.weight.grad[[0, 2]].any()


def test_a_member_has_weights_of_its_own():
    members = _members(MLP)
    joined = stacked(members)
    alone = member_of(joined, 0)
    before = joined(*_rows(K)[:2]).detach().clone()
    with torch.no_grad():
        for p in [*alone.parameters(), *members[0].parameters()]:
            p.zero_()
    torch.testing.assert_close(joined(*_rows(K)[:2]), before)
    assert not np.allclose(before[0].numpy(), alone(*_rows(K)[:2]).detach().numpy()[0])
