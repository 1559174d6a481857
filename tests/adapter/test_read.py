import logging

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cellflow.adapter import expression, positions
from cellflow.adapter.findings import by_severity
from cellflow.adapter.read import examine, read, read_h5ad, require_anndata
from cellflow.adapter.reading import Reading
from cellflow.errors import (
    InputError,
    InputTypeError,
    InputWarning,
    MissingDataError,
    MissingKeyError,
)

# Containers ---------------------------------------------------------------------------------------


def _memmap(x, folder):
    file = np.memmap(folder / "x.bin", dtype=x.dtype, mode="w+", shape=x.shape)
    file[:] = x
    file.flush()
    return np.memmap(folder / "x.bin", dtype=x.dtype, mode="r", shape=x.shape)


CONTAINERS = {
    "plain": lambda x, _: x,
    "float64": lambda x, _: x.astype(np.float64),
    "big endian": lambda x, _: x.astype(">f4"),
    "Fortran": lambda x, _: np.asfortranarray(x),
    "strided": lambda x, _: np.repeat(x, 2, axis=1)[:, ::2],
    "reversed": lambda x, _: x[::-1, ::-1].copy()[::-1, ::-1],
    "memmap": _memmap,
    "csr_matrix": lambda x, _: sp.csr_matrix(x),
    "csc_matrix": lambda x, _: sp.csc_matrix(x),
    "csr_array": lambda x, _: sp.csr_array(x),
    "csc_array": lambda x, _: sp.csc_array(x),
    "dask": lambda x, _: da.from_array(x, chunks=(7, 2)),
    "masked": lambda x, _: np.ma.masked_array(x, mask=False),
    "DataFrame": lambda x, _: frame(x),
    "nullable": (
        lambda x, _: pd.DataFrame(
            x, index=[f"cell{i}" for i in range(len(x))], columns=list("abcd")
        ).astype("Float64")
    ),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("n_dims", [None, 3])
def test_containers_read_the_same(cells, container, n_dims, tmp_path):
    expected = cells.obsm["X_pca"][:, :n_dims]
    cells.obsm["X_pca"] = CONTAINERS[container](cells.obsm["X_pca"], tmp_path)
    found = read(cells, Reading("hours", n_dims=n_dims))
    np.testing.assert_array_equal(found.x, expected)
    assert found.x.dtype == np.float32
    assert found.x.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint16, np.int64, bool, np.longdouble])
def test_numbers_of_any_type_become_float32(cells, dtype, caplog):
    cells.obsm["X_pca"] = (10 * cells.obsm["X_pca"]).round().clip(0, 100).astype(dtype)
    with caplog.at_level(logging.INFO, logger="cellflow"):
        found = read(cells, Reading("hours"))
    np.testing.assert_array_equal(found.x, cells.obsm["X_pca"].astype(np.float32))
    assert [r.message for r in caplog.records if "float32" in r.message] == [
        f"adata.obsm['X_pca'] has dtype {np.dtype(dtype)}. Expected float32. It is converted."
    ]


@pytest.mark.parametrize(
    "container",
    [np.asarray, sp.csr_matrix, sp.csc_array, lambda x: da.from_array(x, chunks=(9, 5))],
)
def test_few_genes_are_a_representation(cells, container):
    x = cells.X.toarray()
    cells.X = container(x)
    np.testing.assert_array_equal(read(cells, Reading("hours", use_rep="X")).x, x)


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("use_rep", ["X_pca", "X"])
@pytest.mark.parametrize("sparse", [True, False])
def test_backed(cells, mode, use_rep, sparse, tmp_path):
    if not sparse:
        cells.X = cells.X.toarray()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed=mode)
    found = read(backed, Reading("hours", use_rep=use_rep))
    np.testing.assert_array_equal(found.x, read(cells, Reading("hours", use_rep=use_rep)).x)
    rows = expression.expression(backed)[3:9]
    np.testing.assert_array_equal(
        rows.toarray() if sparse else rows, cells.X[3:9].toarray() if sparse else cells.X[3:9]
    )
    backed.file.close()


def test_views_read_like_copies(cells):
    mask = np.random.default_rng(0).random(cells.n_obs) < 0.5
    view = cells[mask]
    np.testing.assert_array_equal(
        read(view, Reading("hours")).x, read(view.copy(), Reading("hours")).x
    )
    assert view.is_view


