"""The benchmark sets as snapshots: read from a folder of real data that is not part of the repository.

Each loader says which representation it takes; `python benchmarks/sets.py` prints all of them with
their sizes. Every representation was made from all cells, held-out ones included, as in the
literature's tables. Sets that are absent are skipped by the scripts, with a line that says so.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core.population import Population, Snapshots

if TYPE_CHECKING:
    from anndata import AnnData

#: Beside the repository.
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pca(x: np.ndarray, n_dims: int) -> np.ndarray:
    """Scores on the first principal axes."""
    centred = np.asarray(x, dtype=np.float64) - x.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    return u[:, :n_dims] * s[:n_dims]


def _table(path: Path) -> Snapshots:
    """A text table with a column `samples` (time) and the coordinates."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    coordinates = [key for key in rows[0] if key.startswith("x")]
    x = np.array([[float(row[key]) for key in coordinates] for row in rows])
    return Snapshots.from_arrays(x, np.array([float(row["samples"]) for row in rows]))


def eb() -> Snapshots:
    """Embryoid bodies, 5 whitened principal components, times 0 ... 4."""
    folder = DATA / "eb"
    return Snapshots.from_arrays(
        np.load(folder / "eb_pcs5_whitened.npy"), np.load(folder / "eb_labels.npy").astype(float)
    )


def _eb_pcs(n_dims: int, *, standardised: bool) -> Snapshots:
    import anndata as ad

    adata = ad.read_h5ad(DATA / "eb" / "eb_pca100.h5ad")
    x = adata.obsm["X_pca"][:, :n_dims].astype(np.float64)
    if standardised:
        x = (x - x.mean(axis=0)) / x.std(axis=0)
    return Snapshots.from_arrays(x, adata.obs["time"].to_numpy(float))


def eb50() -> Snapshots:
    """Embryoid bodies, 50 principal components as they are."""
    return _eb_pcs(50, standardised=False)


def eb50s() -> Snapshots:
    """Embryoid bodies, 50 principal components, each standardised over all cells."""
    return _eb_pcs(50, standardised=True)


def eb100() -> Snapshots:
    """Embryoid bodies, 100 principal components as they are."""
    return _eb_pcs(100, standardised=False)


def eb100s() -> Snapshots:
    """Embryoid bodies, 100 principal components, each standardised over all cells."""
    return _eb_pcs(100, standardised=True)


def guo() -> Snapshots:
    """Mouse embryo qPCR, 5 principal components, log2 of the number of cells."""
    import anndata as ad

    adata = ad.read_h5ad(DATA / "guo2010_embryo" / "guo_qpcr48.h5ad")
    return Snapshots.from_arrays(pca(np.asarray(adata.X), 5), adata.obs["time"].to_numpy(float))


def emt() -> Snapshots:
    """A549 epithelial-mesenchymal transition, 10 latent dimensions, samples 0 ... 3 (0 h, 8 h, 1 d, 3 d and 7 d together)."""
    return _table(DATA / "emt_a549" / "emt_10d.csv")


def larry() -> Snapshots:
    """Mouse haematopoiesis, 2-dimensional embedding, samples 0, 1, 2 (days 2, 4, 6)."""
    return _table(DATA / "larry_ae2d" / "mouse_hematopoiesis.csv")


def dyngen() -> Snapshots:
    """Simulated bifurcation, 5 dimensions, samples 0 ... 4."""
    return _table(DATA / "simulated" / "dyngen_5d.csv")


def gene() -> Snapshots:
    """Simulated gene circuit with growth and a bifurcation, 2 genes, samples 0 ... 4."""
    return _table(DATA / "simulated" / "simulation_gene_2d.csv")


def tigon() -> Snapshots:
    """Simulated gene circuit with growth, 3 genes, times 0 ... 4."""
    with np.load(DATA / "simulated" / "tigon_simulation_3d.npz") as file:
        return Snapshots.from_arrays(file["X"], file["time"].astype(float))


def gaussian() -> Snapshots:
    """Simulated mixture of normals that grows, 10 dimensions, two snapshots only: there is none to leave out."""
    return _table(DATA / "simulated" / "gaussian_10d.csv")


def _worm() -> AnnData:
    import anndata as ad
    import scanpy as sc

    adata = ad.read_h5ad(DATA / "worm_embryo" / "worm_embryo_counts.h5ad")
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    sc.pp.pca(adata, n_comps=10)
    return adata


