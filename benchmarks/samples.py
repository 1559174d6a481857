"""Samples as replicates: what joint coupling does with their differences, and what offsets do.

    python benchmarks/samples.py [--parts replicates simulated] [--seeds 0 1]

- replicates: dendritic cells after LPS (Shalek et al., Nature 2014) in `shared/data`, 100 genes,
  10 principal components, with a replicate at 4 h that lies as far from the other sample as a step
  in time. Cosines of velocities with the vector from the mean of one sample to that of the
  replicate: mean over cells, and of the mean velocity.
- simulated: three types, six standard deviations apart, that move in three directions; three
  samples of 100 cells at each of three times, with offsets of a given length and with shares of
  types from a Dirichlet distribution of a given concentration. Root mean square error of the
  displacements by exact transport, smoothed over 15 cells, of a speed of 2: at positions as they
  are, without the differences of means, and without offsets of matched cells (`sample_offsets`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from anndata import AnnData, read_h5ad
from scipy.spatial import cKDTree

import cellflow as cf
import sets
from cellflow.analysis.sample_offsets import SampleOffsets, sample_offsets
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Exact

SHALEK = sets.DATA / "shalek_lps" / "shalek_lps_100genes.h5ad"
N_DIMS = 10
N_CELLS = 100
N_SAMPLES = 3
#: Seeds of the simulated data.
N_SIMULATED = 3


def read_shalek() -> AnnData:
    """Log-normalised counts and their principal components."""
    import scanpy as sc

    adata = read_h5ad(SHALEK)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=N_DIMS)
    return adata


def replicates(seeds: list[int]) -> Iterator[str]:
    """Lines of the table of cosines."""
    adata = read_shalek()
    is_other = (adata.obs["sample"] == "replicate").to_numpy()
    hours = adata.obs["time_h"].to_numpy(dtype=float)
    x = adata.obsm["X_pca"].astype(np.float64)
    across = x[is_other].mean(axis=0) - x[(hours == 4) & ~is_other].mean(axis=0)
    across /= np.linalg.norm(across)
    fits = {
        "main sample only": (~is_other, {}),
        "joint, no offsets": (None, {"sample_key": "sample", "align_samples": False}),
        "joint, offsets": (None, {"sample_key": "sample"}),
    }
    yield "fit | seed | 2 h | 4 h, main | 4 h, replicate | 6 h"
    for name, (rows, arguments) in fits.items():
        for seed in seeds:
            fitted = adata.copy() if rows is None else adata[rows].copy()
            cf.tl.flow(fitted, "time_h", random_state=seed, progress=False, **arguments)
            cf.tl.velocity(fitted)
            yield f"{name} | {seed} | {' | '.join(_cosines(fitted, across))}"
    yield cf.get.samples(fitted).round(2).to_string()


def _cosines(adata: AnnData, across: np.ndarray) -> Iterator[str]:
    velocity = adata.obsm["velocity_pca"]
    for hour, sample in ((2, "main"), (4, "main"), (4, "replicate"), (6, "main")):
        rows = ((adata.obs["time_h"] == hour) & (adata.obs["sample"] == sample)).to_numpy()
        if rows.any():
            v = velocity[rows]
            mean = v.mean(axis=0)
            cells = float(np.mean(v @ across / np.linalg.norm(v, axis=1)))
            yield f"{cells:.2f} ({mean @ across / np.linalg.norm(mean):.2f})"
        else:
            yield "-"


def simulated() -> Iterator[str]:
    """Lines of the table of errors."""
    yield "samples | shares of types | length of offsets | as they are | means | matched cells"
    for same in (True, False):
        for concentration in (np.inf, 30.0, 8.0):
            for length in (0.0, 2.0, 4.0, 8.0):
                errors = [
                    _errors(np.random.default_rng(seed), length, concentration, same=same)
                    for seed in range(N_SIMULATED)
                ]
                shown = " | ".join(f"{e:.2f}" for e in np.mean(errors, axis=0))
                named = "at all times" if same else "new at each time"
                yield f"{named} | {concentration:g} | {length:g} | {shown}"


def _errors(
    rng: np.random.Generator, length: float, concentration: float, *, same: bool
) -> list[float]:
    place = np.zeros((3, N_DIMS))
    place[[1, 2], [0, 1]] = 6.0
    velocity = np.zeros((3, N_DIMS))
    velocity[[0, 1, 2], [3, 4, 3]] = [2.0, 2.0, -2.0]
    made = []
    types = []
    for time in range(3):
        if time == 0 or not same:
            offsets = rng.normal(size=(N_SAMPLES, N_DIMS)) * length / np.sqrt(2 * N_DIMS)
            shares = np.tile([0.4, 0.35, 0.25], (N_SAMPLES, 1))
            if np.isfinite(concentration):
                shares = rng.dirichlet(concentration * shares[0], N_SAMPLES)
        kind = np.concatenate([rng.choice(3, N_CELLS, p=p) for p in shares])
        sample = np.repeat(np.arange(N_SAMPLES), N_CELLS)
        x = place[kind] + velocity[kind] * time + offsets[sample]
        x += rng.normal(size=x.shape)
        made.append(Population(x, float(time), sample=sample + (0 if same else N_SAMPLES * time)))
        types.append(kind)
    snapshots = Snapshots(tuple(made))
    n_samples = 3 * N_SAMPLES
    ways = (None, _of_means(snapshots, n_samples), sample_offsets(snapshots, n_samples))
    moved = [snapshots if way is None else way.removed(snapshots) for way in ways]
    return [_error(s, [velocity[kind] for kind in types]) for s in moved]


def _of_means(snapshots: Snapshots, n_samples: int) -> SampleOffsets:
    """Offsets by differences of means, by least squares of time and sample."""
    rows = []
    means = []
    for population in snapshots.populations:
        here = np.unique(population.sample)
        one = np.eye(n_samples)[here]
        rows.append(one - one.mean(axis=0))
        own = np.stack([population.x[population.sample == s].mean(axis=0) for s in here])
        means.append(own - own.mean(axis=0))
    values = np.linalg.pinv(np.concatenate(rows), rcond=1e-9) @ np.concatenate(means)
    return SampleOffsets(values, np.zeros(n_samples, dtype=bool))


def _error(snapshots: Snapshots, truth: list[np.ndarray]) -> float:
    squares = []
    for (source, target), velocity in zip(snapshots.intervals, truth, strict=False):
        step = Exact()(source, target).barycentre(target.x) - source.x
        near = cKDTree(source.x).query(source.x, 15)[1]
        squares.append(((step[near].mean(axis=1) - velocity) ** 2).sum(axis=1).mean())
    return float(np.sqrt(np.mean(squares)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("replicates", "simulated")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    options = parser.parse_args()
    if "replicates" in options.parts and not SHALEK.exists():
        print(f"replicates are skipped: {SHALEK} is missing")
    elif "replicates" in options.parts:
        for line in replicates(options.seeds):
            print(line, flush=True)
    if "simulated" in options.parts:
        for line in simulated():
            print(line, flush=True)


if __name__ == "__main__":
    main()
