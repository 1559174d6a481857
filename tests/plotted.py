"""Cells with a fit and all results that figures read, without any computation."""

import anndata as ad
import numpy as np
import pandas as pd

from cellflow.adapter.fingerprint import fingerprint
from gene_records import gene_records

N, TIMES = 40, np.array([0.0, 24.0, 48.0])


def fitted(d: int = 3, n: int = N) -> ad.AnnData:
    """Cells that move right at 1/24 per hour, with all fields that `cf.tl` would write."""
    rng = np.random.default_rng(0)
    hours = np.repeat(TIMES, n)
    x = rng.normal(scale=0.3, size=(len(hours), d))
    x[:, 0] += hours / 24
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(len(x))])
    obs["hours"], obs["kind"] = hours, pd.Categorical(np.where(x[:, -1] > 0, "up", "down"))
    obs["score"], obs["cf_time"], obs["cf_time_inferred"] = (
        np.arange(len(x), dtype=float),
        hours,
        False,
    )
    adata = ad.AnnData(
        rng.poisson(2.0, size=(len(x), 2)).astype(np.float32),
        obs=obs,
        var=pd.DataFrame(index=["MYH3", "TNNT1"]),
    )
    for name, shift in (("", 0.0), ("_low", -0.1), ("_high", 0.1)):
        adata.obs[f"cf_growth{name}"] = 0.05 * x[:, -1] + shift
    adata.obsm["X_pca"] = x.astype(np.float32)
    adata.obsm["X_umap"] = x[:, [0, -1]] * [2.0, 1.0]
    adata.obsm["velocity_pca"] = np.tile(np.eye(d, dtype=np.float32)[0] / 24, (len(x), 1))
    adata.obsm["velocity_umap"] = np.tile([2.0 / 24, 0.0], (len(x), 1))
    grid = np.linspace(0.0, 48.0, 7)
    paths = x[:, None, :] + (grid - hours[:, None])[:, :, None] / 24 * np.eye(d)[0]
    adata.obsm["cf_trajectory"] = paths.astype(np.float32).reshape(len(x), -1)
    adata.uns["cellflow"] = {
        "cellflow_version": "0.1.0",
        "params": {
            "time_key": "hours",
            "use_rep": "X_pca",
            "n_dims": d,
            "time_unit": "h",
            "method": "ot-cfm",
        },
        "model": {},
        "plans": {},
        "fingerprint": fingerprint(obs.index.to_numpy(), adata.obsm["X_pca"], hours, hours < 0),
        "written": ["obsm/cf_trajectory"],
        "trajectory_times": grid,
        "trajectory_shape": paths.shape[1:],
        "history": {
            "step": [10.0, 20.0],
            "loss": [2.0, 1.0],
            "val_step": [20.0],
            "val_loss": [1.0],
        },
        "fates": {"names": np.array(["left", "undecided"], dtype=object), "groupby": "kind"},
        **gene_records(),
    }
    adata.obs["cf_log_density"] = -0.5 * (x**2).sum(axis=1)
    adata.obs["cf_potential"] = -x[:, 0]
    adata.uns["cellflow"]["potential"] = {
        "by_snapshot": True,
        "words": "Potential of 3 populations by themselves.",
        "unexplained": 0.09,
        "kind": "flow",
        "n_neighbors": 15,
        "table": pd.DataFrame(
            {"time": TIMES, "condition": "", "n_cells": n, "unexplained": [0.05, 0.123, np.nan]}
        ),
    }
    share = np.linspace(0.0, 1.0, len(x))
    adata.obsm["lineages_fwd"] = np.stack([share, 1.0 - share], axis=1)
    return adata
