"""Genes: how fast the calls are, and what they find where the literature knows the genes.

    python benchmarks/genes.py --part speed
    python benchmarks/genes.py --part worm myoblasts larry

- speed: 10,000 simulated cells of 2,000 genes at five times, 50 principal components, a tree with
  four ends; seconds and peak memory of the process for drivers of all genes, a screen of 1,000
  genes, and a Jacobian of 50 by 50 genes. `--members 5` asks an ensemble. Run it on an idle
  machine, one thread.
- worm: neurons ASG and AWA of the worm with their mothers (`gene_data.LINEAGE`), an ensemble of
  ten members. Whether velocities of late genes are positive before these rise; where known genes
  are among the drivers of a branch; trends of a fit without one bin beside the means of that bin.
- myoblasts, larry: the ten genes of first rank, with references, and which of them an association
  with the label of the end alone finds.

Real data other than the shipped myoblasts are skipped where they are absent.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import gene_found
import records

N_CELLS = 10_000
N_GENES = 2_000
N_SCREENED = 1_000
N_REGULATORS = 50
N_DIMS = 50
#: Standard deviation of the expression of a gene about what the state gives, in logs.
NOISE = 0.5
#: Bars of the project, in seconds, and of memory in GB.
BARS = {"drivers": 30.0, "screen": 120.0, "jacobian": 30.0}
MOST_MEMORY = 4.0


def simulated(seed: int = 0) -> Any:
    """Cells of a tree in ten dimensions, expressed by random genes, with principal components."""
    import anndata as ad
    import scanpy as sc

    import cellflow as cf

    times = [0.0, 0.75, 1.5, 2.25, 3.0]
    made = cf.datasets.simulate(
        "branching_tree", n_obs=N_CELLS // len(times), times=times, random_state=seed
    )
    rng = np.random.default_rng(seed)
    state = made.obsm["X_state"]
    loadings = rng.standard_normal((state.shape[1], N_GENES)) / np.sqrt(state.shape[1])
    x = 3.0 + state @ loadings + NOISE * rng.standard_normal((len(state), N_GENES))
    names = [f"gene {k}" for k in range(N_GENES)]
    adata = ad.AnnData(x.clip(min=0).astype(np.float32), obs=made.obs[["time"]].copy())
    adata.var_names = names
    leaf = made.obsm["fates_true"].argmax(axis=1)
    last = adata.obs["time"] == times[-1]
    adata.obs["end"] = pd.Series([f"end {k}" for k in leaf], index=adata.obs_names).where(last)
    adata.obs["end"] = adata.obs["end"].astype("category")
    sc.pp.pca(adata, n_comps=N_DIMS, random_state=seed)
    return adata


def memory() -> float:
    """Peak memory of the process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def timed(name: str, call: Callable[[], object]) -> dict[str, Any]:
    """Seconds of a call, and the peak of memory until its end."""
    begun = time.perf_counter()
    used = time.process_time()
    call()
    return {
        "call": name,
        "s": round(time.perf_counter() - begun, 1),
        "CPU s": round(time.process_time() - used, 1),
        "peak GB": round(memory(), 2),
        "bar s": BARS.get(name),
    }


def speed(members: int, seed: int) -> None:
    """Print how long the calls take on 10,000 cells."""
    from dataclasses import replace

    import cellflow as cf

    adata = simulated(seed)
    recipe = cf.recipes.curved_cfm()
    recipe = replace(recipe, training=replace(recipe.training, steps=300))
    how = {"method": recipe, "n_members": members, "random_state": seed, "progress": False}
    genes = list(adata.var_names)
    few = genes[:N_REGULATORS]
    end = "end 0"
    calls: dict[str, Callable[[], object]] = {
        "fit": lambda: cf.tl.flow(adata, "time", **how),
        "fates": lambda: cf.tl.fates(adata, "end", progress=False),
        "drivers": lambda: cf.tl.drivers(adata, end),
        "screen": lambda: cf.tl.screen(adata, genes[:N_SCREENED], fate=end, progress=False),
        "jacobian": lambda: cf.tl.jacobian(adata, few, few),
    }
    rows = [timed(name, call) for name, call in calls.items()]
    print(f"\n{adata.n_obs} cells, {adata.n_vars} genes, {N_DIMS} components, {members} members\n")
    records.markdown(pd.DataFrame(rows).set_index("call").astype(object))
    missed = [row["call"] for row in rows if row["bar s"] and row["s"] > row["bar s"]]
    if memory() > MOST_MEMORY:
        missed.append(f"memory {MOST_MEMORY:g} GB")
    print(f"\nBars missed: {', '.join(missed) if missed else 'none'}")


def main() -> None:
    parser = records.parser(__doc__)
    parts = ["speed", *gene_found.PARTS]
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    parser.add_argument("--members", type=int, default=1, help="members of the fit of `speed`")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for part in arguments.part:
        if part == "speed":
            speed(arguments.members, arguments.seed)
        else:
            gene_found.PARTS[part](arguments.seed)


if __name__ == "__main__":
    main()
