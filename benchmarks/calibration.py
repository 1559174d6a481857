"""Calibration of fates: systems with known fates and simulated barcodes, and LARRY.

    python benchmarks/calibration.py                # simulated clones, 100 data sets of each size
    python benchmarks/calibration.py --larry        # blood progenitors beside their clones

Rows are appended to --out, and what is there is not computed again.

- simulated: a fit with a score to fresh snapshots of systems of `cellflow.synthetic`, and fates of
  new early cells by the flow, which is too certain, and by diffusions. A clone has one early cell
  and three late ones, whose labels are drawn from the known probabilities of the early cell.
  `founder`: two early cells and three late ones descend from a cell of an earlier time, so that
  relatives have parted; the outcome is that of the clone. A data set is `clones` of these. Errors
  are of each cell's most probable fate (ECE): `before` and `after` of all other clones, which is
  the truth; `found` and `kept out` are the estimates of the data set, before and by clones kept out
  after calibration, and `covered` shares of data sets whose interval of 90 % has the truth.
  `off` is the mean difference from the known probabilities, before and after; `in set` the share
  of late cells of other clones in the sets of level .9, and `size` that of the sets.
- larry: the data, labels and fits of `larry_fates.py`. Fits see no clones; all of these judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import records
from cellflow import recipes, synthetic
from cellflow.analysis.calibration import (
    Judged,
    Reliability,
    crossed,
    fate_sets,
    fitted,
    is_better,
    threshold,
)
from cellflow.analysis.fates import FateCells, Targets, fates
from cellflow.analysis.trajectories import Noise
from cellflow.core._typing import FloatArray
from cellflow.model.fitting import fit
from cellflow.model.flow import Flow

#: Cells of a snapshot of the fit; clones to draw from; late cells of a clone.
N_CELLS = 1000
N_POOL = 4000
N_LATE = 3
#: Late cells by which probabilities of a diffusion are known.
N_COPIES = 200
N_REP = 20
#: Clones of a data set.
N_CLONES = (30, 100)
N_BINS = 10
LEVEL = 0.9


@dataclass(frozen=True, eq=False)
class Pool:
    """Clones to draw from.

    Parameters
    ----------
    x
        Early cells of each clone, shape `(m, cells, d)`.
    time
        Of these cells.
    truth
        Probabilities of the labels of a late cell, shape `(m, k)`.
    """

    x: FloatArray
    time: float
    truth: FloatArray


def tree(rng: np.random.Generator) -> Pool:
    """Cells of a tree between its forks, with the known probabilities of the leaves."""
    system = synthetic.BranchingTree()
    x = system.sample(N_POOL, [1.25], rng).populations[0].x
    return Pool(x[:, None], 1.25, system.fates(1.25, x))


def wells(rng: np.random.Generator, founder: float | None = None) -> Pool:
    """Cells of two wells, with probabilities by many diffusions, from them or from a founder."""
    system = synthetic.TwoWell()
    start = 0.5 if founder is None else founder
    x = system.sample(N_POOL, [start], rng).populations[0].x
    late = diffused(np.repeat(x, N_COPIES, axis=0), system.times[-1] - start, rng)
    upper = (late[:, 1] > 0).reshape(N_POOL, N_COPIES).mean(axis=1)
    early = x[:, None]
    if founder is not None:
        early = diffused(np.repeat(x, 2, axis=0), 0.5 - start, rng).reshape(N_POOL, 2, 2)
    return Pool(early, 0.5, np.stack([1 - upper, upper], axis=1))


def diffused(x: FloatArray, duration: float, rng: np.random.Generator) -> FloatArray:
    """Follow cells of the two wells by Euler-Maruyama."""
    system = synthetic.TwoWell()
    n = int(np.ceil(duration / 0.005))
    for _ in range(n):
        noise = system.sigma * np.sqrt(duration / n) * rng.standard_normal(x.shape)
        x = x + system.drift(0.0, x) * duration / n + noise
    return x


POOLS = {
    "tree": (synthetic.BranchingTree(), tree),
    "two wells": (synthetic.TwoWell(), wells),
    "two wells, founder": (synthetic.TwoWell(), lambda rng: wells(rng, founder=0.25)),
}


def labels(system: synthetic.System, x: FloatArray) -> np.ndarray:
    """Labels of cells of the end."""
    if isinstance(system, synthetic.BranchingTree):
        return np.asarray(system.fates(system.times[-1], x).argmax(axis=1))
    return np.asarray(x[:, 1] > 0, dtype=np.int64)


def predicted(flow: Flow, system: synthetic.System, pool: Pool, kind: str) -> tuple[Judged, float]:
    """Fates of the early cells of all clones by the fit, with the truth as outcomes."""
    end = system.times[-1]
    late = system.sample(N_CELLS, [end], np.random.default_rng(2)).populations[0].x
    n_early = pool.x.shape[0] * pool.x.shape[1]
    x = np.concatenate([pool.x.reshape(n_early, -1), late])
    at = np.repeat([pool.time, end], [n_early, N_CELLS])
    code = np.concatenate([np.full(n_early, -1), labels(system, late)])
    cells = FateCells(x, at, at, np.ones(len(x)), np.arange(len(x)))
    names = tuple(map(str, range(pool.truth.shape[1])))
    noise = Noise(N_REP, 0, cells.keys) if kind == "diffusion" else None
    found = fates(flow, cells, Targets(names, code, end, code >= 0), noise=noise)
    p = found.probability[:n_early]
    clone = np.repeat(np.arange(len(pool.x)), pool.x.shape[1])
    kept = np.flatnonzero(p[:, -1] < 1.0)
    votes = found.neighbors[end] * (N_REP if kind == "diffusion" else 1)
    fate = p[kept, :-1] / p[kept, :-1].sum(axis=1, keepdims=True)
    every = Judged(fate, pool.truth[clone[kept]], 1 - p[kept, -1], clone[kept], votes, kept)
    return every, float(p[:, -1].mean())


def drawn(every: Judged, n_clones: int, rng: np.random.Generator) -> tuple[Judged, Judged]:
    """A data set of some clones with a few late cells, and the other clones with the truth."""
    chosen = np.zeros(every.n_units, dtype=bool)
    present = np.unique(every.unit)
    chosen[rng.choice(present, n_clones, replace=False)] = True
    data = every.part(chosen)
    first = np.unique(data.unit, return_index=True)[1]
    outcome = rng.multinomial(N_LATE, data.outcome[first]) / N_LATE
    data = Judged(data.predicted, outcome[data.unit], data.weight, data.unit, data.votes, data.rows)
    return data, every.part(~chosen)


def one(every: Judged, n_clones: int, seed: int) -> dict[str, float]:
    """Calibration by one data set, beside the truth."""
    rng = np.random.default_rng(seed)
    data, rest = drawn(every, n_clones, rng)
    offsets = is_better(data, seed)
    scaling = fitted(data, offsets=offsets).scaling
    outside = crossed(data, 10, seed, offsets=None)
    before = Reliability.of(rest, rest.predicted, N_BINS).ece[0]
    q = scaling(rest.log_predicted)
    after = Reliability.of(rest, q, N_BINS).ece[0]
    found = Reliability.of(data, data.predicted, N_BINS)
    kept_out = Reliability.of(data, outside.probability, N_BINS)
    low, high = found.ece_interval(LEVEL, 300, rng)
    low_after, high_after = kept_out.ece_interval(LEVEL, 300, rng)
    sets = fate_sets(q, threshold(data, outside.probability, 1 - LEVEL))
    total = rest.weight.sum()
    return {
        "T": scaling.temperature,
        "offsets": float(offsets),
        "before": before,
        "found": found.ece[0],
        "covered": float(low[0] <= before <= high[0]),
        "after": after,
        "kept out": kept_out.ece[0],
        "chance": kept_out.chance[0],
        "covered after": float(low_after[0] <= after <= high_after[0]),
        "off": float(np.abs(rest.predicted - rest.outcome).mean()),
        "off after": float(np.abs(q - rest.outcome).mean()),
        "in set": float(rest.weight @ (sets * rest.outcome).sum(axis=1) / total),
        "size": float(rest.weight @ sets.sum(axis=1) / total),
    }


def simulated(n_sets: int, kept: records.Records) -> Iterator[dict[str, object]]:
    """Means over data sets, one row for each system, kind of fates and number of clones."""
    fits: dict[type, Flow] = {}
    for name, (system, pool_of) in POOLS.items():
        asked = [(name, kind, n) for kind in ("flow", "diffusion") for n in N_CLONES]
        if all(row in kept for row in asked):
            continue
        if type(system) not in fits:
            snapshots = system.sample(N_CELLS, system.times, np.random.default_rng(0))
            fits[type(system)] = fit(snapshots, recipes.sf2m(), random_state=0, progress=False)
        pool = pool_of(np.random.default_rng(1))
        for kind in ("flow", "diffusion"):
            every, undecided = predicted(fits[type(system)], system, pool, kind)
            for n_clones in N_CLONES:
                rows = [one(every, n_clones, seed) for seed in range(n_sets)]
                mean = pd.DataFrame(rows).mean().to_dict()
                label = {"system": name, "fates": kind, "clones": n_clones}
                yield label | {"undecided": undecided} | mean


def larry() -> None:
    """Errors and reliability before and after calibration by all clones."""
    import cellflow as cf
    import larry_fates

    adata = larry_fates.read()
    if adata is None:
        return
    for method, arguments in (
        ("curved-cfm", {}),
        ("sf2m", {}),
        ("sf2m", {"stochastic": True, "n_rep": 50}),
    ):
        cf.tl.flow(adata, "day", method=method, progress=False, overwrite=True)
        cf.tl.fates(adata, "type", progress=False, overwrite=True, **arguments)
        cf.tl.calibrate(adata, lineage_key="X_clone")
        table = cf.get.calibration(adata)
        about = table.attrs
        print(f"\n{method} {arguments or ''}\n{about['words']}")
        words = (
            f"method: {about['method']}; log score {about['log_score_before']:.3f} before,"
            f" {about['log_score_after']:.3f} after (gain {about['log_score_gain']:.3f}, standard"
            f" error {about['log_score_gain_sd']:.3f}); sets of {about['set_size']:.1f} fates"
        )
        print(words)
        shown = table[table["fate"] == "most probable"].drop(columns="fate")
        print(shown.to_string(index=False, float_format="{:.3f}".format))


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--larry", action="store_true")
    parser.add_argument("--out", type=Path, help="file of rows")
    parser.add_argument("--sets", type=int, default=100, help="data sets of each size")
    arguments = parser.parse_args()
    if arguments.larry:
        larry()
        return
    kept = records.Records(arguments.out, ("system", "fates", "clones"))
    for row in simulated(arguments.sets, kept):
        kept.add(row)
    table = kept.frame(("system", "fates", "clones"))
    print(table.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
