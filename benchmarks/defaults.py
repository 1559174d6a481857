"""How the defaults of training and frame were chosen: one change at a time, without EB.

    python benchmarks/defaults.py [--sets guo emt larry dyngen worm myoblasts] [--seeds 0 1] [--only
    training|frame]

Every inner snapshot of every set is left out in turn. The figure is the geometric mean over sets of
the mean ratio of the push's W1 to that of transport without a model on the same plans: below 1 is
better than no model. The validation loss is that of the last fit of each set, averaged.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np

import records
import sets
from cellflow import recipes
from cellflow.analysis.prediction import predict
from cellflow.evaluation.baselines import ot_interpolation
from cellflow.fields import MLP, Builder, Residual
from cellflow.metrics import wasserstein
from cellflow.model.fitting import fit
from cellflow.objectives import velocity_matching

BASE = recipes.ot_cfm()


def trained(**options: object) -> recipes.Recipe:
    return replace(BASE, training=replace(BASE.training, **options))


def with_network(network: Builder) -> recipes.Recipe:
    return BASE.with_head("velocity", recipes.Head(network, velocity_matching))


TRAINING = {
    "default": BASE,
    "steps 500": trained(steps=500),
    "steps 2000": trained(steps=2000),
    "lr 2e-3": trained(lr=2e-3),
    "lr 1e-2": trained(lr=1e-2),
    "one-cycle": trained(schedule="one-cycle"),
    "constant, lr 1e-3": trained(schedule="constant", lr=1e-3),
    "batch 256": trained(batch_size=256),
    "batch 1024": trained(batch_size=1024),
    "no average": trained(ema=0.0),
    "clip 1": trained(clip=1.0),
    "no validation cells": trained(validation=0.0),
    "width 64": with_network(partial(MLP, width=64)),
    "width 256": with_network(partial(MLP, width=256)),
    "depth 2": with_network(partial(MLP, depth=2)),
    "selu": with_network(partial(MLP, activation="selu")),
    "gelu": with_network(partial(MLP, activation="gelu")),
    "3 time frequencies": with_network(partial(MLP, n_frequencies=3)),
    "residual": with_network(Residual),
    "smoothing 0": recipes.ot_cfm(smoothing=0.0),
    "smoothing 0.3": recipes.ot_cfm(smoothing=0.3),
}
#: By part: recipe and scale of each variant.
VARIANTS = {
    "training": {name: (recipe, "joint") for name, recipe in TRAINING.items()},
    "frame": {f"scale {scale}": (BASE, scale) for scale in ("joint", "each", "none")},
}


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument(
        "--sets", nargs="+", default=["guo", "emt", "larry", "dyngen", "worm", "myoblasts"]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", choices=list(VARIANTS))
    arguments = parser.parse_args()
    loaded = {name: sets.load(name) for name in arguments.sets}
    loaded = {name: snapshots for name, snapshots in loaded.items() if snapshots is not None}
    straight = {
        (name, t): distance(
            snapshots, ot_interpolation(snapshots.without(t), t, np.random.default_rng(0)), t
        )
        for name, snapshots in loaded.items()
        for t in snapshots.times[1:-1]
    }
    parts = [arguments.only] if arguments.only else list(VARIANTS)
    variants = {name: made for part in parts for name, made in VARIANTS[part].items()}
    print(
        f"{'':22s}"
        + "".join(f"{name:>11s}" for name in loaded)
        + f"{'geo. mean':>11s}{'val. loss':>11s}{'s per fit':>11s}"
    )
    for label, (recipe, scale) in variants.items():
        means = []
        losses = []
        seconds = []
        for name, snapshots in loaded.items():
            ratios = []
            for t in snapshots.times[1:-1]:
                for seed in arguments.seeds:
                    start = time.perf_counter()
                    flow = fit(snapshots.without(t), recipe, scale=scale, random_state=seed)
                    seconds.append(time.perf_counter() - start)
                    predicted = predict(flow, snapshots.without(t), t, source="earlier")
                    ratios.append(distance(snapshots, predicted, t) / straight[name, t])
            means.append(np.mean(ratios))
            losses.append(flow.history["val_loss"][-1] if "val_loss" in flow.history else np.nan)
        row = [*means, np.exp(np.mean(np.log(means))), np.mean(losses), np.median(seconds)]
        print(f"{label:22s}" + "".join(f"{value:11.3f}" for value in row), flush=True)


def distance(snapshots: sets.Snapshots, predicted: object, t: float) -> float:
    held_out = snapshots.at(t)
    return wasserstein(predicted.x, held_out.x, x_weight=predicted.weight, y_weight=held_out.weight)


if __name__ == "__main__":
    main()