@pytest.mark.parametrize("spelling", ["X_pca", "pca"])
@pytest.mark.parametrize("stored", ["X_pca", "pca"])
def test_both_spellings_of_a_representation(cells, spelling, stored):
    cells.obsm[stored] = cells.obsm.pop("X_pca")
    assert read(cells, Reading("hours", use_rep=spelling)).use_rep == stored


# What a fit gets ----------------------------------------------------------------------------------


def test_snapshots_hold_the_timed_cells_and_their_rows(cells):
    cells.obs["hours"] = cells.obs["hours"].astype("string") + "h"
    cells.obs.loc[cells.obs_names[::7], "hours"] = pd.NA
    found = read(cells, Reading("hours"))
    assert (found.n_untimed, found.unit, dict(found.labels)["12.0h"]) == (13, "hours", 12.0)
    snapshots = found.snapshots()
    assert snapshots.times.tolist() == [0.0, 12.0, 48.0]
    rows = np.concatenate([p.index for p in snapshots.populations])
    assert sorted(rows) == np.flatnonzero(cells.obs["hours"].notna()).tolist()
    for population in snapshots.populations:
        np.testing.assert_array_equal(population.x, cells.obsm["X_pca"][population.index])


def test_weights_and_masses_reach_the_populations(cells):
    cells.obs["weight"] = np.arange(cells.n_obs, dtype=float)
    cells.obs["size"] = cells.obs["hours"] * 10 + 5
    snapshots = read(cells, Reading("hours", weight_key="weight", mass_key="size")).snapshots()
    assert [p.mass for p in snapshots.populations] == [5.0, 125.0, 485.0]
    for p in snapshots.populations:
        np.testing.assert_allclose(p.weight, p.index / p.index.sum())
    assert snapshots[0].weight[0] == 0.0


def test_prior_growth_reaches_the_populations(cells):
    cells.obs["rate"] = np.linspace(-0.05, 0.05, cells.n_obs)
    cells.obs.loc[cells.obs_names[:3], "hours"] = np.nan
    cells.obs.loc[cells.obs_names[:3], "rate"] = np.nan
    found = read(cells, Reading("hours", growth_key="rate"))
    for p in found.snapshots().populations:
        np.testing.assert_array_equal(p.growth, cells.obs["rate"].to_numpy()[p.index])
    assert Reading.of_params(found.reading.params).growth_key == "rate"
    assert all(p.growth is None for p in read(cells, Reading("hours")).snapshots().populations)


def test_rates_of_another_unit_of_time_are_pointed_out(cells):
    cells.obs["rate"] = np.linspace(-1.0, 1.0, cells.n_obs)
    with pytest.warns(InputWarning, match=r"as others at time 48.*per unit of the time column"):
        read(cells, Reading("hours", growth_key="rate"))


def test_sums_of_weights_are_compared_with_sizes(cells):
    """Weights count within their snapshot; other sums than those of sizes are noted."""
    time = cells.obs["hours"].to_numpy()
    sizes = {0.0: 10.0, 12.0: 20.0, 48.0: 80.0}
    cells.obs["size"] = [sizes[t] for t in time]
    sums = {
        "equal": [1.0, 1.0, 1.0],
        "counts": [np.count_nonzero(time == t) for t in sizes],
        "sizes": list(sizes.values()),
        "other": [3.0, 1.0, 2.0],
    }
    masses = {}
    for name, total in sums.items():
        each = {t: s / np.count_nonzero(time == t) for t, s in zip(sizes, total, strict=True)}
        cells.obs["w"] = [each[t] for t in time]
        found = list(examine(cells, Reading("hours", weight_key="w", mass_key="size")))
        assert ["has sums of" in f.found for f in found] == [True] * (name == "other")
        read_again = read(cells, Reading("hours", weight_key="w", mass_key="size"))
        masses[name] = [p.mass for p in read_again.snapshots().populations]
    assert all(found == list(sizes.values()) for found in masses.values())


def test_weights_of_untimed_cells_may_be_missing(cells):
    cells.obs.loc[cells.obs_names[:3], "hours"] = np.nan
    cells.obs["weight"] = np.where(cells.obs["hours"].isna(), np.nan, 1.0)
    assert read(cells, Reading("hours", weight_key="weight")).snapshots()[0].is_uniform


