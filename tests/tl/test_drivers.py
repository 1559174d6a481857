"""`cf.tl.drivers` and `cf.get.drivers`: what is written, read back and removed; bad input."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cellflow as cf
from cellflow.errors import InputError, InputWarning, MissingKeyError
from conftest import make_cells, quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")

PARTS = ("association", "sensitivity", "velocity")


def with_fates(adata, **how):
    """Two types by the third coordinate, which also has a name with a slash."""
    adata.obs["type"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a/b", "c")
    cf.tl.flow(adata, "hours", method=quick_recipe(), **how)
    cf.tl.fates(adata, "type")
    return adata


def dense(adata):
    adata.X = adata.X.toarray()
    return adata


@pytest.fixture(scope="module")
def made():
    """Twelve genes, of which one is constant, one is repeated, and one is noise."""
    adata = dense(make_cells())
    adata.X[:, 3] = 2.0
    adata.X[:, 5] = adata.X[:, 4]
    adata.varm["PCs"][5] = adata.varm["PCs"][4]
    adata.X[:, 6] = np.random.default_rng(0).normal(size=90)
    return with_fates(adata)


@pytest.fixture
def fated(made):
    return made.copy()


def test_every_gene_has_a_row_in_the_order_of_the_ranks(fated):
    cf.tl.drivers(fated, "c", window=(0, 12))
    table = cf.get.drivers(fated, "c")
    assert sorted(table["gene"]) == sorted(fated.var_names)
    assert table["rank"].is_monotonic_increasing
    assert (table["fate"] == "c").all()
    size = table["score"].abs()
    np.testing.assert_array_equal(table["rank"], size.rank(ascending=False, method="min"))
    for name in ("", *(f"{part}_" for part in PARTS)):
        p, q = table[f"{name}p"].dropna(), table[f"{name}q"].dropna()
        assert ((p >= 0) & (p <= 1)).all()
        assert (q >= p - 1e-12).all()
    marker = table["marker"].abs().fillna(-1.0)
    np.testing.assert_array_equal(table["marker_rank"], marker.rank(ascending=False, method="min"))
    assert "all cells of the times 0 (" in table.attrs["words"]["c"]


def test_genes_that_are_constant_repeated_or_unseen(fated):
    cf.tl.drivers(fated, "c", window=(0, 12))
    table = cf.get.drivers(fated, "c").set_index("gene")
    constant = table.loc["gene3"]
    assert np.isnan(constant["association"])
    assert constant["association_p"] == 1.0
    assert constant["score"] == 0.0
    unseen = table.loc["gene6"]
    assert np.isfinite(unseen["association"])
    assert unseen[[f"{part}{end}" for part in PARTS[1:] for end in ("", "_p", "_q")]].isna().all()
    one, other = (table.loc[name].drop(["response", "fate"]) for name in ("gene4", "gene5"))
    np.testing.assert_allclose(one.astype(float), other.astype(float), rtol=1e-9)


def test_the_order_of_cells_and_genes_does_not_matter(fated):
    cf.tl.drivers(fated, "c", window=(0, 12))
    before = cf.get.drivers(fated, "c").set_index("gene")
    rng = np.random.default_rng(1)
    mixed = fated[rng.permutation(90)].copy()
    cf.tl.drivers(mixed, "c", window=(0, 12))
    again = cf.get.drivers(mixed, "c").set_index("gene").loc[before.index]
    numbers = before.select_dtypes("number").columns
    np.testing.assert_allclose(again[numbers], before[numbers], rtol=1e-4, atol=1e-6)
    some = fated.var_names[rng.permutation(12)].tolist()
    cf.tl.drivers(fated, "c", window=(0, 12), genes=some)
    chosen = cf.get.drivers(fated, "c").set_index("gene").loc[before.index]
    np.testing.assert_allclose(chosen[numbers], before[numbers], rtol=1e-9)


def test_fates_stand_side_by_side_and_two_are_opposites(fated, tmp_path):
    cf.tl.drivers(fated, "c", window=(0, 12))
    cf.tl.drivers(fated, "a/b", window=("0h", "12h"), max_cells=30)
    both = cf.get.drivers(fated)
    assert both["fate"].unique().tolist() == ["a/b", "c"]
    one, other = (both[both["fate"] == fate].set_index("gene") for fate in ("a/b", "c"))
    for part in ("association", "velocity", "marker"):
        np.testing.assert_allclose(one[part], -other[part].loc[one.index], rtol=1e-6, atol=1e-9)
    assert list(fated.uns["cellflow"]["drivers"]) == ["c", "a_b"]
    fated.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(cf.get.drivers(again), both)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # zarr's own
def test_zarr_keeps_drivers(fated, tmp_path):
    cf.tl.drivers(fated, "c", window=(0, 12))
    fated.write_zarr(tmp_path / "a.zarr")
    again = ad.read_zarr(tmp_path / "a.zarr")
    pd.testing.assert_frame_equal(cf.get.drivers(again), cf.get.drivers(fated))


def test_new_fates_and_new_fits_remove_drivers(fated):
    changed = cf.tl.drivers(fated, "c", window=(0, 12), copy=True)
    assert "drivers" not in fated.uns["cellflow"]
    assert "drivers" in changed.uns["cellflow"]
    cf.tl.ancestors(changed, "type")
    assert "drivers" in changed.uns["cellflow"]
    cf.tl.fates(changed, "type")
    with pytest.raises(MissingKeyError, match=r"has no drivers. Expected: call cf.tl.drivers"):
        cf.get.drivers(changed)
    cf.tl.drivers(changed, "c", window=(0, 12))
    cf.tl.flow(changed, "hours", method=quick_recipe())
    assert "drivers" not in changed.uns["cellflow"]


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, np.asfortranarray])
def test_containers_of_expression_do_not_matter(fated, form):
    cf.tl.drivers(fated, "c", window=(0, 12))
    before = cf.get.drivers(fated)
    fated.X = form(fated.X)
    cf.tl.drivers(fated, "c", window=(0, 12))
    pd.testing.assert_frame_equal(cf.get.drivers(fated), before)


def test_an_ensemble_widens_the_errors():
    adata = with_fates(dense(make_cells()), n_members=2)
    cf.tl.drivers(adata, "c", window=(0, 12))
    ensemble = cf.get.drivers(adata).set_index("gene")
    members = adata.obsm["cf_fates_members"]
    adata.obsm["cf_fates_members"] = np.tile(adata.obsm["lineages_fwd"], 2).astype(np.float32)
    cf.tl.drivers(adata, "c", window=(0, 12))
    agreeing = cf.get.drivers(adata).set_index("gene").loc[ensemble.index]
    assert members.shape[1] == 2 * adata.obsm["lineages_fwd"].shape[1]
    np.testing.assert_allclose(agreeing["association"], ensemble["association"])
    assert (ensemble["association_se"] > agreeing["association_se"]).all()
    for part in PARTS:
        assert (ensemble[f"{part}_p_matched"] >= ensemble[f"{part}_p"]).all()


def test_samples_are_the_replicates():
    adata = dense(make_cells(180))
    adata.obs["mouse"] = np.tile(["m1", "m2", "m3"], 60)
    # A gene that differs between samples only, as fates do.
    adata.X[:, 0] = 5.0 * (adata.obs["mouse"] == "m1") + 0.01 * adata.X[:, 0]
    with_fates(adata, sample_key="mouse", align_samples=False)
    cf.tl.drivers(adata, "c", window=(0, 12))
    table = cf.get.drivers(adata).set_index("gene")
    assert "3 samples are the replicates" in table.attrs["words"]["c"]
    shifted = adata.copy()
    shifted.X = adata.X + 7.0 * (adata.obs["mouse"] == "m2").to_numpy()[:, None]
    cf.tl.drivers(shifted, "c", window=(0, 12))
    again = cf.get.drivers(shifted).set_index("gene").loc[table.index]
    np.testing.assert_allclose(again["association"], table["association"], atol=1e-6)


@pytest.mark.parametrize("kind", ["conditions", "growth", "sf2m"])
def test_fits_of_all_kinds_have_drivers(fitted_as, kind):
    adata = fitted_as(kind)
    adata.obs["type"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    cf.tl.fates(adata, "type", stochastic=kind == "sf2m", n_rep=3)
    cf.tl.drivers(adata, "a", window=(0, 12))
    table = cf.get.drivers(adata)
    assert np.isfinite(table[[*PARTS, "score", "p"]]).all(axis=None)


def test_a_fate_that_is_absorbed_before_the_end_has_no_sensitivity(fated):
    labels = fated.obs["type"].astype(object)
    early = (fated.obs["hours"] == 12).to_numpy() & (fated.obsm["X_pca"][:, 1] > 0.5)
    labels[early] = "early"
    fated.obs["type"] = labels
    cf.tl.fates(fated, "type", absorb=["early"])
    cf.tl.drivers(fated, "early", window=(0, 0))
    table = cf.get.drivers(fated)
    assert table["sensitivity"].isna().all()
    assert np.isfinite(table["association"].drop(table.index[table["gene"] == "gene3"])).all()
    assert "There are no sensitivities" in table.attrs["words"]["early"]


def without_fates(adata):
    cf.tl.flow(adata, "hours", method=quick_recipe())


def one_fate(adata):
    adata.obs["type"] = "c"
    cf.tl.fates(adata, "type")


def unreached(adata):
    """A type of the end that lies far away from where any cell goes."""
    p = adata.obsm["lineages_fwd"]
    early = (adata.obs["hours"] < 48).to_numpy()
    p[early, 1] += p[early, 0]
    p[early, 0] = 0.0


def without_expression(adata):
    bare = ad.AnnData(obs=adata.obs[["hours", "type"]].copy())
    bare.obsm["X_pca"] = adata.obsm["X_pca"]
    return with_fates(bare)


def as_it_is(adata):
    pass


@pytest.mark.parametrize(
    ("spoil", "arguments", "match"),
    [
        (without_fates, {}, r"has no fates .*Expected: call cf.tl.fates"),
        (as_it_is, {"fate": "d"}, r"fate='d'; expected one of \['a/b', 'c'\]"),
        (as_it_is, {"fate": "a_b"}, r"did you mean 'a/b'"),
        (one_fate, {}, r"the only fate of cf.tl.fates. Expected at least two"),
        (unreached, {"fate": "a/b"}, r"no cell before the end, time 48, reaches it"),
        (as_it_is, {"window": (60, 80)}, r"window=\(60, 80\).*times \[0.0, 12.0\]"),
        (as_it_is, {"window": (12, 0)}, r"window=\(12, 0\) has no cells before the end"),
        (as_it_is, {"window": (48, 48)}, r"has no cells before the end"),
        (as_it_is, {"window": 12}, r"window=12; expected its first and last time"),
        (as_it_is, {"window": ("soon", 12)}, r"'soon'"),
        (as_it_is, {"genes": ["gen1"]}, r"did you mean 'gene1'"),
        (as_it_is, {"genes": []}, r"genes= chooses no gene"),
        (as_it_is, {"response": "alne"}, r"response='alne'.*'alone'"),
        (as_it_is, {"max_cells": 3}, r"max_cells"),
        (without_expression, {}, r"has no expression"),
    ],
)
def test_unusable_requests_change_nothing(fated, spoil, arguments, match, frozen):
    adata = spoil(fated) or fated
    with frozen(adata), pytest.raises(InputError, match=match):
        cf.tl.drivers(adata, **({"fate": "c", "window": (0, 12)} | arguments))


def test_cells_that_are_all_committed_have_no_window(fated, frozen):
    fated.obs["cf_commitment_time"] = 0.0
    with (
        frozen(fated),
        pytest.raises(InputError, match=r"No time has 20 cells whose.*pass window="),
    ):
        cf.tl.drivers(fated, "c")


def test_a_fate_without_drivers_is_named(fated):
    cf.tl.drivers(fated, "c", window=(0, 12))
    with pytest.raises(InputError, match=r"fate='C' has no drivers .*expected one of \['c'\]"):
        cf.get.drivers(fated, "C")


def test_fates_of_single_fits_may_be_asked_of_an_ensemble():
    """Of fates of several fits, of which some have no members, the flow's members still count."""
    adata = with_fates(dense(make_cells()), n_members=2)
    cf.tl.flow(adata, "hours", method=quick_recipe(), key_added="single", random_state=1)
    cf.tl.fates(adata, "type", ensemble=["single"])
    cf.tl.drivers(adata, "c", window=(0, 12))
    table = cf.get.drivers(adata)
    assert np.isfinite(table[[*(f"{part}_p" for part in PARTS), "score", "p"]]).all(axis=None)
    assert (table["rank"] >= 1).all()


