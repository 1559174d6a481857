"""The optimiser on joined parameters."""

import copy

import torch
from torch import nn

from cellflow.training.optimizer import AdamW, Group, joined


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 2))


def test_goes_where_that_of_torch_goes():
    with torch.random.fork_rng():
        ours, x = network(), torch.randn(64, 3)
    theirs = copy.deepcopy(ours)
    mine = AdamW(ours, clip=0.5, groups=[Group(weight_decay=0.1)])
    moments = torch.zeros_like(mine.vector), torch.zeros_like(mine.vector)
    other = torch.optim.AdamW(theirs.parameters(), weight_decay=0.1)
    for k in range(100):
        lr = 1e-2 * (1 - k / 100)
        mine.step((ours(x) - 3 * x[:, :2]).square().mean(), lr, *moments, k + 1)
        other.param_groups[0]["lr"] = lr
        other.zero_grad()
        (theirs(x) - 3 * x[:, :2]).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        other.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_groups_have_their_own_rate_and_decay():
    with torch.random.fork_rng():
        ours, x = network(), torch.randn(64, 3)
    theirs = copy.deepcopy(ours)
    bias = lambda name: "bias" in name
    groups = [Group(0.2, has=lambda name: not bias(name)), Group(rate=2.0, has=bias)]
    mine = AdamW(ours, clip=1e9, groups=groups)
    moments = torch.zeros_like(mine.vector), torch.zeros_like(mine.vector)
    named = list(theirs.named_parameters())
    other = torch.optim.AdamW(
        [
            {"params": [p for name, p in named if not bias(name)], "weight_decay": 0.2},
            {"params": [p for name, p in named if bias(name)], "lr": 2e-3, "weight_decay": 0.0},
        ],
        lr=1e-3,
    )
    for k in range(50):
        mine.step((ours(x) - 3 * x[:, :2]).square().mean(), 1e-3, *moments, k + 1)
        other.zero_grad()
        (theirs(x) - 3 * x[:, :2]).square().mean().backward()
        other.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_frozen_parameters_stay():
    with torch.random.fork_rng():
        module = network()
    module[0].weight.requires_grad_(False)
    before = module[0].weight.clone()
    vector, parameters, _ = joined(module)
    assert len(vector) == sum(p.numel() for p in parameters) == 16 + 2 * 16 + 2
    vector.zero_()
    assert torch.equal(module[0].weight, before)
    assert not module[2].weight.any()
