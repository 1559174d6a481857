"""Paths that a network bends, and steps along a score: what `beyond.py` tries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from cellflow.core.population import Pairs, Population, Snapshots
from cellflow.evaluation.baselines import around
from cellflow.paths import Linear
from cellflow.paths._bent import bent
from cellflow.paths.base import Path as CellPath
from cellflow.paths.base import Wrapper
from cellflow.paths.chain import Chain, Pool

#: Cells of the pool that a metric is made of, pairs of a batch, steps of Adam, and units of a
#: layer.
N_LANDMARKS = 512
BATCH = 128
STEPS = 150
WIDTH = 48
LEARNING_RATE = 5e-3
#: Of networks, their batches and their landmarks.
SEED = 0


def _network(n_inputs: int, n_outputs: int) -> nn.Sequential:
    """A small network whose output is zero at first."""
    layers = nn.Sequential(
        nn.Linear(n_inputs, WIDTH),
        nn.SiLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.SiLU(),
        nn.Linear(WIDTH, n_outputs),
    )
    nn.init.zeros_(layers[-1].weight)
    nn.init.zeros_(layers[-1].bias)
    return layers


def _rows(pairs: Pairs, rows: Tensor) -> Pairs:
    return Pairs(
        pairs.x0[rows], pairs.x1[rows], pairs.t0[rows], pairs.t1[rows], row=pairs.row[rows]
    )


def _trained(
    network: nn.Module, loss: Callable[[Tensor, torch.Generator], Tensor], n: int, seed: int
) -> None:
    """Adam with a cosine schedule on batches of rows."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss(torch.randint(n, (BATCH,), generator=generator), generator).backward()
        optimiser.step()
        schedule.step()


@dataclass(frozen=True)
class MetricBent(Wrapper):
    r"""A path plus :math:`s (1 - s)\, \varphi(x_0, x_1, s)` of least energy under the LAND metric.

    .. math::  E = \mathbb E \sum_k \dot x_k^2 / (h_k(x) + \epsilon), \qquad
               h_k(x) = \sum_i w_i (x_{ik} - x_k)^2 e^{-|x_i - x|^2 / 2 \sigma^2}

    with `h` in units of its median over the cells.

    Parameters
    ----------
    path
        What is bent.
    width
        :math:`\sigma`, in units of the median distance from a cell to the last of its 50 nearest.
    epsilon
        In units of the median of `h`: how much more a step costs where there are no cells.
    """

    width: float = 1.0
    epsilon: float = 0.03

    def prepared(self, chains: Sequence[Chain]) -> CellPath:
        """Train the network on the pairs of every chain."""
        inner = self.inner.prepared(chains)
        return bent(inner, torch.cat([self._bend(inner, chain) for chain in chains]))

    def _bend(self, path: CellPath, chain: Chain) -> Tensor:
        torch.manual_seed(SEED)
        pool = chain.pool
        pairs = chain.pairs
        some = np.random.default_rng(SEED).permutation(len(pool))[:N_LANDMARKS]
        cells = torch.from_numpy(pool.x[some]).float()
        weight = torch.from_numpy(pool.weight[some] / pool.weight[some].sum()).float()
        sigma = self.width * float(np.median(pool.near(50).radius))

        def spread(x: Tensor) -> Tensor:
            kernel = weight * torch.exp(-0.5 * torch.cdist(x, cells).square() / sigma**2)
            return (
                kernel @ cells.square()
                - 2 * x * (kernel @ cells)
                + x.square() * kernel.sum(dim=1, keepdim=True)
            )

        unit = spread(cells).median(dim=0).values
        network = _network(2 * cells.shape[1] + 1, cells.shape[1])

        def bend(some: Pairs, s: Tensor) -> Tensor:
            shift = network(torch.cat([some.x0.float(), some.x1.float(), s], dim=1))
            return s * (1 - s) * shift

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            some = _rows(pairs, rows)
            step = 0.02
            s = step + (1 - 2 * step) * torch.rand((len(rows), 1), generator=generator)
            times = [
                (s + k * step).double()[:, 0] * (some.t1 - some.t0) + some.t0 for k in (-1, 0, 1)
            ]
            before, here, after = (
                path.mean(t, some).float() + bend(some, s + k * step)
                for k, t in zip((-1, 0, 1), times, strict=True)
            )
            speed = (after - before) / (2 * step)
            return (speed.square() / (spread(here) / unit + self.epsilon)).sum(dim=1).mean()

        _trained(network, loss, len(pairs.x0), SEED)
        with torch.no_grad():
            return bend(pairs, torch.full((len(pairs.x0), 1), 0.5)).double()


