"""The fits that the gallery draws: real cells, and simulated ones where the truth has to be known.

Each function returns an AnnData with everything that figures read. The myoblasts and the
progenitors come with the package; the worm and the embryoid bodies are read from a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
from umap import UMAP

import cellflow as cf

#: Genes of muscle that the shipped myoblasts have and that a PCA decodes.
MUSCLE = ["TNNT2", "MYH3", "ENO3", "CCNB1", "ID1", "SPHK1"]


def _prepared(adata: ad.AnnData, n_comps: int, n_genes: int = 2000) -> None:
    """Logarithms, variable genes, PCA, neighbours and UMAP, as scanpy does them."""
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=n_genes, subset=True)
    sc.pp.pca(adata, n_comps=n_comps)
    sc.pp.neighbors(adata)
    sc.tl.umap(adata)


def _moved(adata: ad.AnnData) -> None:
    cf.tl.velocity(adata, basis="umap")
    cf.tl.trajectories(adata, n_times=25)


def myoblasts(folder: Path) -> ad.AnnData:
    """271 human myoblasts at 0, 24, 48 and 72 hours, with an ensemble of three and a score."""
    adata = cf.datasets.myoblasts()
    _prepared(adata, n_comps=10)
    adata.obs["State"] = adata.obs["State"].astype(str).radd("state ").astype("category")
    cf.tl.flow(adata, "hours", score=True, n_members=3)
    _moved(adata)
    cf.tl.fates(adata, groupby="State")
    cf.tl.log_density(adata)
    cf.tl.potential(adata)
    _genes(adata, [gene for gene in MUSCLE if gene in adata.var_names], "State")
    cf.bench.holdout(adata, "hours")
    return adata


def _genes(adata: ad.AnnData, genes: list[str], groupby: str) -> None:
    """What figures of genes read, of the two fates with the most mass."""
    names = [str(name) for name in adata.uns["cellflow"]["fates"]["names"]]
    mass = dict(zip(names, adata.obsm["lineages_fwd"].sum(axis=0), strict=True))
    mass.pop("undecided", None)
    fates = sorted(mass, key=mass.__getitem__)[:-3:-1]
    cf.tl.drivers(adata, fates[0])
    cf.tl.trends(adata, genes, fate=fates)
    cf.tl.jacobian(adata, genes, groupby=groupby)
    cf.tl.perturb(adata, {genes[0]: 0.0}, n_null=50)
    cf.tl.screen(adata, fate=fates[0], to="-1sd", n_simulated=10)


def worm(folder: Path) -> ad.AnnData:
    """1,805 neurons of the worm at 300, 400 and 500 minutes (Packer et al. 2019), with growth."""
    adata = ad.read_h5ad(folder / "worm_embryo" / "worm_embryo_counts.h5ad")
    sc.pp.normalize_total(adata)
    _prepared(adata, n_comps=30)
    cf.tl.flow(adata, "time", growth="auto")
    _moved(adata)
    cf.tl.growth(adata)
    cf.tl.fates(adata, groupby="cell_type")
    decoded = adata.var["cf_gene_r2"].sort_values(ascending=False)
    _genes(adata, list(decoded.index[:8]), "cell_type")
    cf.tl.potential(adata)
    cf.bench.holdout(adata, "time")
    return adata


def eb(folder: Path) -> ad.AnnData:
    """16,819 cells of embryoid bodies over 27 days (Moon et al. 2019), ten components."""
    adata = ad.read_h5ad(folder / "eb" / "eb_pca100.h5ad")
    adata.obsm["X_pca"] = np.asarray(adata.obsm["X_pca"])[:, :10]
    slim = ad.AnnData(obs=adata.obs, obsm={"X_pca": adata.obsm["X_pca"]})
    slim.obsm["X_umap"] = UMAP(random_state=0).fit_transform(slim.obsm["X_pca"])
    cf.tl.flow(slim, "time", method="ot-cfm")
    _moved(slim)
    cf.tl.log_density(slim)
    cf.tl.potential(slim)
    return slim


def progenitors(folder: Path) -> ad.AnnData:
    """1,500 simulated progenitors of three cell types, with growth, barcodes and known fates."""
    adata = cf.datasets.simulated_progenitors()
    sc.pp.normalize_total(adata)
    _prepared(adata, n_comps=10, n_genes=400)
    cf.tl.flow(adata, "day", growth="auto", mass_key="culture_size")
    _moved(adata)
    cf.tl.growth(adata)
    cf.tl.fates(adata, groupby="cell_type")
    cf.tl.calibrate(adata, lineage_key="clone")
    return adata


def experiment(folder: Path) -> ad.AnnData:
    """A simulated experiment: a population that forks, with and without a drug, in samples."""
    control = cf.synthetic.GrowingFork()
    treated = replace(control, speed_factors=(1.3, 1.0), growth_factors=(1.0, 1.5))
    systems = {"control": control, "treated": treated}
    made = cf.synthetic.Experiment(systems, n_samples=4, shift=0.1, composition=0.2)
    adata = cf.datasets.simulate(made, n_obs=60)
    cf.tl.flow(adata, "time", use_rep="X_state", condition_key="condition", sample_key="sample")
    cf.tl.compare(adata, "condition", groupby="cell_type", n_perm=499)
    return adata


FITS: dict[str, Callable[[Path], ad.AnnData]] = {
    "myoblasts": myoblasts,
    "worm": worm,
    "eb": eb,
    "progenitors": progenitors,
    "experiment": experiment,
}


def fitted(name: str, data: Path, stored: Path) -> ad.AnnData:
    """Return a fit from the folder of stored ones, or make it and store it there."""
    path = stored / f"{name}.h5ad"
    if not path.exists():
        stored.mkdir(parents=True, exist_ok=True)
        FITS[name](data).write_h5ad(path)
    return ad.read_h5ad(path)