@pytest.mark.parametrize("n", [2, 3])
def test_two_snapshots_of_one_cell_warn_and_work(n):
    adata = ad.AnnData(obs=pd.DataFrame({"t": np.arange(n, dtype=float)}, index=list("abc")[:n]))
    adata.obsm["X_pca"] = np.arange(n, dtype=np.float32)[:, None]
    with pytest.warns(InputWarning, match=f"{n} of {n} snapshots with fewer than 5 cells: 0 .1."):
        assert len(read(adata, Reading("t")).snapshots()) == n


def test_the_clean_path_is_silent(cells, frozen):
    with frozen(cells):
        read(cells, Reading("hours"))


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(5, 12), min_size=2, max_size=4),
    dtype=st.sampled_from([np.float32, np.float64, np.int16, np.uint64]),
    container=st.sampled_from(
        [
            np.asarray,
            np.asfortranarray,
            sp.csr_matrix,
            sp.csc_array,
            lambda x: da.from_array(x, chunks=4),
        ]
    ),
    encode=st.sampled_from(
        [float, int, "E{}".format, "{}h".format, "day {}".format, lambda t: pd.Timedelta(t, "D")]
    ),
    seed=st.integers(0, 100),
)
def test_any_mixture_gives_the_same_snapshots(counts, dtype, container, encode, seed):
    rng = np.random.default_rng(seed)
    times = rng.permutation(np.repeat(np.arange(len(counts)) * 3, counts))
    x = rng.integers(0, 100, size=(len(times), 2)).astype(dtype)
    adata = ad.AnnData(
        obs=pd.DataFrame(
            {"t": [encode(int(t)) for t in times]}, index=[str(i) for i in range(len(times))]
        )
    )
    adata.obsm["X_pca"] = container(x)
    snapshots = read(adata, Reading("t")).snapshots()
    assert snapshots.times.tolist() == [3.0 * k for k in range(len(counts))]
    for population in snapshots.populations:
        assert (times[population.index] == population.time).all()
        np.testing.assert_array_equal(population.x, x[population.index])


# What is wrong ------------------------------------------------------------------------------------


NAMES = [f"cell{i}" for i in range(90)]


def untouched(adata):
    """The data are fine, the arguments are not."""


def pca(change):
    def spoil(adata):
        adata.obsm["X_pca"] = change(adata.obsm["X_pca"].astype(np.float64))

    return spoil


def obs(key, change):
    def spoil(adata):
        adata.obs[key] = change(adata.obs["hours"].to_numpy())

    return spoil


def frame(x):
    return pd.DataFrame(x, index=NAMES, columns=list("abcd"))


def put(row, column, value):
    def change(x):
        x[row, column] = value
        return x

    return change


def tsne(adata):
    adata.obsm["X_tsne"] = adata.obsm["X_umap"]


def no_obsm(adata):
    adata.obsm.clear()


def two_columns(adata):
    adata._obs = pd.concat([adata.obs, adata.obs], axis=1)


