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
MYOBLAST_GENES = {
    "ACTC1": "actin of forming muscle: Bains et al., Mol. Cell. Biol. 1984",
    "ACVR2A": "receptor of myostatin: Lee et al., PNAS 2005",
    "CHRNA1": "receptor of acetylcholine: Evans et al., J. Biol. Chem. 1987",
    "CDKN1A": "exit of the cell cycle: Halevy et al., Science 1995",
    "CDKN1C": "exit of the cell cycle: Zhang et al., Genes Dev. 1999",
    "DES": "filament of muscle: Li et al., J. Cell Biol. 1997",
    "ENO3": "enolase of muscle: Feo et al., Mol. Cell. Biol. 1995",
    "ITGA6": "division or differentiation: Sastry et al., J. Cell Biol. 1996",
    "JAM2": "fusion of muscle cells: Powell, Wright, PLoS Biology 2011",
    "KLHL41": "myofibrils: Gupta et al., Am. J. Hum. Genet. 2013",
    "MACF1": "nuclei of the fibre: Ghasemizadeh et al., eLife 2021",
    "MEF2C": "regulator: Molkentin et al., Cell 1995",
    "MT2A": "metallothionein, limits muscle: Summermatter et al., Mol. Cell. Biol. 2017",
    "MURC": "regulator: Tagawa et al., Am. J. Physiol. Cell Physiol. 2008",
    "MYBPH": "myosin binding: Welikson, Fischman, J. Cell Sci. 2002",
    "MYH3": "embryonic myosin: Schiaffino et al., Skeletal Muscle 2015",
    "MYL4": "embryonic myosin: Barton, Buckingham, Biochem. J. 1985",
    "MYLPF": "fast myosin: Chong et al., Am. J. Hum. Genet. 2020",
    "NCAM1": "adhesion of forming muscle: Covault, Sanes, J. Cell Biol. 1986",
    "NPNT": "fusion of muscle cells: Sunadome et al., Developmental Cell 2011",
    "OBSL1": "cytoskeleton of the sarcomere: Geisler et al., Genomics 2007",
    "RAPSN": "synapse of muscle: Gautam et al., Nature 1995",
    "RASSF4": "rhabdomyosarcoma: Crose et al., J. Clin. Invest. 2014",
    "SGCA": "membrane of muscle: Roberds et al., Cell 1994",
    "TNNC1": "slow troponin: Gahlmann et al., J. Mol. Biol. 1988",
    "TNNI1": "slow troponin: Hastings et al., J. Biol. Chem. 1991",
    "TNNT1": "slow troponin: Johnston et al., Am. J. Hum. Genet. 2000",
    "TNNT2": "troponin of forming muscle: Toyota, Shimada, J. Cell Biol. 1981",
    "TTN": "sarcomere: Fürst, Osborn, Weber, J. Cell Biol. 1989",
}
#: What is known of genes of neutrophils and monocytes.
LARRY_GENES = {
    "Camp": "granules: Gallo et al., J. Biol. Chem. 1997",
    "Cebpe": "neutrophils: Yamanaka et al., PNAS 1997",
    "Csf1r": "monocytes: Dai et al., Blood 2002",
    "Dab2": "macrophages: Adamson et al., EMBO Mol. Med. 2016",
    "Elane": "granules: Horwitz et al., Nature Genetics 1999",
    "F13a1": "monocytes: Henriksson et al., J. Clin. Invest. 1985",
    "Fcnb": "granules: Rørvig et al., J. Leukoc. Biol. 2009",
    "Gfi1": "neutrophils: Karsunky et al., Nature Genetics 2002",
    "Irf8": "monocytes: Kurotaki et al., Blood 2013",
    "Klf4": "monocytes: Feinberg et al., EMBO J. 2007",
    "Mpeg1": "macrophages: Spilsbury et al., Blood 1995",
    "Mpo": "granules: Aratani et al., Infect. Immun. 1999",
    "Ngp": "granules: Moscinski, Hill, J. Biol. Chem. 1995",
    "Prtn3": "granules: Campanelli et al., J. Exp. Med. 1990",
    "S100a4": "macrophages: Österreicher et al., PNAS 2011",
    "S100a8": "neutrophils: Lagasse, Weissman, Blood 1992",
    "S100a9": "neutrophils: Lagasse, Weissman, Blood 1992",
    "Serpinb1a": "neutrophils: Benarafa et al., J. Exp. Med. 2007",
    "Sirpa": "myeloid cells: Adams et al., J. Immunol. 1998",
    "Vcan": "classical monocytes: Villani et al., Science 2017",
    "Wfdc17": "macrophages: Karlstetter et al., J. Immunol. 2010",
}


def larry() -> Any | None:
    """The LARRY subset of `larry_fates.py`."""
    return larry_fates.read()
