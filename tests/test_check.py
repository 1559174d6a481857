"""`cf.pp.check`: everything that is wrong or odd, at once."""

import numpy as np

import cellflow as cf


def test_nothing_to_say_about_good_cells(cells, frozen):
    with frozen(cells):
        table = cf.pp.check(cells, time_key="hours")
    assert list(table.columns) == ["severity", "key", "found", "expected", "remedy"]
    assert table.empty


def test_errors_first_each_with_a_remedy(cells, frozen):
    cells.obsm["X_pca"][:, 0] = 0.0
    cells.obsm["X_pca"][4, 1] = np.nan
    cells.obs["hours"] = ["late", *["3"] * 89]
    with frozen(cells):
        table = cf.pp.check(cells, time_key="hours", weight_key="none")
    assert table["severity"].tolist() == ["error"] * 3
    assert table["key"].tolist() == ["adata.obs['hours']", "adata.obs['none']", "adata.obsm['X_pca']"]
    assert (table["remedy"].str.len() > 10).all()


def test_warnings_and_notes(cells):
    cells.obsm["X_pca"][:, 3] = 1.0
    cells.obsm["X_pca"][8, 1] = 1000.0
    cells.obs.loc["cell3", "hours"] = np.nan
    table = cf.pp.check(cells, time_key="hours").set_index("severity")
    assert "constant" in table.loc["warning", "found"]
    assert table.loc["note", "found"].str.contains("outliers|no time for 1 of 90").all()


def test_what_is_no_anndata():
    table = cf.pp.check(np.zeros((3, 2)), time_key="hours")
    assert table.loc[0, "found"] == "is of type ndarray"