def worm() -> Snapshots:
    """Worm embryo neurons, 10 principal components of log counts, 8 bins of embryo time at their mean minutes.

    Embryo time was estimated from these cells' expression: what divides the cells has seen their
    positions, so neighbouring bins are smoother than snapshots of an experiment are. `worm_sampled`
    has the times at which cells were taken.
    """
    adata = _worm()
    bins = adata.obs["time_bin"].to_numpy(float)
    means = {b: adata.obs["embryo_time"].to_numpy(float)[bins == b].mean() for b in np.unique(bins)}
    return Snapshots.from_arrays(adata.obsm["X_pca"], np.array([means[b] for b in bins]))


def worm_sampled() -> Snapshots:
    """Worm embryo neurons, 10 principal components of log counts, minutes of sampling; mixed batches left out."""
    adata = _worm()
    minutes = adata.obs["time"].to_numpy(float)
    known = np.isfinite(minutes)
    return Snapshots.from_arrays(adata.obsm["X_pca"][known], minutes[known])


def worm_types() -> tuple[Snapshots, list[np.ndarray]] | None:
    """`worm_sampled` with the cell type of every cell, snapshot by snapshot; None (and a line) where its files are absent."""
    try:
        adata = _worm()
    except FileNotFoundError as error:
        print(f"worm: skipped, {error.filename} is absent")
        return None
    minutes = adata.obs["time"].to_numpy(float)
    types = adata.obs["cell_type"].to_numpy(str)
    known = np.unique(minutes[np.isfinite(minutes)])
    populations = [
        Population(np.asarray(adata.obsm["X_pca"][minutes == t], dtype=np.float64), float(t))
        for t in known
    ]
    return Snapshots(tuple(populations)), [types[minutes == t] for t in known]


def reprogramming() -> Snapshots:
    """Mouse reprogramming (moscot's test fixture), 10 principal components of log-normalised expression, days 10, 10.5, 11."""
    import anndata as ad

    adata = ad.read_h5ad(DATA / "peer_fixtures" / "moscot_temporal_tests.h5ad")
    return Snapshots.from_arrays(
        pca(adata.X.toarray(), 10), adata.obs["day"].astype(float).to_numpy()
    )


def cospar() -> Snapshots:
    """Mouse haematopoiesis (CoSpar's test fixture), 10 principal components of log normalised counts, days 2, 4, 6."""
    import anndata as ad
    import scanpy as sc

    adata = ad.read_h5ad(DATA / "larry_cospar" / "test_adata_preprocessed.h5ad")
    sc.pp.log1p(adata)
    x = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    return Snapshots.from_arrays(pca(x, 10), adata.obs["time_info"].astype(float).to_numpy())


def myoblasts() -> Snapshots:
    """Human myoblasts, 5 principal components of log FPKM; ships with the package."""
    import scanpy as sc

    import cellflow as cf

    adata = cf.datasets.myoblasts()
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    sc.pp.pca(adata, n_comps=5)
    return Snapshots.from_arrays(adata.obsm["X_pca"], adata.obs["hours"].to_numpy(float))


SETS: dict[str, Callable[[], Snapshots]] = {
    f.__name__: f
    for f in (
        eb, eb50, eb50s, eb100, eb100s,
        guo, emt, larry, dyngen, worm, gene, reprogramming, myoblasts,
        tigon, worm_sampled, cospar, gaussian,
    )
}  # fmt: skip
#: The sets on which one default is judged: none of them is the benchmark of record.
JUDGED = ("guo", "emt", "larry", "dyngen", "worm", "gene", "reprogramming", "myoblasts")


def representation(name: str) -> str:
    """What a set's coordinates and times are."""
    return str(SETS[name].__doc__).partition("\n")[0]


def load(name: str) -> Snapshots | None:
    """Return a set, or None (with a line on the screen) where its files are absent."""
    try:
        return SETS[name]()
    except FileNotFoundError as error:
        print(f"{name}: skipped, {error.filename} is absent")
        return None


def main() -> None:
    for name in SETS:
        snapshots = load(name)
        if snapshots is not None:
            sizes = ", ".join(f"{p.time:g}: {len(p)}" for p in snapshots.populations)
            print(
                f"{name:14s} {representation(name)}\n{'':14s} {snapshots.n_dims} dimensions; cells"
                f" at each time {sizes}"
            )


if __name__ == "__main__":
    main()
