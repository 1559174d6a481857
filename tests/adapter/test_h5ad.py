"""What an h5ad can hold is known before any work."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cellflow.adapter.h5ad import check_storable, write_h5ad
from cellflow.errors import InputError

DAYS = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"])


def with_obs(values):
    return ad.AnnData(np.ones((3, 2)), obs=pd.DataFrame({"column": values}, index=list("abc")))


def with_uns(value):
    return ad.AnnData(np.ones((3, 2)), uns={"entry": value})


def raw():
    cells = with_obs([1, 2, 3])
    cells.raw = cells.copy()
    return cells


def raw_with(values):
    cells = raw()
    cells.raw.var["column"] = values
    return cells


STORABLE = {
    "nullable text": lambda: with_obs(pd.array(["a", None, "b"], dtype="string")),
    "names of nullable text": lambda: ad.AnnData(
        np.ones((3, 2)), obs=pd.DataFrame(index=pd.Index(pd.array(list("abc"), dtype="string")))
    ),
    "categories of nullable text": lambda: with_obs(
        pd.Categorical(pd.array(["a", None, "b"], dtype="string"))
    ),
    "nullable integers": lambda: with_obs(pd.array([1, None, 3], dtype="Int64")),
    "nullable booleans": lambda: with_obs(pd.array([True, None, False], dtype="boolean")),
    "a column with a slash": lambda: ad.AnnData(
        np.ones((3, 2)), obs=pd.DataFrame({"a/b": [1, 2, 3]}, index=list("abc"))
    ),
    "sparse matrices": lambda: ad.AnnData(
        sp.eye(3, 2, format="csc"), obsp={"d": sp.eye(3, format="csr")}
    ),
    "a table in obsm": lambda: ad.AnnData(
        np.ones((3, 2)), obsm={"t": pd.DataFrame({"x": list("uvw")}, index=list("012"))}
    ),
    "raw": raw,
    "no expression": lambda: ad.AnnData(obs=pd.DataFrame(index=list("abc"))),
    "text in uns": lambda: with_uns({"deep": np.array(["a", "b"], dtype=object)}),
}
NOT = {
    "dates": lambda: with_obs(DAYS),
    "time differences": lambda: with_obs(DAYS - DAYS[0]),
    "dates with a zone": lambda: with_obs(DAYS.tz_localize("UTC")),
    "periods": lambda: with_obs(pd.period_range("2020", periods=3)),
    "intervals": lambda: with_obs(pd.interval_range(0, 3)),
    "mixed objects": lambda: with_obs([1, "a", None]),
    "lists": lambda: with_obs([[1], [2], [3]]),
    "a tuple": lambda: with_uns((1, 2)),
    "an object": lambda: with_uns(object()),
    "a function": lambda: with_uns(len),
    "a set": lambda: with_uns({"deep": {1, 2}}),
    "a slash in uns": lambda: with_uns({"a/b": 1}),
    "a slash in obsm": lambda: ad.AnnData(np.ones((3, 2)), obsm={"a/b": np.ones((3, 1))}),
    "a number as a key": lambda: with_uns({1: 2}),
    "dates in an array": lambda: with_uns(DAYS.to_numpy()),
    "objects in a layer": lambda: ad.AnnData(np.ones((3, 2)), layers={"o": np.full((3, 2), None)}),
    "dates in obsm": lambda: ad.AnnData(
        np.ones((3, 2)), obsm={"t": pd.DataFrame({"x": DAYS}, index=list("012"))}
    ),
    "dates of raw": lambda: raw_with(DAYS[:2]),
}


@pytest.mark.parametrize("case", STORABLE)
def test_what_can_be_stored_comes_back(case, tmp_path, frozen):
    cells = STORABLE[case]()
    settings = ad.settings.allow_write_nullable_strings
    with frozen(cells):
        check_storable(cells)
        write_h5ad(cells, tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert list(again.obs_names) == list(cells.obs_names)
    for name in cells.obs:
        known = cells.obs[name].notna()
        assert again.obs[name].notna().tolist() == known.tolist()
        assert again.obs.loc[known, name].tolist() == cells.obs.loc[known, name].tolist()
    assert set(again.uns) == set(cells.uns)
    assert (again.raw is None) == (cells.raw is None)
    assert ad.settings.allow_write_nullable_strings == settings


@pytest.mark.parametrize("case", NOT)
def test_what_cannot_be_stored_is_named_by_the_check_and_by_the_writer(case, tmp_path):
    for attempt in (check_storable, lambda cells: write_h5ad(cells, tmp_path / "a.h5ad")):
        with pytest.raises(
            InputError, match=r"cannot be stored as an h5ad, adata\.(obs|uns|obsm|layers|raw): "
        ):
            attempt(NOT[case]())
    assert not list(tmp_path.iterdir())


def test_the_file_is_what_anndata_writes(cells, tmp_path):
    import h5py

    cells.write_h5ad(tmp_path / "theirs.h5ad", convert_strings_to_categoricals=False)
    write_h5ad(cells, tmp_path / "ours.h5ad")

    def contents(name):
        found = {}
        with h5py.File(tmp_path / name) as file:
            found["/"] = sorted(file.attrs.items())
            file.visititems(
                lambda key, item: found.update(
                    {key: (sorted(item.attrs), getattr(item, "dtype", None))}
                )
            )
        return found

    assert contents("ours.h5ad") == contents("theirs.h5ad")


def test_the_check_takes_no_memory_for_arrays(monkeypatch):
    """Tables of the check are whole, arrays by cell are their first row."""
    from cellflow.adapter import h5ad

    seen = []
    original = h5ad._write
    monkeypatch.setattr(
        h5ad, "_write", lambda stream, *rest: (original(stream, *rest), seen.append(stream.tell()))
    )
    check_storable(
        ad.AnnData(
            np.ones((2000, 500)),
            layers={"a": np.ones((2000, 500))},
            obsm={"b": np.ones((2000, 90))},
        )
    )
    assert 0 < seen[0] < 1_000_000


def test_arrays_are_compressed_and_read_back_bit_for_bit(tmp_path):
    """Dense, sparse and text; small arrays are not chunked."""
    rng = np.random.default_rng(0)
    counts = sp.random(900, 300, 0.1, format="csr", dtype=np.float32, random_state=0)
    steps = rng.normal(size=(900, 12, 6)).cumsum(axis=1).reshape(900, -1).astype(np.float32)
    adata = ad.AnnData(
        counts,
        obsm={"cf_trajectory": steps},
        uns={"few": np.arange(3.0), "word": "a", "number": 2.5, "words": np.array(["a", "b"])},
    )
    adata.obs["kind"] = pd.Categorical(["a", "b", "c"] * 300)
    adata.obs["maybe"] = pd.array([True, None, False] * 300, dtype="boolean")
    write_h5ad(adata, tmp_path / "small.h5ad")
    write_h5ad(adata, tmp_path / "large.h5ad", compression=None)
    again = ad.read_h5ad(tmp_path / "small.h5ad")
    whole = ad.read_h5ad(tmp_path / "large.h5ad")
    pd.testing.assert_frame_equal(again.obs, whole.obs)
    np.testing.assert_array_equal(again.X.toarray(), counts.toarray())
    assert again.uns["words"].tolist() == ["a", "b"]
    assert (again.uns["word"], again.uns["number"]) == ("a", 2.5)
    np.testing.assert_array_equal(again.obsm["cf_trajectory"], steps)
    sizes = [(tmp_path / f"{name}.h5ad").stat().st_size for name in ("small", "large")]
    assert sizes[0] < 0.8 * sizes[1]
    with h5py.File(tmp_path / "small.h5ad") as file:
        filters = [
            (file[name].compression, file[name].shuffle)
            for name in ("obsm/cf_trajectory", "X/indices", "obs/_index", "uns/few")
        ]
    assert filters == [("gzip", True), ("gzip", True), ("gzip", False), (None, False)]
