"""Data whose genes are known from the literature, prepared from counts, and the references.

The worm and the LARRY subset are read from the folder of `sets.DATA` and are None where they are
absent, with a line that says so. The myoblasts ship with the package.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import larry_fates
import sets

WORM = sets.DATA / "worm_embryo" / "worm_embryo_counts.h5ad"
#: The cells of one lineage of the worm whose ancestors are in the file. A mother `ASG_AWA` has one
#: daughter of each kind (Sulston et al., Dev. Biol. 1983), so that mothers must have fates of one
#: half, whatever the numbers of sequenced cells.
LINEAGE = ("Neuroblast_ASG_AWA", "ASG_AWA", "ASG", "AWA")
#: Bins of embryo time that are used. The last one has three cells of ASG.
BINS = range(7)
#: Cells that a gene must be found in, variable genes, and principal components.
LEAST_CELLS = 20
N_VARIABLE = 1000
N_DIMS = 10

#: What is known of genes of these cells. A gene is listed because of the paper alone.
WORM_GENES = {
    "odr-7": "AWA: Sengupta, Colbert, Bargmann, Cell 1994",
    "odr-3": "AWA, AWB, AWC and others, not ASG: Roayaie et al., Neuron 1998",
    "lin-11": "ASG for good, AWA for a time: Sarafi-Reinach et al., Development 2001",
    "ets-5": "ASG: Juozaityte et al., PNAS 2017",
    "capa-1": "ASG: Watteyne et al., Nature Communications 2020",
}
#: Genes of neurons that have stopped dividing, with a branch that expresses them: of cilia, of the
#: processing of neuropeptides, of sensory identity.
WORM_LATE = {
    "ift-74": ("AWA", "cilia: Kobayashi et al., Genes to Cells 2007"),
    "che-11": ("ASG", "cilia: Blacque et al., Current Biology 2005"),
    "bbs-1": ("AWA", "cilia: Ansley et al., Nature 2003"),
    "egl-21": ("AWA", "neuropeptides: Jacob, Kaplan, J. Neurosci. 2003"),
    "pghm-1": ("AWA", "neuropeptides: Li, Kim, WormBook 2008"),
    "pgal-1": ("AWA", "neuropeptides: Li, Kim, WormBook 2008"),
    "odr-7": ("AWA", WORM_GENES["odr-7"]),
    "ets-5": ("ASG", WORM_GENES["ets-5"]),
    "capa-1": ("ASG", WORM_GENES["capa-1"]),
}


def worm(without: int | None = None) -> Any | None:
    """Cells of one lineage at the mean embryo time of their bins, logs of normalised counts.

    Embryo times are estimates from expression (Packer et al., Science 2019), not sampling times.
    Everything is computed without the cells of the bin `without`.
    """
    import anndata as ad
    import scanpy as sc

    if not WORM.is_file():
        print(f"worm: skipped, {WORM.name} is absent")
        return None
    adata = ad.read_h5ad(WORM)
    # The unit of time is the minute, the same for a bin whatever cells are left.
    adata.obs["minutes"] = adata.obs.groupby("time_bin")["embryo_time"].transform("mean").round()
    bins = [k for k in BINS if k != without]
    kept = adata.obs["cell_type"].isin(LINEAGE) & adata.obs["time_bin"].isin(bins)
    adata = adata[kept].copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str).astype("category")
    sc.pp.filter_genes(adata, min_cells=LEAST_CELLS)
    return prepared(adata)


def worm_means(bin_number: int, genes: list[str]) -> Any:
    """Measured means of genes in the types of one bin, with standard errors, as the fit sees them.

    The size to which counts are normalised is the median of the other cells, as in `worm`.
    """
    import anndata as ad
    import pandas as pd

    counts = ad.read_h5ad(WORM)
    own = counts.obs["cell_type"].isin(LINEAGE)
    rest = own & counts.obs["time_bin"].isin([k for k in BINS if k != bin_number])
    kept = np.asarray((counts[rest].X > 0).sum(axis=0)).ravel() >= LEAST_CELLS
    size = np.median(np.asarray(counts[rest][:, kept].X.sum(axis=1)).ravel())
    held = counts[own & (counts.obs["time_bin"] == bin_number)][:, kept].copy()
    total = np.asarray(held.X.sum(axis=1)).ravel()
    values = np.log1p(held[:, genes].X.toarray() * (size / total)[:, None])
    table = pd.DataFrame(values, columns=genes)
    groups = table.groupby(held.obs["cell_type"].astype(str).to_numpy())
    return pd.concat({"mean": groups.mean(), "se": groups.sem()}, axis=1)


def prepared(adata: Any) -> Any:
    """Logs of counts at their median size, and components of the variable genes."""
    import scanpy as sc

    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=N_VARIABLE)
    sc.pp.pca(adata, n_comps=N_DIMS, mask_var="highly_variable", random_state=0)
    return adata


def myoblasts() -> Any:
    """Myoblasts that ship with the package, 2,000 variable genes.

    The states are those of the authors, who found them from expression.
    """
    import scanpy as sc

    import cellflow as cf

    adata = cf.datasets.myoblasts()
    names = {"1": "dividing", "2": "muscle", "3": "interstitial"}
    adata.obs["state"] = adata.obs["State"].astype(str).map(names).astype("category")
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000, subset=True)
    sc.pp.pca(adata, n_comps=N_DIMS, random_state=0)
    return adata


#: What is known of genes of muscle differentiation.
MYOBLAST_GENES: dict[str, str] = {}
#: What is known of genes of neutrophils and monocytes.
LARRY_GENES: dict[str, str] = {}


def larry() -> Any | None:
    """The LARRY subset of `larry_fates.py`."""
    return larry_fates.read()