#: What is spoilt, the arguments, the class of the error, and a part of its message.
BAD = {
    "missing time column": (
        untouched,
        {"time_key": "hour"},
        MissingKeyError,
        r"obs\['hour'\] is missing.*\['hours'\].*'hours'",
    ),
    "time_key of another type": (
        untouched,
        {"time_key": 3},
        MissingKeyError,
        r"obs\[3\] is missing",
    ),
    "column name used twice": (two_columns, {}, InputError, "names 2 columns"),
    "missing representation": (
        untouched,
        {"use_rep": "X_pac"},
        MissingKeyError,
        "did you mean 'X_pca'",
    ),
    "no representation": (no_obsm, {}, MissingKeyError, r"Run sc\.pp\.pca"),
    "representation of another type": (untouched, {"use_rep": None}, MissingKeyError, "is missing"),
    "UMAP": (untouched, {"use_rep": "umap"}, InputError, r"embedding for drawing.*force_rep=True"),
    "t-SNE": (tsne, {"use_rep": "X_tsne"}, InputError, "embedding for drawing"),
    "one NaN": (
        pca(put(4, 3, np.nan)),
        {},
        InputError,
        (
            r"^adata\.obsm\['X_pca'\] has 1 NaN \(first: cell 'cell4', column 3\)\. Expected finite"
            r" numbers\. Remove: adata\[~np"
        ),
    ),
    "inf": (
        pca(put(5, 0, -np.inf)),
        {},
        InputError,
        r"has 1 infinite values \(first: cell 'cell5', column 0",
    ),
    "above float32": (
        pca(put(6, 1, 1e39)),
        {},
        InputError,
        r"above the float32 maximum.*'cell6', column 1",
    ),
    "NaN in a DataFrame": (
        pca(lambda x: frame(put(4, 3, np.nan)(x))),
        {},
        InputError,
        "column 'd'",
    ),
    "objects": (pca(lambda x: x.astype(object)), {}, InputError, "dtype object"),
    "complex": (pca(lambda x: x.astype(complex)), {}, InputError, "dtype complex128"),
    "text": (pca(lambda x: x.astype(str)), {}, InputError, "dtype <U"),
    "text in a DataFrame": (
        pca(lambda x: frame(x).astype({"b": str})),
        {},
        InputError,
        "dtype object",
    ),
    "three axes": (pca(lambda x: x[:, :, None]), {}, InputError, r"shape \(90, 4, 1\)"),
    "no dimensions": (pca(lambda x: x[:, :0]), {}, InputError, r"shape \(90, 0\)"),
    "all dimensions constant": (
        pca(np.ones_like),
        {},
        InputError,
        "4 of 4 dimensions that are constant",
    ),
    "n_dims too large": (
        untouched,
        {"n_dims": 5},
        InputError,
        r"n_dims is 5\. Expected an integer from 1 to 4",
    ),
    "n_dims of zero": (untouched, {"n_dims": 0}, InputError, "n_dims is 0"),
    "n_dims of another type": (untouched, {"n_dims": 2.0}, InputError, r"n_dims is 2\.0"),
    "one snapshot": (
        obs("hours", lambda _: 24.0),
        {},
        InputError,
        r"obs\['hours'\] holds one time only, 24",
    ),
    "no times": (obs("hours", lambda _: np.nan), {}, InputError, "no time for any cell"),
    "strings that are no times": (obs("hours", lambda _: "late"), {}, InputError, "'late'"),
    "boolean times": (obs("hours", lambda h: h > 0), {}, InputError, "boolean"),
    "missing weights": (untouched, {"weight_key": "wt"}, MissingKeyError, "Pass weight_key="),
    "negative weights": (
        obs("w", lambda h: np.where(np.arange(len(h)) == 7, -1.0, 1.0)),
        {"weight_key": "w"},
        InputError,
        r"1 unusable weights \(first: cell 'cell7', -1\)",
    ),
    "text for weights": (
        obs("w", lambda _: "1"),
        {"weight_key": "w"},
        InputError,
        r"dtype (object|str)",
    ),
    "a snapshot without weight": (
        obs("w", lambda h: (h > 0).astype(float)),
        {"weight_key": "w"},
        InputError,
        "is 0 for all cells at time 0",
    ),
    "two masses": (
        obs("m", lambda h: np.arange(len(h)) + 1.0),
        {"mass_key": "m"},
        InputError,
        "1, 2, 3, 4 at time 0",
    ),
    "growth without a number": (
        obs("g", lambda h: np.where(np.arange(len(h)) == 7, np.nan, 0.1)),
        {"growth_key": "g"},
        InputError,
        r"1 unusable growth rates \(first: cell 'cell7', nan\).*0 is the rate",
    ),
    "no growth": (untouched, {"growth_key": "g"}, MissingKeyError, "Pass growth_key="),
    "no number as mass": (
        obs("m", lambda _: np.nan),
        {"mass_key": "m"},
        InputError,
        "is nan at time 0",
    ),
    "negative mass": (obs("m", lambda _: -2.0), {"mass_key": "m"}, InputError, "is -2 at time 0"),
    "no mass": (
        obs("m", lambda _: 0.0),
        {"mass_key": "m"},
        InputError,
        "one positive number per snapshot",
    ),
    "many genes": (untouched, {"use_rep": "X"}, InputError, r"12 genes\. Expected at most 10"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_left_alone(cells, case, frozen, monkeypatch):
    spoil, arguments, error, message = BAD[case]
    monkeypatch.setattr(positions, "MAX_GENES", 10)
    spoil(cells)
    with frozen(cells), pytest.raises(error, match=message) as caught:
        read(cells, Reading(**({"time_key": "hours"} | arguments)))
    assert "Expected" in str(caught.value)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (np.zeros((3, 2)), "type ndarray. Expected AnnData. Pass anndata.AnnData"),
        (pd.DataFrame(), "type DataFrame"),
        ("cells.h5ad", "type str.*read_h5ad"),
        (
            type("MuData", (), {})(),
            r"type MuData. Expected AnnData. Pass one modality, for example mdata\['rna'\]",
        ),
        (None, "type NoneType"),
    ],
)
def test_what_is_no_anndata(thing, message):
    with pytest.raises(InputTypeError, match=message):
        read(thing, Reading("hours"))
    with pytest.raises(TypeError, match=message):
        require_anndata(thing)


