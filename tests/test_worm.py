"""The main job on real cells, end to end: counts, dynamics, velocities, a file, another process, an
unseen time.
"""

import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import cellflow as cf
from worm import PREDICT, needs_worm, prepared

pytestmark = [
    needs_worm,
    pytest.mark.filterwarnings(
        "ignore:Tensorflow not installed:ImportWarning"
    ),  # umap-learn says so at import
]


@pytest.fixture(scope="module", params=[None, pytest.param("umap", marks=pytest.mark.slow)])
def adata(request: pytest.FixtureRequest) -> ad.AnnData:
    """Fitted cells with velocities; those in a UMAP, which takes the longest, in the long form."""
    worm = prepared(umap=request.param == "umap")
    # The two batches of 500 minutes lie as far apart as consecutive times.
    with pytest.warns(cf.errors.InputWarning, match="Pass sample_key='batch'"):
        cf.tl.flow(worm, time_key="time", use_rep="X_pca")
    cf.tl.velocity(worm, basis=request.param)
    return worm


def test_cells_without_a_time_are_annotated_and_flagged(adata: ad.AnnData) -> None:
    untimed = adata.obs["time"].isna().to_numpy()
    assert untimed.sum() == 410
    np.testing.assert_array_equal(adata.obs["cf_time_inferred"], untimed)
    assert adata.obs["cf_time"].between(300 - 1e-6, 500 + 1e-6).all()
    keys = {"velocity_pca", "velocity_umap"} & set(adata.obsm)
    assert len(keys) == (2 if "X_umap" in adata.obsm else 1)
    assert all(np.isfinite(adata.obsm[key]).all() for key in keys)


def test_the_dynamics_runs_with_the_time_that_expression_tells(adata: ad.AnnData) -> None:
    """The embryo time was estimated by others from whole transcriptomes; cells must move to where
    it is later.
    """
    from cellflow.core._neighbors import nearest

    x, age = (
        np.asarray(adata.obsm["X_pca"], dtype=float),
        adata.obs["embryo_time"].to_numpy(dtype=float),
    )
    moved = x + 30.0 * np.asarray(adata.obsm["velocity_pca"], dtype=float)
    later = age[nearest(x, moved, 15)[1]].mean(axis=1) - age[nearest(x, x, 15)[1]].mean(axis=1)
    assert later.mean() > 5.0
    assert (later > 0).mean() > 0.75


def test_a_new_process_predicts_an_unseen_time_from_the_file(
    adata: ad.AnnData, tmp_path: Path
) -> None:
    adata.write_h5ad(tmp_path / "fitted.h5ad")
    files = [str(tmp_path / "fitted.h5ad"), str(tmp_path / "later.h5ad")]
    subprocess.run([sys.executable, "-W", "error", "-c", PREDICT, *files], check=True)
    later = ad.read_h5ad(tmp_path / "later.h5ad")
    assert later.n_obs == 200
    x, t = np.asarray(adata.obsm["X_pca"]), adata.obs["time"].to_numpy()
    before, after = x[t == 300].mean(0), x[t == 400].mean(0)
    share = (
        (later.obsm["X_pca"].mean(0) - before)
        @ (after - before)
        / ((after - before) @ (after - before))
    )
    assert 0.2 < share < 0.8
