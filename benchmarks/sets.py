"""The benchmark sets as snapshots: read from a folder of real data that is not part of the repository.

Each loader says which representation it takes. Sets that are absent are skipped by the scripts, with a line that says so.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cellflow.population import Snapshots

#: Beside the repository.
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _pca(x: np.ndarray, n_dims: int) -> np.ndarray:
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
    return Snapshots.from_arrays(np.load(folder / "eb_pcs5_whitened.npy"), np.load(folder / "eb_labels.npy").astype(float))


def guo() -> Snapshots:
    """Mouse embryo qPCR, 5 principal components, log2 of the number of cells."""
    import anndata as ad

    adata = ad.read_h5ad(DATA / "guo2010_embryo" / "guo_qpcr48.h5ad")
    return Snapshots.from_arrays(_pca(np.asarray(adata.X), 5), adata.obs["time"].to_numpy(float))


def emt() -> Snapshots:
    """A549 epithelial-mesenchymal transition, 10 latent dimensions."""
    return _table(DATA / "emt_a549" / "emt_10d.csv")


def larry() -> Snapshots:
    """Mouse haematopoiesis, 2-dimensional embedding, days 2, 4, 6."""
    return _table(DATA / "larry_ae2d" / "mouse_hematopoiesis.csv")


def dyngen() -> Snapshots:
    """Simulated bifurcation, 5 dimensions."""
    return _table(DATA / "simulated" / "dyngen_5d.csv")


def worm() -> Snapshots:
    """Worm embryo neurons, 8 bins of embryo time, 10 principal components of log counts."""
    import anndata as ad
    import scanpy as sc

    adata = ad.read_h5ad(DATA / "worm_embryo" / "worm_embryo_counts.h5ad")
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    sc.pp.pca(adata, n_comps=10)
    bins = adata.obs["time_bin"].to_numpy(float)
    means = {b: adata.obs["embryo_time"].to_numpy(float)[bins == b].mean() for b in np.unique(bins)}
    return Snapshots.from_arrays(adata.obsm["X_pca"], np.array([means[b] for b in bins]))


def myoblasts() -> Snapshots:
    """Human myoblasts, 5 principal components of log FPKM; ships with the package."""
    import scanpy as sc

    import cellflow as cf

    adata = cf.datasets.myoblasts()
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    sc.pp.pca(adata, n_comps=5)
    return Snapshots.from_arrays(adata.obsm["X_pca"], adata.obs["hours"].to_numpy(float))


SETS: dict[str, Callable[[], Snapshots]] = {f.__name__: f for f in (eb, guo, emt, larry, dyngen, worm, myoblasts)}


def load(name: str) -> Snapshots | None:
    """Return a set, or None (with a line on the screen) where its files are absent."""
    try:
        return SETS[name]()
    except FileNotFoundError as error:
        print(f"{name}: skipped, {error.filename} is absent")
        return None