def test_no_cells_and_no_expression(cells):
    with pytest.raises(InputError, match="has no cells"):
        read(cells[:0], Reading("hours"))
    cells = ad.AnnData(obs=cells.obs, obsm={"X_pca": cells.obsm["X_pca"]})
    assert read(cells, Reading("hours")).x.shape == (90, 4)
    assert expression.expression(cells) is None
    with pytest.raises(InputError, match=r"adata\.X is None"):
        read(cells, Reading("hours", use_rep="X"))


def test_dense_guard(cells, monkeypatch):
    cells.obsm["X_pca"] = sp.csr_matrix(cells.obsm["X_pca"])
    monkeypatch.setattr(positions, "_DENSE_LIMIT", 1000)
    with pytest.raises(InputError, match=r"is sparse and would take .* GB as a dense matrix"):
        read(cells, Reading("hours"))
    assert read(cells, Reading("hours", n_dims=1)).x.shape == (90, 1)


# What is odd --------------------------------------------------------------------------------------


def test_counts_warn(cells):
    cells.X = np.random.default_rng(0).poisson(30.0, size=cells.shape).astype(np.float32)
    with pytest.warns(InputWarning, match=r"looks like counts \(integers, max \d+\).*log1p"):
        read(cells, Reading("hours", use_rep="X"))


def test_constant_dimensions_warn(cells):
    cells.obsm["X_pca"][:, 2] = 1.0
    with pytest.warns(InputWarning, match="1 of 4 dimensions that are constant .first: column 2"):
        assert read(cells, Reading("hours")).x.shape == (90, 4)


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")  # anndata's own
def test_notes_are_listed_not_raised(cells):
    cells.obsm["X_pca"][8, 1] = 1000.0
    cells.obs_names = ["twin", "twin", *cells.obs_names[2:]]
    cells.obs.iloc[3:5, 0] = np.nan
    found = list(by_severity(examine(cells, Reading("hours"))))
    assert {p.severity for p in found} == {"note", "warning"}
    text = " ".join(p.message for p in found)
    for expected in (
        "extremely far from the others of their time (first: 'cell8'",
        "repeats 1 names (first: 'twin')",
        "no time for 2 of 90 cells",
    ):
        assert expected in text
    with pytest.warns(InputWarning, match="'cell8', .* times as far"):
        assert read(cells, Reading("hours")).n_untimed == 2


def test_all_problems_are_listed_at_once(cells, frozen):
    cells.obs["hours"] = "late"
    cells.obsm["X_pca"][0, 0] = np.nan
    with frozen(cells):
        found = [p.key for p in by_severity(examine(cells, Reading("hours", weight_key="w")))]
    assert found == ["adata.obs['hours']", "adata.obs['w']", "adata.obsm['X_pca']"]


def test_duplicates_and_order_do_not_matter(cells):
    twice = ad.concat([cells, cells], index_unique="-")
    order = np.random.default_rng(0).permutation(twice.n_obs)
    np.testing.assert_array_equal(
        read(twice, Reading("hours")).x[order],
        read(twice[order], Reading("hours")).x,
    )


# Files --------------------------------------------------------------------------------------------


def test_files_that_are_no_h5ad(tmp_path, cells):
    cells.write_h5ad(tmp_path / "good.h5ad")
    whole = (tmp_path / "good.h5ad").read_bytes()
    contents = {
        "html": b"<html><body>404</body></html>",
        "empty": b"",
        "cut": whole[: len(whole) // 2],
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.h5ad").write_bytes(content)
    with pytest.raises(
        InputError, match=r"html\.h5ad is not an h5ad .starts with b'<html>.*download it again"
    ):
        read_h5ad(tmp_path / "html.h5ad")
    with pytest.raises(InputError, match="is empty"):
        read_h5ad(tmp_path / "empty.h5ad")
    with pytest.raises(InputError, match="damaged"):
        read_h5ad(tmp_path / "cut.h5ad")
    with pytest.raises(MissingDataError, match=r"did you mean 'good\.h5ad'"):
        read_h5ad(tmp_path / "godo.h5ad")
    assert read_h5ad(tmp_path / "good.h5ad").shape == cells.shape
