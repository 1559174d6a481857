"""torchcfm in its own published configuration, for tables that show it beside ours (`pip install --no-deps torchcfm`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

#: `(n, generator) -> (source, target)`, fresh or drawn from a training set.
Batches = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def from_set(x0: np.ndarray, x1: np.ndarray) -> Batches:
    """Batches drawn with replacement from fixed clouds."""
    a, b = torch.from_numpy(x0).float(), torch.from_numpy(x1).float()

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return tuple(c[torch.randint(len(c), (n,), generator=generator)] for c in (a, b))

    return draw


@dataclass(frozen=True)
class Peer:
    """A velocity network, a score network or None, and the seconds that training took."""

    velocity: nn.Module
    score: nn.Module | None
    sigma: float
    seconds: float

    def at(self, network: nn.Module, t: float, x: Tensor) -> Tensor:
        """A network's output at one time."""
        return network(torch.cat([x, torch.full((len(x), 1), t)], dim=1))

    @torch.no_grad()
    def diffuse(self, x: np.ndarray, times: np.ndarray, *, n_steps: int, seed: int) -> np.ndarray:
        """Euler-Maruyama with the learned drift, reported at `times`, which are multiples of the step; `(T, n, d)`."""
        assert self.score is not None
        generator, state = torch.Generator().manual_seed(seed), torch.from_numpy(x).float()
        kept, h = {0: state}, 1.0 / n_steps
        for k in range(n_steps):
            drift = self.at(self.velocity, k * h, state) + self.at(self.score, k * h, state)
            state = state + h * drift + self.sigma * h**0.5 * torch.randn(state.shape, generator=generator)
            kept[k + 1] = state
        return torch.stack([kept[round(t * n_steps)] for t in times]).numpy()

    @torch.no_grad()
    def flow(self, x: np.ndarray, *, n_steps: int = 100) -> tuple[np.ndarray, float]:
        """Midpoint rule from 0 to 1: the end, and the mean path energy."""
        state, h, energy = torch.from_numpy(x).float(), 1.0 / n_steps, 0.0
        for k in range(n_steps):
            half = state + 0.5 * h * self.at(self.velocity, k * h, state)
            v = self.at(self.velocity, (k + 0.5) * h, half)
            state, energy = state + h * v, energy + h * float(v.square().sum(dim=1).mean())
        return state.numpy(), energy


def train(
    method: str, batches: Batches, dim: int, *, sigma: float, steps: int, batch_size: int, lr: float, width: int, seed: int
) -> Peer:
    """Train as the authors' notebooks do: AdamW at a constant rate, minibatch plans, three hidden layers with SELU.

    For `sf2m`, the score network learns half the squared diffusion times the score, with the weight of the notebook.
    """
    from torchcfm.conditional_flow_matching import (
        ConditionalFlowMatcher,
        ExactOptimalTransportConditionalFlowMatcher,
        SchrodingerBridgeConditionalFlowMatcher,
    )
    from torchcfm.models.models import MLP

    kinds = {
        "i-cfm": ConditionalFlowMatcher,
        "ot-cfm": ExactOptimalTransportConditionalFlowMatcher,
        "sf2m": SchrodingerBridgeConditionalFlowMatcher,
    }
    matcher = kinds[method](sigma=sigma)
    start, generator = time.perf_counter(), torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (its plans are drawn with numpy's own generator)
        velocity = MLP(dim=dim, w=width, time_varying=True)
        score = MLP(dim=dim, w=width, time_varying=True) if method == "sf2m" else None
        networks = nn.ModuleList([n for n in (velocity, score) if n is not None])
        optimizer = torch.optim.AdamW(networks.parameters(), lr=lr)
        for _ in range(steps):
            x0, x1 = batches(batch_size, generator)
            t, x, u, noise = matcher.sample_location_and_conditional_flow(x0, x1, return_noise=True)
            inside = torch.cat([x, t[:, None]], dim=1)
            loss = (velocity(inside) - u).square().mean()
            if score is not None:
                weight = 2 * matcher.compute_sigma_t(t) / (sigma**2 + 1e-8)
                loss = loss + (weight[:, None] * score(inside) + noise).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Peer(velocity.eval(), score and score.eval(), sigma, time.perf_counter() - start)
