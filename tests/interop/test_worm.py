"""scVelo draws our velocities unmodified; run by `make interop`, in an environment with the
versions that scVelo needs.
"""

import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import cellflow as cf
from worm import PREDICT, needs_worm, prepared

scv = pytest.importorskip(
    "scvelo", reason="scVelo lives in an environment of its own: make interop"
)

pytestmark = [
    needs_worm,
    pytest.mark.filterwarnings("default"),  # scVelo and CellRank warn about their own dependencies
]


@pytest.fixture(scope="module")
def adata() -> ad.AnnData:
    worm = prepared()
    cf.tl.flow(worm, time_key="time", use_rep="X_pca")
    cf.tl.velocity(worm, basis="umap", genes="all")
    return worm


def test_velocity_embedding_stream_draws_our_velocities(adata: ad.AnnData) -> None:
    before = {key: np.asarray(value).copy() for key, value in adata.obsm.items()}
    ax = scv.pl.velocity_embedding_stream(
        adata, basis="umap", vkey="velocity", color="cell_type", show=False
    )
    assert len(ax.collections) > 1
    assert "velocity_graph" not in adata.uns
    for key, value in before.items():
        np.testing.assert_array_equal(adata.obsm[key], value)


def test_what_was_drawn_is_written_read_and_predicts(adata: ad.AnnData, tmp_path: Path) -> None:
    scv.pl.velocity_embedding_stream(
        adata, basis="umap", vkey="velocity", color="cell_type", show=False
    )
    adata.write_h5ad(tmp_path / "fitted.h5ad")
    files = [str(tmp_path / "fitted.h5ad"), str(tmp_path / "later.h5ad")]
    subprocess.run([sys.executable, "-c", PREDICT, *files], check=True)
    assert ad.read_h5ad(tmp_path / "later.h5ad").n_obs == 200


def test_gene_space_velocities_are_what_scvelo_expects(adata: ad.AnnData) -> None:
    """`layers["velocity"]` and `layers["Ms"]` of one shape, finite: enough for a velocity graph and
    a confidence.
    """
    scv.tl.velocity_graph(adata, vkey="velocity", xkey="Ms", n_jobs=1, show_progress_bar=False)
    scv.tl.velocity_confidence(adata, vkey="velocity")
    assert np.isfinite(adata.obs["velocity_confidence"]).all()


def test_cellrank_reads_the_latent_velocities(adata: ad.AnnData) -> None:
    cr = pytest.importorskip("cellrank")
    kernel = cr.kernels.VelocityKernel(adata, attr="obsm", xkey="X_pca", vkey="velocity_pca")
    kernel.compute_transition_matrix(show_progress_bar=False)
    np.testing.assert_allclose(
        np.asarray(kernel.transition_matrix.sum(axis=1)).ravel(), 1.0, rtol=1e-5
    )