def test_samples_of_few_cells_are_refused(frozen):
    adata = dense(make_cells())
    adata.obs["mouse"] = np.tile([f"m{k}" for k in range(10)], 9)
    with pytest.warns(InputWarning):  # of the fit, which finds the samples small too
        with_fates(adata, sample_key="mouse", align_samples=False)
    message = r"No five cells of the window are of one time and sample.*without sample_key="
    with frozen(adata), pytest.raises(InputError, match=message):
        cf.tl.drivers(adata, "c", window=(0, 12))


def test_few_labelled_cells_of_the_end_give_no_marker(fated):
    late = np.flatnonzero(fated.obs["hours"] == 48)
    kinds = fated.obs["type"].iloc[late].to_numpy()
    kept = [late[kinds == kind][k] for kind in ("a/b", "c") for k in range(2)]
    fated.obs["few"] = np.where(np.isin(np.arange(90), kept), fated.obs["type"], None)
    with pytest.warns(InputWarning, match="of the mass is undecided"):
        cf.tl.fates(fated, "few")
    fated.obsm["lineages_fwd"][:60] = [0.3, 0.7, 0.0]
    fated.obsm["lineages_fwd"][:60:2] = [0.7, 0.3, 0.0]
    cf.tl.drivers(fated, "c", window=(0, 12))
    assert cf.get.drivers(fated)["marker"].isna().all()
