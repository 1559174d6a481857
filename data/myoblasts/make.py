"""Make `myoblasts.h5ad` from the full table of the Bioconductor package HSMMSingleCell.

Usage: `python make.py hsmm_fpkm.h5ad`, where the source is an AnnData of FPKM values with the
columns that the package has.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from cellflow.datasets._shipped import three_digits

HERE = Path(__file__).parent
#: A gene is seen in a cell above this FPKM, as the source has it, and kept when it is seen in this
#: many cells.
MIN_FPKM = 0.1
MIN_CELLS = 100


def reduced(full: ad.AnnData) -> ad.AnnData:
    """Drop rare genes, round, and keep the columns that are facts about cells and genes."""
    x = full.X.toarray().astype(np.float64)
    kept = (x > MIN_FPKM).sum(axis=0) >= MIN_CELLS
    obs = pd.DataFrame(
        {
            "hours": full.obs["Hours"].to_numpy(dtype=np.float64),
            "Media": full.obs["Media"].astype("category"),
            "Library": full.obs["Library"].str.split("_").str[0].astype("category"),
            "Mapped.Fragments": full.obs["Mapped.Fragments"].to_numpy(dtype=np.int64),
            "Pseudotime": full.obs["Pseudotime"].to_numpy(dtype=np.float64),
            "State": full.obs["State"].astype("category"),
        },
        index=full.obs_names,
    )
    genes = full.var[kept]
    var = pd.DataFrame(
        {
            "ensembl": genes["ensembl"].astype(str).str.split(".").str[0].to_numpy(),
            "biotype": pd.Categorical(genes["biotype"].astype(str)),
        },
        index=ad.utils.make_index_unique(pd.Index(genes["gene_short_name"].astype(str).to_numpy())),
    )
    # Half precision holds three digits (it has eleven bits) and saves a third of the file; the
    # loader restores them.
    return ad.AnnData(three_digits(x[:, kept]).astype(np.float16), obs=obs, var=var)


def write(adata: ad.AnnData, path: Path) -> None:
    """Write the h5ad with the byte shuffle and the checksum beside it.

    `write_h5ad` has no argument for the shuffle.
    """
    packed = {"compression": "gzip", "compression_opts": 9, "shuffle": True}

    def pack(func, group, key, element, dataset_kwargs, iospec):  # noqa: ANN001, ANN202, ARG001 - anndata's callback
        whole = {"chunks": element.shape} if getattr(element, "ndim", 0) == 2 else {}
        func(group, key, element, dataset_kwargs=packed | whole)

    with h5py.File(path, "w") as file:
        ad.experimental.write_dispatched(file, "/", adata, pack)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("SHA256SUMS").write_text(f"{digest}  {path.name}\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the full table as h5ad")
    write(reduced(ad.read_h5ad(parser.parse_args().source)), HERE / "myoblasts.h5ad")
