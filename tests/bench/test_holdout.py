"""`cf.bench.holdout`: AnnData in, table out, and what stays in `uns`."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import cellflow as cf
from cellflow.adapter.pca import difference_of
from cellflow.adapter.representation import LEAKY, refit_of, seen_by
from cellflow.errors import InputError, InputTypeError, InputWarning, MissingKeyError
from conftest import make_cells, quick_recipe

QUICK = quick_recipe()
FEW = {"methods": QUICK, "metrics": ("w1", "energy")}


@pytest.fixture(scope="module")
def _done():
    adata = make_cells()
    table = cf.bench.holdout(adata, "hours", seeds=(0, 1), **FEW)
    return adata, table


@pytest.fixture
def done(_done):
    return _done[0].copy(), _done[1]


def test_the_table_is_returned_and_kept(done):
    adata, table = done
    record = adata.uns["cf_holdout"]
    pd.testing.assert_frame_equal(record["table"], table, check_flags=False)
    assert record["verdict"] == table.attrs["verdict"]
    assert record["verdict"].startswith("ot-cfm (two-sided) compared with OT interpolation")
    assert " By P1, " in record["verdict"]
    assert record["params"]["methods"].tolist() == ["ot-cfm"]
    assert record["params"]["times"].tolist() == [12.0]
    assert record["params"]["seeds"].tolist() == [0, 1]
    assert set(table["representation"]) == {
        "PCA of the expression, made without the held-out cells"
    }


def test_the_verdict_is_logged(cells, caplog):
    with caplog.at_level("INFO", logger="cellflow"):
        table = cf.bench.holdout(cells, "hours", **FEW)
    assert table.attrs["verdict"] in caplog.messages


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning"
)  # zarr's and anndata's own, about formats
def test_everything_survives_a_file(done, suffix, tmp_path):
    adata, table = done
    getattr(adata, f"write_{suffix}")(tmp_path / f"cells.{suffix}")
    again = getattr(ad, f"read_{suffix}")(tmp_path / f"cells.{suffix}").uns["cf_holdout"]
    back = again["table"]
    assert list(back.columns) == list(table.columns)
    assert back["seed"].isna().sum() == 6
    for column in ("w1", "skill", "n_half"):
        np.testing.assert_array_equal(back[column], table[column])
    for column in ("method", "protocol", "kind", "note", "representation"):
        assert back[column].astype(str).tolist() == table[column].tolist()
    assert again["clouds"]["time_12.0"]["ot-cfm, two-sided"]["x"].shape == (60, 4)
    assert again["verdict"] == table.attrs["verdict"]


def test_without_writing_the_cells_stay_as_they_are(cells, frozen):
    with frozen(cells):
        table = cf.bench.holdout(cells, "hours", write=False, **FEW)
    assert len(table) == 9
    cells.uns["cf_holdout"] = "mine"
    with pytest.raises(InputError, match="another key_added"):
        cf.bench.holdout(cells, "hours", **FEW)
    cf.bench.holdout(cells, "hours", overwrite=True, **FEW)
    assert "table" in cells.uns["cf_holdout"]


def test_the_old_spelling_of_write_gives_the_same_table(cells, frozen):
    with frozen(cells), pytest.warns(FutureWarning, match=r"is now holdout\(write=False\)"):
        old = cf.bench.holdout(cells, "hours", copy=True, **FEW)
    new = cf.bench.holdout(cells, "hours", write=False, **FEW)
    pd.testing.assert_frame_equal(old.drop(columns="seconds"), new.drop(columns="seconds"))
    with pytest.warns(FutureWarning, match="holdout"):
        cf.bench.holdout(cells, "hours", copy=False, **FEW)
    assert "cf_holdout" in cells.uns


def test_the_old_scale_is_that_of_the_recipes(cells):
    with pytest.warns(FutureWarning, match=r"is now holdout\(methods=\[cf.recipes.by_name"):
        old = cf.bench.holdout(cells, "hours", scale="each", write=False, **FEW)
    scaled = FEW | {"methods": replace(QUICK, scale="each")}
    new = cf.bench.holdout(cells, "hours", write=False, **scaled)
    pd.testing.assert_frame_equal(old.drop(columns="seconds"), new.drop(columns="seconds"))
    plain = cf.bench.holdout(cells, "hours", write=False, **FEW)
    model = new["kind"] == "model"
    assert (new.loc[model, "w1"] != plain.loc[model, "w1"]).all()


def test_baselines_can_be_chosen(cells):
    table = cf.bench.holdout(cells, "hours", baselines="OT interpolation", write=False, **FEW)
    assert set(table.loc[table["kind"] == "baseline", "method"]) == {"OT interpolation"}
    with pytest.raises(InputError, match="did you mean 'OT interpolation'"):
        cf.bench.holdout(cells, "hours", baselines="OT interpolatoin", **FEW)


def test_untimed_cells_take_no_part(cells):
    whole = cf.bench.holdout(cells[5:].copy(), "hours", write=False, **FEW)
    cells.obs.loc[cells.obs_names[:5], "hours"] = np.nan
    some = cf.bench.holdout(cells, "hours", write=False, **FEW)
    np.testing.assert_allclose(some["w1"], whole["w1"], rtol=1e-3)


# Leaks --------------------------------------------------------------------------------------------


def changed(adata, t, factor):
    """The cells of one time replaced by others, in expression and representation."""
    adata = adata.copy()
    here = (adata.obs["hours"] == t).to_numpy()
    x = adata.X.toarray()
    x[here] = x[here][:, ::-1] * factor
    adata.X = sp.csr_matrix(x)
    sc.pp.pca(adata, n_comps=4)
    return adata


def test_without_leaks_a_prediction_knows_nothing_of_the_hidden_cells(cells):
    sc.pp.pca(cells, n_comps=4)
    other = changed(cells, 12.0, 3.0)
    for adata in (cells, other):
        cf.bench.holdout(adata, "hours", **FEW)
    one, two = (a.uns["cf_holdout"]["clouds"]["time_12.0"] for a in (cells, other))
    np.testing.assert_array_equal(one["ot-cfm, P1"]["x"], two["ot-cfm, P1"]["x"])
    assert not np.array_equal(one["observed"]["x"], two["observed"]["x"])


def test_the_refitted_pca_is_that_of_the_other_cells(cells):
    refit, reason = refit_of(cells, use_rep="pca", n_dims=3)
    assert not reason
    seen = np.flatnonzero(cells.obs["hours"] != 12.0)
    positions = refit.coordinates(seen)
    x = cells.X.toarray().astype(np.float64)
    centred = x - x[seen].mean(axis=0)
    axes = np.linalg.svd(centred[seen], full_matrices=False)[2][:3]
    np.testing.assert_allclose(np.abs(positions), np.abs(centred @ axes.T), rtol=1e-3, atol=1e-4)


def counts_of(seed=0, n=90, genes=40):
    """Cells in three groups, sequenced to two depths."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(2.0, 1.5, size=(3, genes))
    counts = rng.poisson(
        np.repeat(rate, n // 3, axis=0) * np.where(np.arange(n) % 2, 1.0, 3.0)[:, None]
    )
    return ad.AnnData(sp.csr_matrix(counts.astype(np.float32)), obs=make_cells().obs.copy())


def logged(adata, target=1e4):
    adata = adata.copy()
    sc.pp.normalize_total(adata, target_sum=target)
    sc.pp.log1p(adata)
    return adata


def with_pca(adata, n=4, **arguments):
    sc.pp.pca(adata, n_comps=n, **arguments)
    return adata


def test_counts_are_normalised_and_the_callers_stay_as_they_are(frozen):
    adata = with_pca(logged(counts_of()))
    adata.X = counts_of().X
    with frozen(adata):
        refit, _ = refit_of(adata, use_rep="X_pca", n_dims=4)
        assert refit.linear
        positions = refit.coordinates(np.arange(60))
    assert positions.shape == (90, 4)
    scaled = adata.copy()
    scaled.X = sp.csr_matrix(
        adata.X.toarray() * np.repeat([1.0, 3.0], 45)[:, None].astype(np.float32)
    )
    again = refit_of(scaled, use_rep="X_pca", n_dims=4)[0].coordinates(np.arange(60))
    np.testing.assert_allclose(again, positions, atol=1e-3)  # depth of sequencing is divided out


def test_variable_genes_are_chosen_anew(cells):
    cells.var["some"] = np.arange(12) < 7
    with_pca(cells, mask_var="some")
    refit, _ = refit_of(cells, use_rep="X_pca", n_dims=4)
    assert refit.n_genes == 7
    assert refit.coordinates(np.arange(60)).shape == (90, 4)


# Whether the coordinates are a PCA of the expression: by their values, not their name -------------


def shifted(cells):
    """What a correction for batches does, where many put it so that other tools find it."""
    with_pca(cells)
    batch = np.arange(cells.n_obs) % 3 == 0
    cells.obsm["X_pca"][batch] += np.array([1.5, 0.0, 0.0, 0.5], dtype=np.float32)


def renamed(cells):
    with_pca(cells)
    for slot, key in ((cells.obsm, "X_pca"), (cells.varm, "PCs"), (cells.uns, "pca")):
        slot["pca_hvg"] = slot.pop(key)


def changed_to(change):
    def apply(cells):
        with_pca(cells)
        cells.obsm["X_pca"] = change(cells.obsm["X_pca"]).astype(np.float32)

    return apply


def of_a_layer(cells):
    cells.layers["scaled"] = np.asarray(cells.X.toarray()) ** 2
    with_pca(cells, layer="scaled")


def scaled_elsewhere(cells):
    x = cells.X.copy()
    cells.X = cells.X.toarray()
    sc.pp.scale(cells)
    with_pca(cells)
    cells.X = x


def of_some_genes(cells):
    cells.var["highly_variable"] = np.arange(12) % 3 > 0
    with_pca(cells)


def of_some_genes_without_loadings(cells):
    of_some_genes(cells)
    del cells.varm["PCs"]


def of_other_cells(cells):
    """Projected onto axes along which other cells vary most, and these do not."""
    x = cells.X.toarray()
    axes = with_pca(cells.copy()).varm["PCs"]
    others = np.random.default_rng(0).normal(size=(90, 4)) * [0.1, 0.2, 5.0, 9.0]
    atlas = with_pca(ad.AnnData((others @ axes.T).astype(np.float32)), n=2)
    cells.varm["PCs"] = atlas.varm["PCs"]
    cells.obsm["X_pca"] = (x @ atlas.varm["PCs"]).astype(np.float32)


def with_signal_left_out(cells):
    """Strong variation that is no part of the coordinates."""
    x = cells.X.toarray()
    x[:, 3] += np.where(np.arange(90) % 2, 20.0, 0.0)
    cells.X = x
    with_pca(cells, n=5)
    cells.obsm["X_pca"] = cells.obsm["X_pca"][:, 1:].copy()
    del cells.varm["PCs"]


def of_most_cells(cells):
    """A few cells were taken away afterwards."""
    with_pca(cells)
    cells._inplace_subset_obs(np.arange(90) % 15 > 0)


def counts_beside(target):
    def apply(cells):
        made = with_pca(logged(counts_of(), target))
        made.X = counts_of().X
        return made

    return apply


def sparse_loadings(cells):
    with_pca(cells)
    cells.varm["PCs"] = sp.csr_matrix(cells.varm["PCs"])


def text_for_loadings(cells):
    with_pca(cells)
    cells.varm["PCs"] = np.full((12, 4), "a")


IS_A_PCA = {
    "as scanpy makes it": with_pca,
    "under key_added": renamed,
    "without loadings": lambda cells: with_pca(cells).varm.pop("PCs"),
    "sparse loadings": sparse_loadings,
    "text for loadings": text_for_loadings,
    "flipped signs": changed_to(lambda x: x * [-1, 1, -1, 1]),
    "permuted columns": changed_to(lambda x: x[:, [2, 0, 3, 1]]),
    "rotated": changed_to(
        lambda x: x @ np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    ),
    "moved by a constant": changed_to(lambda x: x + 5.0),
    "fewer components": changed_to(lambda x: x[:, :2]),
    "not centred": lambda cells: with_pca(cells, zero_center=False),
    "not centred, not recorded": lambda cells: with_pca(cells, zero_center=False).uns.pop("pca"),
    "dense": lambda cells: with_pca(setattr(cells, "X", cells.X.toarray()) or cells),
    "a sparse array": lambda cells: with_pca(setattr(cells, "X", sp.csc_matrix(cells.X)) or cells),
    "of a layer": of_a_layer,
    "of some genes": of_some_genes,
    "of some genes, without loadings": of_some_genes_without_loadings,
    "of a few cells more": of_most_cells,
    "of counts as they are": lambda cells: with_pca(counts_of()),
    "counts beside, 10,000": counts_beside(1e4),
    "counts beside, median": counts_beside(None),
    "counts beside, a million": counts_beside(1e6),
}
IS_NONE = {
    "corrected for batches": shifted,
    "corrected by little": changed_to(
        lambda x: x + (np.arange(90) % 3 == 0)[:, None] * [0.2, 0, 0, 0]
    ),
    "one cell far away": changed_to(lambda x: x + (np.arange(90) == 7)[:, None] * 9.0),
    "whitened": changed_to(lambda x: x / x.std(axis=0)),
    "stretched": changed_to(lambda x: x * 2.0),
    "bent": changed_to(np.tanh),
    "noise": changed_to(lambda x: np.random.default_rng(0).normal(size=x.shape)),
    "cells exchanged": changed_to(lambda x: x[::-1]),
    "some cells moved": changed_to(lambda x: x + (np.arange(90) < 9)[:, None] * 2.0),
    "the first component left out": with_signal_left_out,
    "of scaled values, beside unscaled ones": scaled_elsewhere,
    "of other cells": of_other_cells,
}


@pytest.mark.parametrize("case", IS_A_PCA)
def test_a_pca_is_known_by_its_values(cells, case, frozen):
    """Made again from all cells it is the same, but for the choice of genes."""
    made = IS_A_PCA[case](cells)
    adata = made if isinstance(made, ad.AnnData) else cells
    key = "pca_hvg" if "pca_hvg" in adata.obsm else "X_pca"
    stored = adata.obsm[key]
    with frozen(adata):
        refit, reason = refit_of(adata, use_rep=key, n_dims=stored.shape[1])
    assert reason == ""
    again = refit.coordinates(np.arange(adata.n_obs))
    if refit.n_genes == adata.n_vars:
        assert difference_of(stored, again) < (0.3 if case == "of a few cells more" else 0.01)
    else:
        assert (refit.n_genes, adata.n_vars) == (8, 12)
    assert ("adata.layers['scaled']" in refit.label) == (case == "of a layer")
    assert ("normalised, logged" in refit.label) == case.startswith("counts beside")


@pytest.mark.parametrize("case", IS_NONE)
def test_what_is_no_pca_is_known_by_its_values(cells, case, frozen):
    IS_NONE[case](cells)
    with frozen(cells):
        refit, reason = refit_of(cells, use_rep="X_pca", n_dims=cells.obsm["X_pca"].shape[1])
    assert refit is None
    assert "adata.obsm['X_pca'] is not the PCA of adata.X" in reason
    assert ("made with other cells" in reason) == (case == "of other cells")


def no_expression(adata):
    empty = ad.AnnData(obs=adata.obs, obsm=dict(adata.obsm))
    return empty, {}


def another_representation(adata):
    adata.obsm["X_scvi"] = np.tanh(adata.obsm["X_pca"])
    return adata, {"use_rep": "X_scvi"}


@pytest.mark.parametrize("case", [no_expression, another_representation])
def test_a_leak_that_cannot_be_closed_is_said(cells, case):
    adata, arguments = case(cells)
    with pytest.warns(InputWarning, match="leak_free=True, but .* have seen the held-out cells"):
        table = cf.bench.holdout(adata, "hours", **FEW, **arguments)
    assert set(table["representation"]) == {LEAKY}
    asked = cf.bench.holdout(adata, "hours", leak_free=False, write=False, **FEW, **arguments)
    np.testing.assert_array_equal(asked["w1"], table["w1"])
    assert set(asked["representation"]) == {LEAKY}
    said = seen_by(arguments.get("use_rep", "X_pca"))
    assert table.attrs["verdict"].endswith(said)
    assert asked.attrs["verdict"] == table.attrs["verdict"]


def test_a_corrected_embedding_is_judged_in_its_own_coordinates(cells):
    """Whatever it is called; the warning says what was done, and the verdict what it is worth."""
    shifted(cells)
    with pytest.warns(
        InputWarning,
        match=(
            "X_pca.* is not the PCA of adata.X: .* % of its spread. Snapshots are held out in these"
        ),
    ):
        table = cf.bench.holdout(cells, "hours", **FEW)
    given = cf.bench.holdout(cells, "hours", leak_free=False, write=False, **FEW)
    np.testing.assert_array_equal(given["w1"], table["w1"])
    assert seen_by("X_pca") in cells.uns["cf_holdout"]["verdict"]


def test_a_layer_that_is_asked_for_is_taken_and_said(cells):
    """The user decides what the PCA is made of; that a fit uses other coordinates is said."""
    with_pca(cells)
    cells.layers["other"] = cells.X.toarray() ** 2
    with pytest.warns(
        InputWarning,
        match=r"not the PCA of adata.layers\['other'\].*made again from .* in other coordinates",
    ):
        table = cf.bench.holdout(cells, "hours", layer="other", **FEW)
    assert "in other coordinates than a fit uses" in table["representation"].iloc[0]
    same = cf.bench.holdout(cells, "hours", layer=None, write=False, **FEW)
    assert not np.array_equal(same["w1"], table["w1"])


def test_expression_itself_needs_no_refit(cells):
    table = cf.bench.holdout(cells, "hours", use_rep="X", **FEW)
    assert set(table["representation"]) == {"X: nothing is fitted"}


def test_expression_that_is_no_logarithm_is_logged_where_the_pca_was(cells):
    cells.X = cells.X.expm1() * 100.25
    linear = cells.X.copy()
    cells = with_pca(logged(cells))
    cells.X = linear
    table = cf.bench.holdout(cells, "hours", **FEW)
    assert set(table["representation"]) == {
        "PCA of normalised, logged expression, made without the held-out cells"
    }
    refit, _ = refit_of(cells, use_rep="X_pca", n_dims=4)
    seen = np.arange(60)
    expected = replace(refit, values=logged(cells).X, linear=False).coordinates(seen)
    np.testing.assert_allclose(refit.coordinates(seen), expected, atol=1e-3)


def test_variable_genes_that_cannot_be_told(cells):
    cells.var["some"] = np.arange(12) < 7
    x = cells.X.toarray() * 1000.0
    x[0] = -1000.0
    cells.X = x
    with_pca(cells, mask_var="some")
    with pytest.raises(InputError, match="7 most variable of 12 genes cannot be found"):
        cf.bench.holdout(cells, "hours", **FEW)


def test_expression_that_was_centred_on_all_cells_is_pointed_out(cells):
    x = cells.X.toarray()
    cells.X = (x - x.mean(axis=0)) / x.std(axis=0)
    with_pca(cells)
    with pytest.warns(InputWarning, match="mean zero over all cells"):
        table = cf.bench.holdout(cells, "hours", **FEW)
    assert set(table["representation"]) == {
        "PCA of the expression, made without the held-out cells, which was centred with them"
    }


def test_expression_that_is_not_finite_is_refused(cells, frozen):
    cells.X = cells.X.toarray()
    cells.X[3, 4] = np.nan
    with frozen(cells), pytest.raises(InputError, match="not finite everywhere"):
        cf.bench.holdout(cells, "hours", **FEW)


@pytest.mark.parametrize("change", [lambda x: x, lambda x: x[:, ::-1]])
def test_too_many_dimensions_for_the_other_cells(cells, change):
    """All genes are a PCA with as many components."""
    x = cells.X.toarray() + np.random.default_rng(0).normal(size=(90, 12))
    cells.X = x.astype(np.float32)
    cells.obsm["X_pca"] = change(cells.X)
    with pytest.raises(InputError, match="too few for 12 principal components"):
        cf.bench.holdout(cells, "hours", **FEW)


# Arguments ----------------------------------------------------------------------------------------


def test_two_snapshots_have_nothing_to_hold_out(cells, frozen):
    two = cells[cells.obs["hours"] != 12.0].copy()
    with (
        frozen(two),
        pytest.raises(InputError, match="2 snapshots only, at 0, 48: nothing can be held out"),
    ):
        cf.bench.holdout(two, "hours", **FEW)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"times": 48.0}, r"48 is an end.*inner times \[12\.0\]"),
        ({"times": [13]}, r"13 has no snapshot.*inner times \[12\.0\]"),
        ({"methods": "ot-cmf"}, "did you mean 'ot-cfm'"),
        ({"layer": "raw"}, "layers"),
        ({"use_rep": "umap"}, "embedding for drawing"),
    ],
)
def test_arguments_that_cannot_be(cells, frozen, arguments, says):
    with frozen(cells), pytest.raises(InputError, match=says):
        cf.bench.holdout(cells, "hours", **(FEW | arguments))


