"""The worm embryo data as a scanpy user would prepare them: raw counts, minutes, and a fifth of the
cells without a time.
"""

from pathlib import Path

import anndata as ad
import pytest
import scanpy as sc

FILE = (
    Path(__file__).parents[1].parent / "shared" / "data" / "worm_embryo" / "worm_embryo_counts.h5ad"
)

needs_worm = pytest.mark.skipif(
    not FILE.is_file(), reason="the worm embryo counts (GSE126954) are not beside the repository"
)


def prepared(*, umap: bool = True) -> ad.AnnData:
    """Read the counts; normalise, log, select genes, PCA, and neighbours with their UMAP."""
    adata = ad.read_h5ad(FILE)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=1500)
    adata = adata[:, adata.var["highly_variable"]].copy()
    sc.pp.pca(adata, n_comps=20)
    if umap:
        sc.pp.neighbors(adata)
        sc.tl.umap(adata)
    return adata


#: Reads a file that was written after a fit, in a process of its own, and predicts a time that
#: nobody measured.
PREDICT = """
import sys
import anndata as ad
import cellflow as cf
adata = ad.read_h5ad(sys.argv[1])
later = cf.tl.predict(adata, time=350, n_obs=200)
later.write_h5ad(sys.argv[2])
"""
