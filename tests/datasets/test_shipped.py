import hashlib
import shutil
import socket
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import cellflow.datasets._shipped as module
from cellflow.datasets import myoblasts
from cellflow.errors import InputError, MissingDataError

FOLDER = Path(__file__).parents[2] / "data" / "myoblasts"
SOURCE = Path(__file__).parents[3] / "shared" / "data" / "hsmm_myoblast" / "hsmm_fpkm.h5ad"


def test_content():
    adata = myoblasts()
    assert adata.shape == (271, 7961)
    assert adata.X.dtype == np.float32
    assert np.isfinite(adata.X).all()
    assert (adata.X >= 0).all()
    assert ((adata.X > 0.0999).sum(axis=0) >= 100).all()
    assert adata.obs["hours"].value_counts().to_dict() == {0.0: 69, 24.0: 74, 48.0: 79, 72.0: 49}
    assert set(adata.obs["Media"][adata.obs["hours"] == 0]) == {"GM"}
    assert adata.var_names.is_unique
    assert adata.obs_names.is_unique
    assert adata.var["ensembl"].str.fullmatch(r"ENSG\d{11}").all()
    # A marker of muscle is switched on in differentiation medium.
    myosin = adata[:, "MYH3"].X.ravel()
    assert np.median(myosin[adata.obs["hours"] == 0]) == 0
    assert np.median(myosin[adata.obs["hours"] == 72]) > 10


def test_works_without_a_network(monkeypatch):
    def refuse(*_):
        msg = "no network here"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert myoblasts().n_obs == 271


def test_plain_anndata_reads_it():
    file = FOLDER / "myoblasts.h5ad"
    assert file.stat().st_size < 4_000_000
    np.testing.assert_allclose(ad.read_h5ad(file).X, myoblasts().X, rtol=2**-11, atol=1e-7)


def test_checksum_is_that_of_the_file():
    digest, name = (FOLDER / "SHA256SUMS").read_text().split()
    assert digest == hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()


def test_a_damaged_file_is_refused(tmp_path):
    folder = shutil.copytree(FOLDER, tmp_path / "myoblasts")
    file = folder / "myoblasts.h5ad"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"myoblasts\.h5ad is damaged"):
        module._verify(file)


def test_an_installation_without_data_says_so():
    with pytest.raises(MissingDataError, match="Install cellflow-trajectory again"):
        module._folder("nothing_of_this_name")


@pytest.mark.skipif(
    not SOURCE.exists(), reason="the full table of HSMMSingleCell is not beside the repository"
)
def test_is_made_from_the_full_table(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "make", raising=False)
    import make

    full = ad.read_h5ad(SOURCE)
    ours = myoblasts()
    assert make.reduced(full).var_names.equals(ours.var_names)
    columns = full.var["ensembl"].astype(str).str.split(".").str[0].to_numpy().tolist()
    theirs = full.X[:, [columns.index(gene) for gene in ours.var["ensembl"]]].toarray()
    assert full.obs_names.equals(ours.obs_names)
    np.testing.assert_array_equal(ours.X > 0, theirs > 0)
    large = theirs > 1e-3  # below, half precision itself runs out of digits
    np.testing.assert_array_equal(
        ours.X[large], module.three_digits(theirs[large].astype(np.float64)).astype(np.float32)
    )
    np.testing.assert_allclose(ours.X, theirs, rtol=0.00501, atol=1e-7)