def test_an_interruption_changes_nothing(cells, frozen, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cellflow.evaluation.methods.fit", stop)
    with frozen(cells), pytest.raises(KeyboardInterrupt):
        cf.bench.holdout(cells, "hours", **FEW)


def test_cell_types_count_where_there_are_some(cells):
    """In the table, the verdict and the record; models by their first seed."""
    cells.obs["kind"] = pd.Categorical(np.where(cells.obsm["X_pca"][:, 1] > 0, "up", "down"))
    cells.obs.loc[cells.obs_names[:5], "kind"] = np.nan
    table = cf.bench.holdout(cells, "hours", seeds=(0, 1), cluster_key="kind", **FEW)
    record = cells.uns["cf_holdout"]
    error = table["composition_error"]
    assert list(table.columns).index("composition_error") == list(table.columns).index("c2st") + 1
    kept = (table["kind"] == "baseline") | (table["seed"] == 0).fillna(value=False)
    assert error[kept].between(0, 1).all()
    assert error[~kept].isna().all()
    assert "are in a wrong type, by interpolation" in table.attrs["verdict"]
    assert set(record["comparisons"]["measure"]) == {
        "w1",
        "energy",
        "variance_ratio",
        "composition",
    }
    assert record["params"]["cluster_key"] == "kind"


@pytest.mark.parametrize(
    ("column", "error", "said"),
    [
        (
            "Kind",
            MissingKeyError,
            r"adata.obs\['Kind'\] is missing.*Pass cluster_key=.*did you mean 'kind'",
        ),
        (3, InputTypeError, "cluster_key=3"),
        ("empty", InputError, "holds no value for any cell"),
        ("score", InputError, "holds numbers with fractions"),
    ],
)
def test_a_column_of_types_is_checked_before_any_work(cells, frozen, column, error, said):
    cells.obs["kind"], cells.obs["empty"], cells.obs["score"] = "a", np.nan, 0.5
    with frozen(cells), pytest.raises(error, match=said):
        cf.bench.holdout(cells, "hours", cluster_key=column, **FEW)


def test_barcodes_are_tried_beside_each_recipe():
    adata = make_cells(180)
    place = adata.obsm["X_pca"][:, 0].reshape(3, -1)
    adata.obs["clone"] = (place.argsort(axis=1).argsort(axis=1) // 3).ravel()
    table = cf.bench.holdout(adata, "hours", lineage_key="clone", **FEW)
    models = table[(table["kind"] == "model") & (table["protocol"] == "P1")]
    assert models["method"].tolist() == ["ot-cfm", "ot-cfm, barcodes"]
    assert models["w1"].nunique() == 2
    assert adata.uns["cf_holdout"]["params"]["lineage_key"] == "clone"
    adata.obs["clone"] = [
        f"{clone} at {t:g}" for clone, t in adata.obs[["clone", "hours"]].to_numpy()
    ]
    with pytest.raises(InputError, match="cannot inform a plan"):
        cf.bench.holdout(adata, "hours", lineage_key="clone", **FEW)
