"""torchcfm in its own published configuration, for tables that show it beside ours."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cellflow.core.frame import Frame, Scale
from cellflow.core.population import Population, Snapshots
from peer_training import (
    Method,
    Peer,
    Points,
    make_matcher,
    make_networks,
    peer_of,
    regression_loss,
    regression_points,
    seeded,
    train_step,
)

#: Steps of an epoch of embryoid bodies in the authors' runner: .8 of the 2,381 cells of the
#: smallest snapshot, 128 at a time.
_LEAST_EPOCH = 14


@dataclass(frozen=True)
class Torchcfm:
    """torchcfm on snapshots, in its authors' configuration for embryoid bodies: a predictor.

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
        """Fit without a snapshot; predict it from the snapshot before (P1) and the first (P2)."""
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
        """Train; keep networks at some steps, even after training should have stopped."""
        frame = Frame.fitted(rest, self.scale)
        unit = float(np.median(np.diff(rest.times)))
        times = (rest.times - rest.times[0]) / unit
        start = clock.perf_counter()
        generator = torch.Generator().manual_seed(seed)
        with seeded(seed):
            parts = [_split(frame.to_model(p.x), generator) for p in rest.populations]
            matcher = make_matcher(self.method, self.sigma)
            networks = make_networks(self.method, rest.n_dims, self.width)

            def points(part: int) -> Points:
                return self._points(matcher, [x[part] for x in parts], times, generator)

            aside = points(1)
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
                train_step(networks, optimizer, points(0))
                seconds = clock.perf_counter() - start
                if not done and (step % epoch == 0 or step == limit):
                    with torch.no_grad():
                        loss = float(regression_loss(networks, aside))
                    if loss < best_loss:
                        best = peer_of(networks, self.sigma, seconds, step)
                        best_loss = loss
                    done = step >= limit or step - best.steps >= self.patience * epoch
                    stop = step
                    stop_seconds = seconds
                if step in checkpoints:
                    kept[step] = peer_of(networks, self.sigma, seconds, step)
                if done and step >= max(checkpoints, default=0):
                    break
        return Course(replace(best, seconds=stop_seconds), stop, kept)

    def _points(
        self,
        matcher: object,
        clouds: Sequence[Tensor],
        times: np.ndarray,
        generator: torch.Generator,
    ) -> Points:
        """Regression points of a batch: cells of each snapshot, over all intervals."""
        size = (self.batch_size,)
        drawn = [x[torch.randint(len(x), size, generator=generator)] for x in clouds]
        found = [
            regression_points(matcher, a, b, *ends)
            for a, b, *ends in zip(drawn, drawn[1:], times, times[1:], strict=False)
        ]
        return Points(*(torch.cat(column) for column in zip(*found, strict=True)))


@dataclass(frozen=True)
class Course:
    """A training: networks of the best validation loss, the step of its stop, and checkpoints."""

    stopped: Peer
    stop: int
    checkpoints: Mapping[int, Peer]


def _split(x: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Nine tenths of the cells, and at least one for validation."""
    x = torch.from_numpy(np.asarray(x)).float()
    order = torch.randperm(len(x), generator=generator)
    n_aside = max(1, len(x) // 10)
    return x[order[n_aside:]], x[order[:n_aside]]
