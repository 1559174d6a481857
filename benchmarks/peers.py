"""torchcfm in its own published configuration, for tables that show it beside ours (`pip install --no-deps torchcfm`)."""

from __future__ import annotations

import copy
import time as clock
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cellflow.core._threads import torch_threads
from cellflow.core.frame import Frame, Scale
from cellflow.core.population import Population, Snapshots

#: `(n, generator) -> (source, target)`, fresh or drawn from a training set.
Batches = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
Method = Literal["i-cfm", "ot-cfm", "sf2m"]
#: Steps of an epoch of embryoid bodies in the authors' runner: .8 of the 2,381 cells of the
#: smallest snapshot, 128 at a time.
_LEAST_EPOCH = 14


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
        """Euler's steps along the velocity; Euler-Maruyama with the learned drift where there is a score."""
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
        """Euler-Maruyama with the learned drift, reported at `times`, which are multiples of the step; `(T, n, d)`."""
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
    """Train as the authors' notebooks do: AdamW at a constant rate, minibatch plans, three hidden layers with SELU.

    For `sf2m`, the score network learns half the squared diffusion times the score, with the weight
    of the notebook.
    """
    start = clock.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    with _seeded(seed):
        matcher = _matcher(method, sigma)
        networks = _networks(method, dim, width)
        optimizer = torch.optim.AdamW(networks.parameters(), lr=lr)
        for _ in range(steps):
            _step(networks, optimizer, _points(matcher, *batches(batch_size, generator)))
    return _peer(networks, sigma, clock.perf_counter() - start, steps)


@dataclass(frozen=True)
class Torchcfm:
    """torchcfm on snapshots, in its authors' configuration for embryoid bodies: a method for cellflow's hold-outs.

    From the runner (atong01/conditional-flow-matching: runner/configs/model/*.yaml,
    configs/datamodule/time_dist.yaml and runner/src/models/cfm_module.py): three hidden layers of
    64 with SELU on [t, x]; AdamW, rate 1e-3, decay 1e-5; 128 cells of each snapshot in a batch;
    sigma 0.1; the exact plan of each minibatch; one network of all intervals, where the pair that
    straddles the held-out snapshot is one longer interval; up to 1000 epochs with patience 100 on a
    validation loss, weights of the best epoch; 100 Euler steps per interval. From their single-cell
    notebook: all intervals in every batch.

    What differs is to the peer's advantage, or was not possible: nine tenths of the cells train and
    one validates (theirs: .8, .1, .1); validation uses the method's own pairs and fixed draws, and
    has no cells of the held-out time (theirs has); an epoch has at least 14 steps, as on embryoid
    bodies, also where a snapshot has fewer cells than a batch.

    Parameters
    ----------
    method
        `"i-cfm"`, `"ot-cfm"` or `"sf2m"`; the last one is moved by its diffusion.
    scale
        `"none"`: coordinates as they are (the published tables, which are whitened before);
        `"joint"`: centred, and over one number, as cellflow's own frame does, so that `sigma` means
        as much on sets in other units.
    """

    method: Method = "ot-cfm"
    scale: Scale = "none"
    batch_size: int = 128
    width: int = 64
    lr: float = 1e-3
    weight_decay: float = 1e-5
    sigma: float = 0.1
    epochs: int = 1000
    patience: int = 100
    max_steps: int = 10_000
    euler_steps: int = 100

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"torchcfm {self.method}"

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Fit without a snapshot and predict it: from the snapshot before (P1), and from the first one (P2)."""
        return self.predict(
            self.course(rest, random_state).stopped, rest, time, random_state=random_state
        )

    def predict(
        self,
        peer: Peer,
        rest: Snapshots,
        time: float,
        *,
        random_state: int,
        protocols: Sequence[str] = ("P1", "P2"),
    ) -> dict[str, Population]:
        """Move the cells before a time to it, with networks of `course`."""
        frame = Frame.fitted(rest, self.scale)
        unit = float(np.median(np.diff(rest.times)))
        before = [p for p in rest.populations if p.time < time]
        found = {}
        for protocol in protocols:
            start, n = (before[-1], 1) if protocol == "P1" else (before[0], len(before))
            span = [(t - rest.times[0]) / unit for t in (start.time, time)]
            x = peer.move(
                frame.to_model(start.x), *span, n_steps=n * self.euler_steps, seed=random_state
            )
            found[protocol] = Population(frame.to_data(x), time, start.weight)
        return found

    def course(self, rest: Snapshots, seed: int, *, checkpoints: Sequence[int] = ()) -> Course:
        """Train, and keep the networks at some numbers of steps, whether training should have stopped before or not."""
        frame = Frame.fitted(rest, self.scale)
        unit = float(np.median(np.diff(rest.times)))
        times = (rest.times - rest.times[0]) / unit
        start = clock.perf_counter()
        generator = torch.Generator().manual_seed(seed)
        with _seeded(seed):
            parts = [_split(frame.to_model(p.x), generator) for p in rest.populations]
            matcher = _matcher(self.method, self.sigma)
            networks = _networks(self.method, rest.n_dims, self.width)

            def points(part: int, size: int) -> Points:
                drawn = [
                    x[part][torch.randint(len(x[part]), (size,), generator=generator)]
                    for x in parts
                ]
                found = [
                    _points(matcher, a, b, *ends)
                    for a, b, *ends in zip(drawn, drawn[1:], times, times[1:], strict=False)
                ]
                return Points(*(torch.cat(column) for column in zip(*found, strict=True)))

            aside = points(1, self.batch_size)
            optimizer = torch.optim.AdamW(
                networks.parameters(), lr=self.lr, weight_decay=self.weight_decay
            )
            epoch = max(_LEAST_EPOCH, min(len(x[0]) for x in parts) // self.batch_size)
            limit = min(self.max_steps, self.epochs * epoch)
            kept: dict[int, Peer] = {}
            best = None
            best_loss = np.inf
            done = False
            for step in range(1, max([limit, *checkpoints]) + 1):
                _step(networks, optimizer, points(0, self.batch_size))
                seconds = clock.perf_counter() - start
                if not done and (step % epoch == 0 or step == limit):
                    with torch.no_grad():
                        loss = float(_loss(networks, aside))
                    if loss < best_loss:
                        best = _peer(networks, self.sigma, seconds, step)
                        best_loss = loss
                    done = step >= limit or step - best.steps >= self.patience * epoch
                    stop = step
                    stop_seconds = seconds
                if step in checkpoints:
                    kept[step] = _peer(networks, self.sigma, seconds, step)
                if done and step >= max(checkpoints, default=0):
                    break
        return Course(replace(best, seconds=stop_seconds), stop, kept)


@dataclass(frozen=True)
class Course:
    """A training: the networks of the best validation loss, with the seconds until it stopped; the step; and checkpoints."""

    stopped: Peer
    stop: int
    checkpoints: Mapping[int, Peer]


class Points(NamedTuple):
    """Regression points: `[x, t]`, the velocity, the weight of the score, and minus its target."""

    inside: Tensor
    velocity: Tensor
    weight: Tensor
    noise: Tensor


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Give torch and numpy a seed, because torchcfm draws its plans with numpy's own generator; put both back after."""
    state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(), torch_threads(1):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _matcher(method: Method, sigma: float) -> Any:
    from torchcfm import conditional_flow_matching as cfm

    kinds = {
        "i-cfm": cfm.ConditionalFlowMatcher,
        "ot-cfm": cfm.ExactOptimalTransportConditionalFlowMatcher,
        "sf2m": cfm.SchrodingerBridgeConditionalFlowMatcher,
    }
    return kinds[method](sigma=sigma)


