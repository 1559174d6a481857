"""Fates on systems with known fates, and the time they take.

    python benchmarks/fates.py                   # probabilities beside the truth
    python benchmarks/fates.py --speed           # 100,000 cells, 20 diffusions each
    python benchmarks/fates.py --steps           # probabilities by the steps of the diffusion

- truth: a fit with a score to fresh snapshots of systems of `cellflow.synthetic`; cells of earlier
  snapshots are moved to the last one. `error` is the mean absolute difference of the probabilities
  (undecided mass counts as wrong), `ece` the expected calibration error of the probabilities of all
  fates over ten bins, `undecided` the mean undecided mass.
- speed: a tree in ten dimensions at four times, 25,000 cells each, fitted with a score by few
  steps; the networks have their usual size. Wall time and the largest memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from cellflow import recipes, synthetic
from cellflow.analysis.fates import FateCells, Fates, Targets, fates, paths
from cellflow.analysis.trajectories import Noise
from cellflow.core._typing import FloatArray, IntArray
from cellflow.model.fitting import fit
from cellflow.model.flow import Flow
from cellflow.training import Training

#: Cells of a snapshot.
N_CELLS = 1000
#: Systems, and the label of a cell of the end by its position.
SYSTEMS: dict[str, tuple[synthetic.System, Callable[[FloatArray], IntArray]]] = {
    "Bifurcation": (synthetic.Bifurcation(), lambda x: (x[:, 1] > 0).astype(np.int64)),
    "TwoWell": (synthetic.TwoWell(), lambda x: (x[:, 1] > 0).astype(np.int64)),
    "BranchingTree": (
        synthetic.BranchingTree(),
        lambda x: synthetic.BranchingTree().fates(3.0, x).argmax(axis=1),
    ),
}


def cells_of(
    system: synthetic.System, label: Callable[[FloatArray], IntArray], n: int
) -> tuple[FateCells, Targets]:
    """Snapshots as cells, those of the end with labels."""
    snapshots = system.sample(n, system.times, np.random.default_rng(0))
    x = np.concatenate([p.x for p in snapshots.populations])
    at = np.repeat(snapshots.times, n)
    code = np.where(at == at.max(), label(x), -1)
    names = tuple(f"fate {k}" for k in range(code.max() + 1))
    cells = FateCells(x, at, at, np.ones(len(x)), np.arange(len(x)))
    return cells, Targets(names, code, float(at.max()), code >= 0)


def fitted(system: synthetic.System, n: int, training: Training | None = None) -> Flow:
    """A fit with a score."""
    snapshots = system.sample(n, system.times, np.random.default_rng(0))
    how = {} if training is None else {"training": training}
    return fit(snapshots, recipes.sf2m(**how), random_state=0)


def beside(found: Fates, truth: FloatArray, rows: IntArray) -> dict[str, float]:
    """Probabilities of some cells beside the true ones."""
    p = found.probability[rows]
    known = truth[rows]
    bins = np.minimum((p[:, :-1].ravel() * 10).astype(int), 9)
    gap = (p[:, :-1] - known).ravel()
    ece = sum(abs(gap[bins == b].sum()) for b in np.unique(bins)) / len(gap)
    return {
        "error": float(np.abs(p[:, :-1] - known).mean()),
        "ece": ece,
        "undecided": float(p[:, -1].mean()),
    }


def truth(n_rep: int = 20) -> pd.DataFrame:
    """Probabilities of the flow and of diffusions beside the truth."""
    rows = []
    for name, (system, label) in SYSTEMS.items():
        flow = fitted(system, N_CELLS)
        cells, targets = cells_of(system, label, N_CELLS)
        for kind in ("flow", "diffusion"):
            noise = Noise(n_rep, 0, cells.keys) if kind == "diffusion" else None
            found = fates(flow, cells, targets, noise=noise)
            for time_ in system.times[:-1]:
                some = np.flatnonzero(cells.start == time_)
                known = system.fates(time_, cells.x)
                rows.append({"system": name, "kind": kind, "time": time_})
                rows[-1] |= beside(found, known, some)
    return pd.DataFrame(rows)


def steps() -> pd.DataFrame:
    """Mean difference of probabilities from those of 50 steps per interval, 200 paths a cell."""
    rows = []
    for name, (system, label) in SYSTEMS.items():
        flow = fitted(system, N_CELLS)
        cells, targets = cells_of(system, label, 200)
        found = {}
        for n in (4, 8, 25, 50):
            paths._STEPS_PER_UNIT = n  # noqa: SLF001 (no user chooses it)
            found[n] = fates(flow, cells, targets, noise=Noise(200, n, cells.keys)).probability
        early = cells.start < cells.start.max()
        for n in (4, 8, 25):
            gap = (found[n] - found[50])[early]
            rows.append(
                {
                    "system": name,
                    "steps": n,
                    "mean difference": np.abs(gap.mean(axis=0)).max(),
                    "rms difference": (gap**2).mean() ** 0.5,
                }
            )
    return pd.DataFrame(rows)


def speed(n: int, n_rep: int, threads: int) -> dict[str, float]:
    """Seconds and gigabytes of the fates of `4 n` cells."""
    system = synthetic.BranchingTree()
    few = system.sample(500, [0.0, 1.0, 2.0, 3.0], np.random.default_rng(1))
    flow = fit(few, recipes.sf2m(training=Training(steps=300)), random_state=0)
    snapshots = system.sample(n, [0.0, 1.0, 2.0, 3.0], np.random.default_rng(0))
    x = np.concatenate([p.x for p in snapshots.populations])
    at = np.repeat(snapshots.times, n)
    code = np.where(at == 3.0, system.fates(3.0, x).argmax(axis=1), -1)
    cells = FateCells(x, at, at, np.ones(len(x)), np.arange(len(x)))
    targets = Targets(tuple("abcd"), code, 3.0, code >= 0)
    before = time.perf_counter()
    began = time.process_time()
    fates(flow, cells, targets, noise=Noise(n_rep, 0, cells.keys), threads=threads)
    seconds = time.perf_counter() - before
    busy = time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"cells": len(x), "n_rep": n_rep, "seconds": seconds, "CPU": busy, "GB": memory}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--cells", type=int, default=25_000, help="of each of four times")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.speed:
        print(speed(given.cells, 20, given.threads))
    else:
        print((steps() if given.steps else truth()).to_string(float_format="{:.4f}".format))
