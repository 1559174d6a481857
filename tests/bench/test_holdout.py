"""`cf.bench.holdout`: AnnData in, table out, and what stays in `uns`."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import cellflow as cf
from cellflow.adapter.representation import LEAKY, refit_of
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
    assert set(table["representation"]) == {"PCA of the expression, made without the held-out cells"}


def test_the_verdict_is_logged(cells, caplog):
    with caplog.at_level("INFO", logger="cellflow"):
        table = cf.bench.holdout(cells, "hours", **FEW)
    assert table.attrs["verdict"] in caplog.messages


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # zarr's and anndata's own, about formats
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


def test_a_copy_leaves_the_cells_alone(cells, frozen):
    with frozen(cells):
        table = cf.bench.holdout(cells, "hours", copy=True, **FEW)
    assert len(table) == 9
    cells.uns["cf_holdout"] = "mine"
    with pytest.raises(InputError, match="another key_added"):
        cf.bench.holdout(cells, "hours", **FEW)
    cf.bench.holdout(cells, "hours", overwrite=True, **FEW)
    assert "table" in cells.uns["cf_holdout"]


def test_untimed_cells_take_no_part(cells):
    whole = cf.bench.holdout(cells[5:].copy(), "hours", copy=True, **FEW)
    cells.obs.loc[cells.obs_names[:5], "hours"] = np.nan
    some = cf.bench.holdout(cells, "hours", copy=True, **FEW)
    np.testing.assert_allclose(some["w1"], whole["w1"], rtol=1e-3)


# Leaks --------------------------------------------------------------------------------------------------------------


def changed(adata, t, factor):
    """The cells of one time replaced by others, in expression and representation."""
    adata = adata.copy()
    here = (adata.obs["hours"] == t).to_numpy()
    x = adata.X.toarray()
    x[here] = x[here][:, ::-1] * factor
    adata.X = sp.csr_matrix(x)
    adata.obsm["X_pca"][here] *= factor
    return adata


def test_without_leaks_a_prediction_knows_nothing_of_the_hidden_cells(cells):
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


def test_counts_are_normalised_and_the_callers_stay_as_they_are(frozen):
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, size=(90, 40)).astype(np.float32)
    counts[45:] *= 2.0
    adata = ad.AnnData(sp.csr_matrix(counts), obs=make_cells().obs.copy())
    adata.obsm["X_pca"] = rng.normal(size=(90, 4)).astype(np.float32)
    with frozen(adata):
        refit, _ = refit_of(adata, use_rep="X_pca", n_dims=4)
        assert refit.linear
        positions = refit.coordinates(np.arange(60))
    assert positions.shape == (90, 4)
    scaled = adata.copy()
    scaled.X = sp.csr_matrix(counts * np.repeat([1.0, 3.0], 45)[:, None].astype(np.float32))
    again = refit_of(scaled, use_rep="X_pca", n_dims=4)[0].coordinates(np.arange(60))
    np.testing.assert_allclose(again, positions, atol=1e-3)  # depth of sequencing is divided out


def test_variable_genes_are_chosen_anew(cells):
    adata = cells.copy()
    adata.varm["PCs"][7:] = 0.0
    refit, _ = refit_of(adata, use_rep="X_pca", n_dims=4)
    assert refit.n_genes == 7
    assert refit.coordinates(np.arange(60)).shape == (90, 4)


def no_expression(adata):
    empty = ad.AnnData(obs=adata.obs, obsm=dict(adata.obsm))
    return empty, {}


def another_representation(adata):
    adata.obsm["X_scvi"] = adata.obsm["X_pca"]
    return adata, {"use_rep": "X_scvi"}


@pytest.mark.parametrize("case", [no_expression, another_representation])
def test_a_leak_that_cannot_be_closed_is_said(cells, case):
    adata, arguments = case(cells)
    with pytest.warns(InputWarning, match="leak_free=True, but .* has seen the held-out cells"):
        table = cf.bench.holdout(adata, "hours", **FEW, **arguments)
    assert set(table["representation"]) == {LEAKY}
    asked = cf.bench.holdout(adata, "hours", leak_free=False, copy=True, **FEW, **arguments)
    np.testing.assert_array_equal(asked["w1"], table["w1"])
    assert set(asked["representation"]) == {LEAKY}


def test_expression_itself_needs_no_refit(cells):
    table = cf.bench.holdout(cells, "hours", use_rep="X", **FEW)
    assert set(table["representation"]) == {"X: nothing is fitted"}


def test_expression_that_is_no_logarithm_is_logged_and_said(cells):
    logged = cells.copy()
    cells.X = cells.X.expm1() * 100.25
    with pytest.warns(InputWarning, match="neither whole counts nor a logarithm.*normalised to 10,000 a cell and logged"):
        table = cf.bench.holdout(cells, "hours", **FEW)
    assert set(table["representation"]) == {"PCA of normalised, logged expression, made without the held-out cells"}
    refit, _ = refit_of(logged, use_rep="X_pca", n_dims=4)
    logged.X = logged.X.expm1()
    sc.pp.normalize_total(logged, target_sum=1e4)
    sc.pp.log1p(logged)
    seen = np.arange(60)
    expected = replace(refit, values=logged.X).coordinates(seen)
    with pytest.warns(InputWarning, match="logged"):
        found = refit_of(cells, use_rep="X_pca", n_dims=4)[0].coordinates(seen)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_variable_genes_that_cannot_be_told(cells):
    x = cells.X.toarray() * 1000.0
    x[0] = -1000.0
    cells.X = x
    cells.varm["PCs"][7:] = 0.0
    with (
        pytest.warns(InputWarning, match="as it is"),
        pytest.raises(InputError, match="7 most variable of 12 genes cannot be told"),
    ):
        cf.bench.holdout(cells, "hours", **FEW)


def test_expression_that_was_centred_on_all_cells_is_pointed_out(cells):
    x = cells.X.toarray()
    cells.X = (x - x.mean(axis=0)) / x.std(axis=0)
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


def test_too_many_dimensions_for_the_other_cells(cells):
    cells.obsm["X_pca"] = np.random.default_rng(0).normal(size=(90, 12)).astype(np.float32)
    with pytest.raises(InputError, match="too few for 12 principal components"):
        cf.bench.holdout(cells, "hours", **FEW)


# Arguments ----------------------------------------------------------------------------------------------------------


def test_two_snapshots_have_nothing_to_hold_out(cells, frozen):
    two = cells[cells.obs["hours"] != 12.0].copy()
    with frozen(two), pytest.raises(InputError, match="2 snapshots only, at 0, 48: nothing can be held out"):
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

    monkeypatch.setattr("cellflow.benchmark.methods.fit", stop)
    with frozen(cells), pytest.raises(KeyboardInterrupt):
        cf.bench.holdout(cells, "hours", **FEW)


def test_cell_types_count_where_there_are_some(cells):
    """In the table, the verdict and the record; of every baseline, and of models by their first seed."""
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
    assert set(record["comparisons"]["measure"]) == {"w1", "energy", "variance_ratio", "composition"}
    assert record["params"]["cluster_key"] == "kind"


@pytest.mark.parametrize(
    ("column", "error", "said"),
    [
        ("Kind", MissingKeyError, r"adata.obs\['Kind'\] is missing.*Pass cluster_key=.*did you mean 'kind'"),
        (3, InputTypeError, "cluster_key=3 is no text"),
        ("empty", InputError, "holds no value for any cell"),
        ("score", InputError, "holds numbers with fractions"),
    ],
)
def test_a_column_of_types_is_checked_before_any_work(cells, frozen, column, error, said):
    cells.obs["kind"], cells.obs["empty"], cells.obs["score"] = "a", np.nan, 0.5
    with frozen(cells), pytest.raises(error, match=said):
        cf.bench.holdout(cells, "hours", cluster_key=column, **FEW)
