"""Cells of two arms, with a fit and what other tools read of it."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.training import Training

DAYS = (0.0, 1.0, 2.0, 3.0)
N = 80


def two_arms():
    """Four snapshots of cells on a line that forks after day 1, and genes that see it linearly."""
    rng = np.random.default_rng(0)
    day = np.repeat(DAYS, N)
    arm = np.where(rng.random(len(day)) < 0.5, 1.0, -1.0)
    along = day + rng.normal(0, 0.25, len(day))
    across = 1.5 * arm * np.clip(along - 0.7, 0.0, None)
    latent = np.column_stack([3.0 * along, 3.0 * across, rng.normal(0, 0.3, (len(day), 3))])
    latent += rng.normal(0, 0.15, latent.shape)
    latent -= latent.mean(axis=0)
    axes = np.linalg.qr(rng.normal(size=(30, 5)))[0]
    x = np.maximum(latent @ axes.T + 6.0 + rng.normal(0, 0.1, (len(day), 30)), 0.0)
    names = [f"cell{i}" for i in range(len(day))]
    adata = ad.AnnData(
        x.astype(np.float32),
        obs=pd.DataFrame({"day": day, "arm": np.where(arm > 0, "up", "down")}, index=names),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(30)]),
    )
    adata.obsm["X_pca"] = latent.astype(np.float32)
    adata.varm["PCs"] = axes
    adata.obsm["X_umap"] = latent[:, :2].astype(np.float32)
    adata.obs["arm"] = adata.obs["arm"].astype("category")
    return adata


@pytest.fixture(scope="module")
def forked():
    """The cells with neighbours, a fit, velocities, fates, transitions and a pseudotime."""
    import scanpy as sc

    adata = two_arms()
    sc.pp.neighbors(adata, n_neighbors=15)
    method = cf.recipes.ot_cfm(training=Training(steps=500, record_every=250))
    cf.tl.flow(adata, "day", method=method)
    cf.tl.velocity(adata, basis="umap")
    cf.tl.fates(adata, "arm")
    cf.get.transition_matrix(adata)
    cf.tl.pseudotime(adata, n_times=9)
    return adata


@pytest.fixture
def committed(forked):
    """Which cells are well into an arm, and whether it is the upper one."""
    across = forked.obsm["X_pca"][:, 1]
    return np.abs(across) > 2.0, across > 0
