"""Training of torchcfm's networks, as its authors do (`pip install --no-deps torchcfm`)."""

from __future__ import annotations

import copy
import time as clock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cellflow.core._threads import torch_threads

#: `(n, generator) -> (source, target)`, fresh or drawn from a training set.
Batches = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
Method = Literal["i-cfm", "ot-cfm", "sf2m"]


def from_set(x0: np.ndarray, x1: np.ndarray) -> Batches:
    """Batches drawn with replacement from fixed clouds."""
    a = torch.from_numpy(x0).float()
    b = torch.from_numpy(x1).float()

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return tuple(c[torch.randint(len(c), (n,), generator=generator)] for c in (a, b))

    return draw


@dataclass(frozen=True)
class Peer:
    """A velocity network, a score network or None, and the seconds and steps that training took."""

    velocity: nn.Module
    score: nn.Module | None
    sigma: float
    seconds: float
    steps: int

    def at(self, network: nn.Module, t: float, x: Tensor) -> Tensor:
        """A network's output at one time."""
        return network(torch.cat([x, torch.full((len(x), 1), t)], dim=1))

    @torch.no_grad()
    def move(
        self, x: np.ndarray, start: float, stop: float, *, n_steps: int, seed: int
    ) -> np.ndarray:
        """Euler steps along the velocity; with a score, Euler-Maruyama with the learned drift."""
        generator = torch.Generator().manual_seed(seed)
        state = torch.from_numpy(x).float()
        h = (stop - start) / n_steps
        for k in range(n_steps):
            t = start + k * h
            drift = self.at(self.velocity, t, state)
            if self.score is not None:
                noise = torch.randn(state.shape, generator=generator)
                drift = drift + self.at(self.score, t, state) + self.sigma / h**0.5 * noise
            state = state + h * drift
        return state.double().numpy()

    @torch.no_grad()
    def diffuse(self, x: np.ndarray, times: np.ndarray, *, n_steps: int, seed: int) -> np.ndarray:
        """Euler-Maruyama with the learned drift, at multiples `times` of the step; `(T, n, d)`."""
        assert self.score is not None
        generator = torch.Generator().manual_seed(seed)
        state = torch.from_numpy(x).float()
        kept = {0: state}
        h = 1.0 / n_steps
        for k in range(n_steps):
            drift = self.at(self.velocity, k * h, state) + self.at(self.score, k * h, state)
            state = (
                state
                + h * drift
                + self.sigma * h**0.5 * torch.randn(state.shape, generator=generator)
            )
            kept[k + 1] = state
        return torch.stack([kept[round(t * n_steps)] for t in times]).numpy()

    @torch.no_grad()
    def flow(self, x: np.ndarray, *, n_steps: int = 100) -> tuple[np.ndarray, float]:
        """Midpoint rule from 0 to 1: the end, and the mean path energy."""
        state = torch.from_numpy(x).float()
        h = 1.0 / n_steps
        energy = 0.0
        for k in range(n_steps):
            half = state + 0.5 * h * self.at(self.velocity, k * h, state)
            v = self.at(self.velocity, (k + 0.5) * h, half)
            state = state + h * v
            energy = energy + h * float(v.square().sum(dim=1).mean())
        return state.numpy(), energy


def train(
    method: Method,
    batches: Batches,
    dim: int,
    *,
    sigma: float,
    steps: int,
    batch_size: int,
    lr: float,
    width: int,
    seed: int,
) -> Peer:
    """Train as the authors' notebooks do: AdamW at a constant rate, minibatch plans, SELU.

    For `sf2m`, the score network learns half the squared diffusion times the score, with the weight
    of the notebook.
    """
    start = clock.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    with seeded(seed):
        matcher = make_matcher(method, sigma)
        networks = make_networks(method, dim, width)
        optimizer = torch.optim.AdamW(networks.parameters(), lr=lr)
        for _ in range(steps):
            train_step(
                networks, optimizer, regression_points(matcher, *batches(batch_size, generator))
            )
    return peer_of(networks, sigma, clock.perf_counter() - start, steps)


class Points(NamedTuple):
    """Regression points: `[x, t]`, the velocity, the weight of the score, and minus its target."""

    inside: Tensor
    velocity: Tensor
    weight: Tensor
    noise: Tensor


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch and numpy, whose global generator torchcfm draws plans with, and restore both."""
    state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(), torch_threads(1):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def make_matcher(method: Method, sigma: float) -> Any:
    from torchcfm import conditional_flow_matching as cfm

    kinds = {
        "i-cfm": cfm.ConditionalFlowMatcher,
        "ot-cfm": cfm.ExactOptimalTransportConditionalFlowMatcher,
        "sf2m": cfm.SchrodingerBridgeConditionalFlowMatcher,
    }
    return kinds[method](sigma=sigma)


def make_networks(method: Method, dim: int, width: int) -> nn.ModuleList:
    from torchcfm.models.models import MLP

    return nn.ModuleList(
        [MLP(dim=dim, w=width, time_varying=True) for _ in range(2 if method == "sf2m" else 1)]
    )


def regression_points(
    matcher: Any, x0: Tensor, x1: Tensor, t0: float = 0.0, t1: float = 1.0
) -> Points:
    t, x, u, noise = matcher.sample_location_and_conditional_flow(x0, x1, return_noise=True)
    weight = 2 * matcher.compute_sigma_t(t) / (matcher.sigma**2 + 1e-8) * torch.ones_like(t)
    return Points(
        torch.cat([x, (t0 + (t1 - t0) * t)[:, None]], dim=1), u / (t1 - t0), weight[:, None], noise
    )


def regression_loss(networks: nn.ModuleList, points: Points) -> Tensor:
    velocity, *score = networks
    loss = (velocity(points.inside) - points.velocity).square().mean()
    return loss + sum(
        (points.weight * s(points.inside) + points.noise).square().mean() for s in score
    )


def train_step(networks: nn.ModuleList, optimizer: torch.optim.Optimizer, points: Points) -> None:
    loss = regression_loss(networks, points)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def peer_of(networks: nn.ModuleList, sigma: float, seconds: float, steps: int) -> Peer:
    velocity, *score = copy.deepcopy(networks).eval()
    return Peer(velocity, score[0] if score else None, sigma, seconds, steps)
