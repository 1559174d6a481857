"""Dynamic optimal transport between densities in the plane, beside torchcfm in the same run.

    python benchmarks/planar.py [--seeds 42 43 44] [--cells 10000] [--methods cellflow torchcfm]

W2 between 10,000 test points carried by the flow and 10,000 fresh points of the target, exact; the
same between two fresh samples of the target is the floor. The normalised path energy |E int |v|^2
dt - W2^2| / W2^2 has the W2 between the two test samples in it, which is what an optimal flow
spends. Published best, as quoted (W2 / energy): N to 8 Gaussians .275 / .016, 8 Gaussians to moons
.601 / .015, N to moons .124 / .053, N to s-curve .128 / .027.

Ours is fitted to fixed training samples of `--cells` points, with one whole-population plan;
torchcfm's OT-CFM gets fresh points in every batch, in its own configuration (batch 256, three
layers of 64, 20,000 steps at rate 1e-3).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import records
from cellflow import Snapshots, fit, recipes
from cellflow.metrics import wasserstein
from cellflow.training import Training

TEST = 10_000
Sampler = Callable[[int, np.random.Generator], np.ndarray]


def normal(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(n, 2))


def eight(n: int, rng: np.random.Generator) -> np.ndarray:
    angle = 2 * np.pi * rng.integers(8, size=n) / 8
    return 5 * np.column_stack([np.cos(angle), np.sin(angle)]) + np.sqrt(0.1) * rng.normal(
        size=(n, 2)
    )


def moons(n: int, rng: np.random.Generator) -> np.ndarray:
    from sklearn.datasets import make_moons

    x = make_moons(n, noise=0.2, random_state=int(rng.integers(2**31)))[0]
    return 3 * x[rng.permutation(n)] - 1


def s_curve(n: int, rng: np.random.Generator) -> np.ndarray:
    from sklearn.datasets import make_s_curve

    x = make_s_curve(n, noise=0.05, random_state=int(rng.integers(2**31)))[0]
    return 1.5 * x[rng.permutation(n)][:, [0, 2]]


TASKS: dict[str, tuple[Sampler, Sampler]] = {
    "N->8gaussians": (normal, eight),
    "8gaussians->moons": (eight, moons),
    "N->moons": (normal, moons),
    "N->scurve": (normal, s_curve),
}


def ours(source: Sampler, target: Sampler, seed: int, cells: int) -> tuple[Callable, float]:
    rng = np.random.default_rng([seed, 1])
    x = np.concatenate([source(cells, rng), target(cells, rng)])
    start = time.perf_counter()
    recipe = recipes.ot_cfm(smoothing=0.02, training=Training(steps=4000))
    flow = fit(
        Snapshots.from_arrays(x, np.repeat([0.0, 1.0], cells)),
        recipe,
        random_state=seed,
        progress=False,
    )
    seconds = time.perf_counter() - start

    def carry(x: np.ndarray) -> tuple[np.ndarray, float]:
        times = np.linspace(0, 1, 51)
        way = flow.simulate(x, 0.0, times, step=0.02).x
        speed = [
            np.square(flow.velocity(x, t)).sum(axis=1).mean()
            for x, t in zip(way, times, strict=True)
        ]
        return way[-1], float(np.trapezoid(speed, times))

    return carry, seconds


def theirs(
    source: Sampler,
    target: Sampler,
    seed: int,
    cells: int,  # noqa: ARG001 (one signature)
) -> tuple[Callable, float]:
    import torch

    import peer_training

    def fresh(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        return torch.from_numpy(source(n, rng)).float(), torch.from_numpy(target(n, rng)).float()

    peer = peer_training.train(
        "ot-cfm", fresh, 2, sigma=0.1, steps=20_000, batch_size=256, lr=1e-3, width=64, seed=seed
    )
    return peer.flow, peer.seconds


METHODS = {"cellflow": ours, "torchcfm": theirs}


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    print("task              seed method        W2  floor  energy  fit s")
    for name in options.tasks:
        source, target = TASKS[name]
        for seed in options.seeds:
            rng = np.random.default_rng([seed, 2])
            x0 = source(TEST, rng)
            x1 = target(TEST, rng)
            other = target(TEST, rng)
            square = wasserstein(x0, x1, p=2) ** 2
            floor = wasserstein(other, x1, p=2)
            for method in options.methods:
                carry, seconds = METHODS[method](source, target, seed, options.cells)
                end, energy = carry(x0)
                w2 = wasserstein(end, x1, p=2)
                excess = abs(energy - square) / square
                print(
                    f"{name:<17} {seed:>4} {method:<9} {w2:6.3f} {floor:6.3f} {excess:7.4f}"
                    f" {seconds:6.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