def _networks(method: Method, dim: int, width: int) -> nn.ModuleList:
    from torchcfm.models.models import MLP

    return nn.ModuleList(
        [MLP(dim=dim, w=width, time_varying=True) for _ in range(2 if method == "sf2m" else 1)]
    )


def _points(matcher: Any, x0: Tensor, x1: Tensor, t0: float = 0.0, t1: float = 1.0) -> Points:
    t, x, u, noise = matcher.sample_location_and_conditional_flow(x0, x1, return_noise=True)
    weight = 2 * matcher.compute_sigma_t(t) / (matcher.sigma**2 + 1e-8) * torch.ones_like(t)
    return Points(
        torch.cat([x, (t0 + (t1 - t0) * t)[:, None]], dim=1), u / (t1 - t0), weight[:, None], noise
    )


def _loss(networks: nn.ModuleList, points: Points) -> Tensor:
    velocity, *score = networks
    loss = (velocity(points.inside) - points.velocity).square().mean()
    return loss + sum(
        (points.weight * s(points.inside) + points.noise).square().mean() for s in score
    )


def _step(networks: nn.ModuleList, optimizer: torch.optim.Optimizer, points: Points) -> None:
    loss = _loss(networks, points)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _peer(networks: nn.ModuleList, sigma: float, seconds: float, steps: int) -> Peer:
    velocity, *score = copy.deepcopy(networks).eval()
    return Peer(velocity, score[0] if score else None, sigma, seconds, steps)


def _split(x: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Nine tenths of the cells, and at least one for validation."""
    x = torch.from_numpy(np.asarray(x)).float()
    order = torch.randperm(len(x), generator=generator)
    n_aside = max(1, len(x) // 10)
    return x[order[n_aside:]], x[order[:n_aside]]