@dataclass(frozen=True)
class MarginalsMet(CellPath):
    r"""Straight paths plus :math:`s (1 - s) [\alpha + (2 s - 1) \beta]`, fitted to neighbours.

    :math:`\alpha` and :math:`\beta` are functions of both ends, small networks. The curves are
    continued beyond their interval; the loss is their energy distance to the populations a share
    `reach` of the way to the snapshots before and after (on straight paths of the neighbouring
    plans; 1 means the snapshots themselves), plus `penalty` times the mean square of both.

    Parameters
    ----------
    penalty
        Price of the bend.
    reach
        Share of the neighbouring interval that curves are continued for, 0 to 1.
    smoothing
        Width of the regression path.
    """

    penalty: float = 0.1
    reach: float = 0.5
    smoothing: float = 0.1

    @property
    def tabled(self) -> bool:
        """True."""
        return True

    def prepared(self, chains: Sequence[Chain]) -> CellPath:
        """Train the network on the pairs of every chain."""
        return bent(Linear(self.smoothing), torch.cat([self._bend(chain) for chain in chains]))

    def _bend(self, chain: Chain) -> Tensor:
        found = []
        times = chain.snapshots.times
        for k, rows in enumerate(chain.rows):
            number = torch.arange(rows.start, rows.stop)
            pairs = _rows(chain.pairs, number)
            h = times[k + 1] - times[k]
            targets = []
            if k > 0:
                here = (k - 1, 1 - self.reach)
                targets.append(
                    (-self.reach * (times[k] - times[k - 1]) / h, self._between(chain, *here))
                )
            if k + 2 < len(times):
                here = (k + 1, self.reach)
                targets.append(
                    (
                        1 + self.reach * (times[k + 2] - times[k + 1]) / h,
                        self._between(chain, *here),
                    )
                )
            found.append(
                self._fitted(pairs, targets, SEED) if targets else torch.zeros(pairs.x0.shape)
            )
        return torch.cat([f.double() for f in found])

    @staticmethod
    def _between(chain: Chain, interval: int, s: float) -> Tensor:
        """The population on the straight paths of another interval."""
        rows = chain.rows[interval]
        return ((1 - s) * chain.pairs.x0[rows] + s * chain.pairs.x1[rows]).float()

    def _fitted(self, pairs: Pairs, targets: list[tuple[float, Tensor]], seed: int) -> Tensor:
        torch.manual_seed(seed)
        x0 = pairs.x0.float()
        x1 = pairs.x1.float()
        d = x0.shape[1]
        network = _network(2 * d, 2 * d)

        def bend(both: Tensor, s: float) -> Tensor:
            return s * (1 - s) * (both[:, :d] + (2 * s - 1) * both[:, d:])

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            a = x0[rows]
            b = x1[rows]
            both = network(torch.cat([a, b], dim=1))
            total = self.penalty * both.square().sum(dim=1).mean()
            for s, cloud in targets:
                y = cloud[torch.randint(len(cloud), (BATCH,), generator=generator)]
                x = a + s * (b - a) + bend(both, s)
                total = total + 2 * torch.cdist(x, y).mean() - torch.pdist(x).mean()
            return total

        _trained(network, loss, len(x0), seed)
        with torch.no_grad():
            both = network(torch.cat([x0, x1], dim=1))
            return bend(both, 0.5)


#: Neighbours of the mean shift, from coarse to fine.
ANNEALED = (100, 50, 25)


def along_score(
    cloud: Population, rest: Snapshots, time: float, *, strength: float, kind: str
) -> Population:
    """Move a predicted cloud towards where the mixture of the neighbouring snapshots is dense.

    Parameters
    ----------
    cloud
        Prediction.
    rest, time
        What is visible, and when the prediction is for.
    strength
        Sum of the steps, in mean shifts.
    kind
        `"ratio"`: the cloud's own mean shift is subtracted, which is a step along the score of the
        density ratio; `"centred"`: the same with the cloud's mean kept; `"rescaled"`: the mean
        shift, then the mean and the total variance of before.
    """
    a, b = around(rest, time)
    s = (time - a.time) / (b.time - a.time)
    both = Pool(
        np.concatenate([a.x, b.x]),
        np.concatenate([(1 - s) * a.weight, s * b.weight]),
        np.zeros(len(a) + len(b)),
    )
    x = cloud.x.copy()
    w = cloud.weight
    centre = w @ x
    spread = w @ (x - w @ x) ** 2
    for k in ANNEALED:
        k = int(np.clip(k, 5, max(5, len(both.x) // 8)))
        step = both.near(k, x).shift
        if kind != "rescaled":
            step = step - Pool(x, w, np.zeros(len(x))).near(k, x).shift
        x = x + strength / len(ANNEALED) * step
    if kind != "ratio":
        x = x - w @ x + centre
    if kind == "rescaled":
        x = centre + (x - centre) * np.sqrt(spread.sum() / (w @ (x - centre) ** 2).sum())
    return replace(cloud, x=x)
