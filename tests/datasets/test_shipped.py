import hashlib
import importlib
import shutil
import socket
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import cellflow.datasets._shipped as module
from cellflow.datasets import myoblasts, simulated_progenitors
from cellflow.errors import InputError, MissingDataError

DATA = Path(__file__).parents[2] / "data"
FOLDER = DATA / "myoblasts"
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


@pytest.mark.parametrize("folder", ["myoblasts", "progenitors"])
def test_checksum_is_that_of_the_file(folder):
    digest, name = (DATA / folder / "SHA256SUMS").read_text().split()
    assert digest == hashlib.sha256((DATA / folder / name).read_bytes()).hexdigest()


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


@pytest.fixture
def making(monkeypatch):
    """The script that made a data set."""

    def of(folder):
        monkeypatch.syspath_prepend(DATA / folder)
        monkeypatch.delitem(sys.modules, "make", raising=False)
        return importlib.import_module("make")

    return of


def test_simulated_progenitors_are_counts_of_a_growing_course():
    adata = simulated_progenitors()
    assert adata.shape == (1500, 400)
    counts = adata.X.toarray()
    assert (counts == np.round(counts)).all()
    assert counts.min() == 0
    assert adata.obs["day"].value_counts().to_dict() == dict.fromkeys(
        [0.0, 1.0, 2.0, 3.0, 4.0], 300
    )
    assert "Simulated, not measured" in adata.uns["simulation"]["words"]
    assert (DATA / "progenitors" / "progenitors.h5ad").stat().st_size < 1_000_000
    # A grows, the others do not: its share rises, and the culture grows by its divisions.
    by_type = adata.obs.groupby("cell_type", observed=True)["growth_true"].mean()
    assert by_type["A"] > 5 * by_type[["B", "C"]].max()
    size = adata.obs.groupby("day")["culture_size"].first()
    rate = adata.obs.groupby("day")["growth_true"].mean()
    grown = np.diff(np.log(size.to_numpy()))
    np.testing.assert_allclose(grown, (rate.to_numpy()[1:] + rate.to_numpy()[:-1]) / 2, atol=0.06)


def test_types_of_the_simulated_progenitors_never_change_back():
    """Cells of a final type keep it, so that the rise of A is growth."""
    obs = simulated_progenitors().obs
    final = obs[obs["cell_type"].isin(["A", "B", "C"])]
    kept = final["cell_type"].astype(str) == final["fate_true"].astype(str)
    assert kept.groupby(final["cell_type"].astype(str)).mean().min() > 0.97
    assert (obs["fate_true"][obs["cell_type"] == "BC"] != "A").mean() > 0.95


def test_true_fates_of_the_simulated_progenitors_are_probabilities_of_the_fate():
    adata = simulated_progenitors()
    fates = adata.obsm["fates_true"]
    np.testing.assert_allclose(fates.sum(axis=1), 1, rtol=1e-5)
    early = (adata.obs["day"] < 3).to_numpy()
    band = np.digitize(fates[early, 0], [0.2, 0.5, 0.8])
    observed = (adata.obs["fate_true"][early] == "A").groupby(band).mean()
    # Descendants are counted with their divisions, so shares of A lie above the odds of one cell.
    assert observed.is_monotonic_increasing
    assert observed[0] < 0.12
    assert observed[3] > 0.8


def test_clones_of_the_simulated_progenitors_share_their_fates():
    obs = simulated_progenitors().obs
    assert 0.77 < obs["clone"].notna().mean() < 0.83
    assert obs["clone"].nunique() > 290
    known = obs.dropna(subset="clone")
    largest = known.groupby("clone", observed=True)["fate_true"].agg(
        lambda fates: fates.value_counts(normalize=True).max()
    )
    shuffled = known["fate_true"].sample(frac=1, random_state=0).to_numpy()
    by_chance = known.assign(fate_true=shuffled).groupby("clone", observed=True)["fate_true"]
    by_chance = by_chance.agg(lambda fates: fates.value_counts(normalize=True).max())
    assert largest.mean() > by_chance.mean() + 0.05


def test_simulated_progenitors_are_made_by_their_script(making):
    ours = simulated_progenitors()
    again = making("progenitors").simulated()
    np.testing.assert_allclose(again.obsm["state_true"], ours.obsm["state_true"], atol=1e-5)
    assert again.obs["fate_true"].astype(str).equals(ours.obs["fate_true"].astype(str))
    # The last digit of a machine may change single draws.
    assert ((again.X - ours.X).toarray() != 0).mean() < 1e-3
    assert again.var_names.equals(ours.var_names)


@pytest.mark.skipif(
    not SOURCE.exists(), reason="the full table of HSMMSingleCell is not beside the repository"
)
def test_is_made_from_the_full_table(making):
    make = making("myoblasts")
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
