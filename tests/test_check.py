"""`cf.pp.check`: everything that is wrong or odd, at once."""

import anndata as ad
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

import cellflow as cf
from cellflow.errors import InputError


def test_nothing_to_say_about_good_cells(cells, frozen):
    with frozen(cells):
        table = cf.pp.check(cells, "hours")
    assert list(table.columns) == ["severity", "key", "found", "expected", "remedy"]
    assert table.empty


def test_errors_first_each_with_a_remedy(cells, frozen):
    cells.obsm["X_pca"][:, 0] = 0.0
    cells.obsm["X_pca"][4, 1] = np.nan
    cells.obs["hours"] = ["late", *["3"] * 89]
    with frozen(cells):
        table = cf.pp.check(cells, "hours", weight_key="none")
    assert table["severity"].tolist() == ["error"] * 3
    assert table["key"].tolist() == [
        "adata.obs['hours']",
        "adata.obs['none']",
        "adata.obsm['X_pca']",
    ]
    assert (table["remedy"].str.len() > 10).all()


def test_warnings_and_notes(cells):
    cells.obsm["X_pca"][:, 3] = 1.0
    cells.obsm["X_pca"][8, 1] = 1000.0
    cells.obs.loc["cell3", "hours"] = np.nan
    table = cf.pp.check(cells, "hours").set_index("severity")
    assert table.loc["warning", "found"].str.contains("constant|extremely far").all()
    assert "no time for 1 of 90" in table.loc["note", "found"]


def broken_layer(kind, bad):
    x = np.ones((90, 12))
    x[70, 5] = x[40, 9] = bad
    return KINDS[kind](x)


KINDS = {
    "array": np.asarray,
    "csr": sp.csr_matrix,
    "csc": sp.csc_array,
    "dask": lambda x: da.from_array(x, chunks=(8, 5)),
}


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [None, "smooth"])
def test_expression_that_no_decoder_can_be_fitted_to(cells, kind, bad, layer):
    """What is found here is what `cf.tl.flow` stops at, wherever it is and however it is stored."""
    value = broken_layer(kind, bad)
    if layer is None:
        cells.X = value
    else:
        cells.layers[layer] = value
    table = cf.pp.check(cells, "hours", layer=layer)
    assert table["severity"].tolist() == ["error"]
    assert table.loc[0, "key"] == ("adata.X" if layer is None else "adata.layers['smooth']")
    assert table.loc[0, "found"] == "is not finite in 2 genes (first: 'gene5'; cell 'cell40')"
    with pytest.raises(InputError, match="not finite"):
        cf.tl.flow(cells, "hours", layer=layer)


def test_expression_of_another_kind_or_place(cells):
    cells.layers["words"] = np.full(cells.shape, 1j)
    for layer, said in {"words": "has dtype complex128", "wrods": "is missing"}.items():
        table = cf.pp.check(cells, "hours", layer=layer)
        assert table["found"].tolist() == [said]
        with pytest.raises(InputError, match=said) as caught:
            cf.tl.flow(cells, "hours", layer=layer)
        assert table.loc[0, "remedy"] in str(caught.value)


def test_one_finding_once(cells):
    """The genes may be the representation, too; those beyond n_dims are decoded to all the same."""
    cells.X = cells.X.toarray()
    cells.X[3, 1] = np.nan
    table = cf.pp.check(cells, "hours", use_rep="X")
    assert table["found"].tolist() == ["has 1 NaN (first: cell 'cell3', column 1)"]
    table = cf.pp.check(cells, "hours", use_rep="X", n_dims=1)
    assert table["found"].tolist() == ["is not finite in 1 genes (first: 'gene1'; cell 'cell3')"]


def test_no_expression_is_fine(cells):
    assert cf.pp.check(ad.AnnData(obs=cells.obs, obsm=dict(cells.obsm)), "hours").empty


def test_what_is_no_anndata():
    table = cf.pp.check(np.zeros((3, 2)), "hours")
    assert table.loc[0, "found"] == "is of type ndarray"


def test_the_table_is_shown_in_full(cells, monkeypatch):
    """Every word is in the text and in the HTML; pandas cuts sentences off at 50 characters."""
    monkeypatch.setenv("COLUMNS", "160")  # wide enough for no word to be broken
    cells.obsm["X_pca"][4, 1] = np.nan
    cells.obs["a_column_with_a_long_name"] = 1.0
    table = cf.pp.check(cells, "hours", weight_key="none")
    words = " ".join(table.to_numpy().ravel()).split()
    assert len(words) > 20
    for text in (repr(table), str(table)):
        assert set(words) <= set(text.split())
        assert "..." not in text
    html = table._repr_html_()
    assert "<script" not in html
    shown = html.replace("&#x27;", "'").replace("<", " <").replace(">", "> ").split()
    assert set(words) <= set(shown)


def test_an_empty_table_says_so_and_a_part_is_a_table_of_pandas(cells):
    table = cf.pp.check(cells, "hours")
    assert repr(table) == "No errors, warnings or notes."
    assert "No errors" in table._repr_html_()
    assert "Columns: [key, found]" in repr(table[["key", "found"]])
    assert "<table" in table[["key"]]._repr_html_()
