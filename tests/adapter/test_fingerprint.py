"""The proof that cells, their times and their pictures are those that a result was made from: every
cell, not some.
"""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.figure import Figure

import cellflow as cf
from cellflow.adapter.fingerprint import (
    fingerprint,
    is_fingerprint,
    require_same_positions,
    require_same_times,
    require_seen,
)
from cellflow.adapter.hashes import order_of, require_made_for, rows_hash
from cellflow.adapter.keys import Keys
from cellflow.adapter.positions import read_positions
from cellflow.errors import CellFlowError, InputError
from conftest import make_cells, quick_recipe

# Arrays -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    """Names, positions, times, and whether these are inferred, of 3,000 cells."""
    rng = np.random.default_rng(0)
    names = np.array([f"cell{i}" for i in range(3000)])
    return (
        names,
        rng.normal(size=(3000, 5)).astype(np.float32),
        np.repeat([0.0, 12.0, 48.0], 1000),
        np.arange(3000) % 50 == 0,
    )


def passes(known, names, x, times, inferred):
    """All that is asked of cells when a fit is read."""
    require_same_positions(known, names, x, "X_pca")
    require_seen(known, names, x, times, inferred, Keys(), "hours")
    require_same_times(known, names, times, inferred, "adata.obs['cf_time']", "Restore it")


def test_order_does_not_matter(many):
    order = np.random.default_rng(1).permutation(3000)
    one, other = fingerprint(*many), fingerprint(*(part[order] for part in many))
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])
    passes(one, *(part[order] for part in many))


def test_the_order_of_names_is_told():
    names = np.array(["a", "b", "c"])
    assert order_of(names) == order_of(names.astype(object)) != order_of(names[::-1])


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 100, 3000])
def test_a_few_bytes_a_cell(many, n):
    known = fingerprint(*(part[:n] for part in many))
    assert is_fingerprint(known)
    assert sum(array.nbytes for array in known.values()) <= 11 * n + 8
    passes(known, *(part[:n] for part in many))


@pytest.mark.parametrize(
    "rows", [slice(None), slice(None, None, 7), slice(5, 6), slice(0, 0), [3, 3, 3]], ids=str
)
@pytest.mark.parametrize("called", ["as they were", "otherwise"])
def test_any_subset_passes_whatever_it_is_called(many, rows, called):
    known, (names, x, times, inferred) = fingerprint(*many), (part[rows] for part in many)
    passes(
        known, names if called == "as they were" else np.char.add(names, "-1"), x, times, inferred
    )


def test_other_cells_at_other_positions_pass_where_the_fit_wrote_no_times(many):
    names, x, times, inferred = many
    known, named = fingerprint(*many), np.char.add(names, "-1")
    require_same_positions(known, named, x[::-1], "X_pca")
    require_same_times(known, named, times[::-1], inferred[::-1], "here", "Restore it")


def test_each_single_cell_is_looked_at(many):
    """Moved or given another time, by the smallest step there is, each of 300 cells is noticed."""
    names, x, times, inferred = (part[:300] for part in many)
    known = fingerprint(names, x, times, inferred)
    for row in range(300):
        moved, later = x.copy(), times.copy()
        moved[row, row % 5] = np.nextafter(moved[row, row % 5], np.float32(np.inf))
        later[row] = np.nextafter(later[row], np.inf)
        with pytest.raises(
            InputError, match=f"other values for 1 of 300 remembered cells \\(first: 'cell{row}'\\)"
        ):
            require_same_positions(known, names, moved, "X_pca")
        with pytest.raises(
            InputError, match=f"not seen: 1 of 300 compared \\(first: 'other{row}'\\)"
        ):
            require_seen(
                known,
                np.char.replace(names, "cell", "other"),
                moved,
                times,
                inferred,
                Keys(),
                "hours",
            )
        with pytest.raises(
            InputError, match=f"cf_time.* other values for 1 cells \\(first: 'cell{row}'"
        ):
            require_seen(known, names, x, later, inferred, Keys(), "hours")


def test_times_that_a_column_gives_are_compared_where_they_were_measured(many):
    names, _, times, inferred = many
    known = fingerprint(*many)
    elsewhere = np.where(inferred, times + 1.0, times)  # of other neighbours
    require_same_times(
        known, names, elsewhere, inferred, "adata.obs['hours']", "Restore the column"
    )
    with pytest.raises(
        InputError,
        match=(
            r"adata\.obs\['hours'\] has other values for 1960 cells .* Restore the column, or fit"
        ),
    ):
        require_same_times(
            known, names, times * 24, inferred, "adata.obs['hours']", "Restore the column"
        )


def test_names_that_repeat_prove_nothing(many):
    names, x, times, inferred = many
    known = fingerprint(np.repeat(names[:10], 2), x[:20], times[:20], inferred[:20])
    require_same_positions(known, names, x, "X_pca")
    require_seen(
        known, np.repeat(names[:10], 2), x[:20], times[:20], inferred[:20], Keys(), "hours"
    )
    with pytest.raises(InputError, match="has not seen"):
        require_seen(
            known, np.repeat(names[:10], 2), x[:20] + 1, times[:20], inferred[:20], Keys(), "hours"
        )


def test_a_name_that_repeats_now_is_looked_at_wherever_it_is(many):
    names, x, *_ = many
    known, again = fingerprint(*many), np.r_[np.arange(len(x)), np.arange(len(x))]
    require_same_positions(known, names[again], x[again], "X_pca")
    with pytest.raises(InputError, match="other cells of the same names"):
        require_same_positions(known, names[again], np.concatenate([x, x + 1]), "X_pca")


@pytest.mark.parametrize("n_other", [1, 30, 5000])
@pytest.mark.parametrize("kind", [np.asarray, np.round], ids=["real", "whole"])
def test_cells_of_another_fit_are_noticed(many, n_other, kind):
    """Joined with the cells of the fit, or alone."""
    names, x, times, inferred = many
    x = kind(1000 * x)
    other = kind(
        1000 * np.random.default_rng(5).normal(size=(n_other, x.shape[1])).astype(np.float32)
    )
    called, known = (
        np.array([f"other{i}" for i in range(n_other)]),
        fingerprint(names, x, times, inferred),
    )
    joined = (
        np.r_[names, called],
        np.concatenate([x, other]),
        np.r_[times, np.zeros(n_other)],
        np.r_[inferred, [False] * n_other],
    )
    with pytest.raises(
        InputError, match=r"obs\['cf_time'\] has times for cells .* not seen: \d+ of \d+ .*'other"
    ) as said:
        require_seen(known, *joined, Keys(), "hours")
    assert (
        "delete the columns 'cf_time' and 'cf_time_inferred': times are then read from"
        " adata.obs['hours']" in str(said.value)
    )


def test_the_sign_of_zero_is_no_difference():
    names, zeros = np.array(["a", "b"]), np.zeros((2, 2))
    passes(
        fingerprint(names, zeros, zeros[:, 0], zeros[:, 0] > 0),
        names,
        -zeros,
        -zeros[:, 0],
        zeros[:, 0] > 0,
    )


@pytest.mark.parametrize(
    "rows",
    [slice(None), slice(None, None, -1), slice(3, 4), [1, 1]],
    ids=["all", "reversed", "one", "twice"],
)
def test_a_result_belongs_to_the_rows_it_was_made_for(many, rows):
    names, x, *_ = many
    known, about = rows_hash(x, 2 * x), {"what": "arrows", "basis": "picture", "again": "draw()"}
    require_made_for(known, names[rows], x[rows], 2 * x[rows], **about)
    for other in ((x[rows] + 1, 2 * x[rows]), (x[rows], x[rows])):
        with pytest.raises(
            InputError,
            match=r"arrows does not belong to the values that picture has now.*call draw\(\) again",
        ):
            require_made_for(known, names[rows], *other, **about)


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "edited",
        {},
        {"names": [1]},
        {"names": np.zeros(2, "u4")},
        {"names": np.zeros(2, "u8"), "positions": np.zeros(1, "u8")},
    ],
    ids=str,
)
def test_what_is_no_fingerprint(value):
    assert not is_fingerprint(value)


@pytest.mark.parametrize("name", ["buckets", "names", "positions", "times"])
@pytest.mark.parametrize(
    "spoil", [lambda a: a[:-1], lambda a: a.astype(float), lambda a: a[:, None], lambda a: None]
)
def test_a_spoilt_fingerprint_is_none(many, name, spoil):
    known = fingerprint(*many)
    assert not is_fingerprint(known | {name: spoil(known[name])})


# An AnnData ---------------------------------------------------------------------------------------


def subset_with_a_new_pca(adata):
    return _moved(adata[[3]].copy())


def _moved(adata):
    adata.obsm["X_pca"] = -adata.obsm["X_pca"]
    return adata


def _timed(adata, change):
    adata.obs["cf_time"] = change(adata.obs["cf_time"].to_numpy().copy())
    return adata


def _without_columns(adata):
    del adata.obs["cf_time"], adata.obs["cf_time_inferred"]
    return adata


def _one(position, value):
    def change(times):
        times[position] = value
        return times

    return change


def _hours(adata, change):
    adata.obs["hours"] = change(adata.obs["hours"])
    return _without_columns(adata)


def _renamed(adata):
    adata.obs_names = [f"renamed{i}" for i in range(adata.n_obs)]
    return adata


def _flags(adata, value):
    adata.obs["cf_time_inferred"] = value
    return adata


def _new_cells():
    new = make_cells(30, seed=3)
    new.obs_names = [f"new{i}" for i in range(30)]
    return new


CHANGED = {
    "a new PCA": _moved,
    "a new PCA of one cell": subset_with_a_new_pca,
    "a new PCA of a subset": lambda a: _moved(a[::9].copy()),
    "a new PCA after renaming": lambda a: _moved(_renamed(a[:5].copy())),
    "a new PCA without the columns": lambda a: _moved(_without_columns(a[:5].copy())),
    "a new PCA of some cells and new ones": lambda a: _moved(
        ad.concat([a[:5], _new_cells()], uns_merge="first")
    ),
    "positions of one cell": lambda a: a.obsm["X_pca"].__setitem__((7, 1), 0.5) or a,
    "positions in another order": lambda a: (
        a.obsm.__setitem__("X_pca", a.obsm["X_pca"][::-1].copy()) or a
    ),
    "dimensions in another order": lambda a: (
        a.obsm.__setitem__("X_pca", a.obsm["X_pca"][:, ::-1].copy()) or a
    ),
    "another scale": lambda a: (
        a.obsm.__setitem__("X_pca", a.obsm["X_pca"] * np.float32(1.0000001)) or a
    ),
    "times reversed": lambda a: _timed(a, lambda t: t[::-1]),
    "times of a subset": lambda a: _timed(a[5:7].copy(), lambda t: t + 1),
    "one time": lambda a: _timed(a, _one(5, 12.0)),
    "one time, a little": lambda a: _timed(a, _one(5, 1e-9)),
    "one time, far off": lambda a: _timed(a, _one(5, 1e9)),
    "times in days": lambda a: _timed(a, lambda t: t / 24),
    "times after renaming": lambda a: _timed(_renamed(a), _one(5, 12.0)),
    "an inferred time": lambda a: _timed(a, _one(7, 12.0)),
    "an infinite time": lambda a: _timed(a, _one(5, np.inf)),
    "no time": lambda a: _timed(a, _one(5, np.nan)),
    "times as text": lambda a: _timed(a, lambda t: t.astype(str)),
    "times as float32": lambda a: _timed(a, lambda t: t.astype(np.float32)),
    "no time is inferred": lambda a: _flags(a, value=False),
    "flags as text": lambda a: _flags(a, value="no"),
    "the column of times, in other units": lambda a: _hours(a, lambda t: t * 60),
    "the column of times, for one cell": lambda a: _hours(
        a, lambda t: t.where(np.arange(len(t)) != 5, 12.0)
    ),
    "the cells of another fit": lambda a: ad.concat([a, _fitted_elsewhere()], uns_merge="first"),
}


def _fitted_elsewhere():
    other = _new_cells()
    cf.tl.flow(other, "hours", method=quick_recipe())
    return other


@pytest.mark.parametrize("case", CHANGED)
def test_whatever_has_changed_is_noticed(fitted, case, frozen):
    changed = CHANGED[case](fitted)
    for ask in (
        lambda a: cf.tl.velocity(a, genes=[], overwrite=True),
        lambda a: cf.tl.trajectories(a, n_times=2, overwrite=True),
        lambda a: cf.get.velocity(a, ["gene1"]),
    ):
        with (
            frozen(changed),
            pytest.raises(
                InputError, match=r"^adata\.(obsm|obs)\['(X_pca|cf_time|cf_time_inferred|hours)'\]"
            ),
        ):
            ask(changed)


UNCHANGED = {
    "a subset": lambda a: a[::7].copy(),
    "a view": lambda a: a[::7],
    "one cell": lambda a: a[[40]].copy(),
    "another order": lambda a: a[::-1].copy(),
    "rows twice": lambda a: a[[1, 1, 2]].copy(),
    "other names": _renamed,
    "float64": lambda a: a.obsm.__setitem__("X_pca", a.obsm["X_pca"].astype(float)) or a,
    "sparse": lambda a: a.obsm.__setitem__("X_pca", sp.csr_matrix(a.obsm["X_pca"])) or a,
    "a DataFrame": lambda a: (
        a.obsm.__setitem__("X_pca", pd.DataFrame(a.obsm["X_pca"], index=a.obs_names)) or a
    ),
    "parts, joined": lambda a: ad.concat([a[50:], a[:50]], uns_merge="first", index_unique="-"),
    "new cells, joined": lambda a: ad.concat([a, _new_cells()], uns_merge="first"),
    "without the columns": _without_columns,
    "more genes": lambda a: ad.concat(
        [a, a[:, :2].copy()], axis=1, merge="same", uns_merge="same", index_unique="-"
    ),
}


@pytest.mark.parametrize("case", UNCHANGED)
@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
def test_whatever_has_not_changed_has_the_same_velocities(fitted, case):
    expected = {
        tuple(x): v for x, v in zip(fitted.obsm["X_pca"], _velocity(fitted.copy()), strict=True)
    }
    timed = {
        tuple(x)
        for x, own in zip(fitted.obsm["X_pca"], ~fitted.obs["cf_time_inferred"], strict=True)
        if own
    }
    same = UNCHANGED[case](fitted)
    known = 0
    for x, v in zip(read_positions(same, use_rep="X_pca"), _velocity(same), strict=True):
        if tuple(x) in timed:
            np.testing.assert_array_equal(v, expected[tuple(x)])
            known += 1
    assert known > 0


def _velocity(adata):
    return cf.tl.velocity(adata, genes=[], overwrite=True, copy=True).obsm["velocity_pca"]


@pytest.fixture(scope="module")
def pair():
    """Two fitted AnnData, each with a representation of its own; the second is smaller."""
    made = [make_cells(n, seed=seed) for n, seed in ((90, 0), (30, 1))]
    for adata in made:
        cf.tl.flow(adata, "hours", method=quick_recipe())
    return made


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
@pytest.mark.parametrize("index_unique", [None, "-"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_fits_that_are_joined(pair, index_unique, order, frozen):
    joined = ad.concat([pair[i] for i in order], uns_merge="first", index_unique=index_unique)
    with (
        frozen(joined),
        pytest.raises(InputError, match=r"other cells of the same names|has not seen"),
    ):
        cf.tl.velocity(joined)


def test_the_remedy_for_joined_fits_in_one_representation(fitted):
    second = fitted[::3].copy()
    second.obs_names, second.obsm["X_pca"] = (
        [f"new{i}" for i in range(30)],
        second.obsm["X_pca"] + 0.1,
    )
    cf.tl.flow(second, "hours", method=quick_recipe())
    joined = ad.concat([fitted, second], uns_merge="first")
    with pytest.raises(InputError, match="delete the columns"):
        cf.tl.velocity(joined)
    del joined.obs["cf_time"], joined.obs["cf_time_inferred"]
    cf.tl.velocity(joined)
    assert np.isfinite(joined.obsm["velocity_pca"]).all()


# Pictures -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _drawn(fitted_as):
    adata = fitted_as("default")
    cf.tl.velocity(adata, basis="umap")
    cf.tl.trajectories(adata, n_times=3)
    return adata


@pytest.fixture
def drawn(_drawn):
    """Cells with velocities in two bases, and trajectories."""
    return _drawn.copy()


DRAW = {
    "stream umap": lambda a: cf.pl.stream(a, ax=Figure().add_subplot()),
    "stream pca": lambda a: cf.pl.stream(a, basis="pca", ax=Figure().add_subplot()),
    "trajectories": lambda a: cf.pl.trajectories(a, n_cells=5, ax=Figure().add_subplot()),
    "trajectories umap": lambda a: cf.pl.trajectories(
        a, basis="umap", n_cells=5, ax=Figure().add_subplot()
    ),
    "get.trajectories": lambda a: cf.get.trajectories(a),
}


def _set(key, change):
    def changed(adata):
        adata.obsm[key] = change(np.asarray(adata.obsm[key]))
        return adata

    return changed


STALE = {
    "umap turned": (_set("X_umap", np.negative), ["stream umap"]),
    "umap of a subset": (lambda a: _set("X_umap", np.negative)(a[:9].copy()), ["stream umap"]),
    "umap mirrored": (_set("X_umap", lambda x: x * [1, -1]), ["stream umap"]),
    "umap moved": (_set("X_umap", lambda x: x + 1e-3), ["stream umap"]),
    "umap in three dimensions": (_set("X_umap", lambda x: np.c_[x, x[:, 0]]), ["stream umap"]),
    "umap in another order": (_set("X_umap", lambda x: x[::-1].copy()), ["stream umap"]),
    "arrows of another tool": (_set("velocity_umap", lambda v: v[::-1].copy()), ["stream umap"]),
    "arrows of zero": (_set("velocity_umap", np.zeros_like), ["stream umap"]),
    "arrows as text": (_set("velocity_umap", lambda v: v.astype(str)), ["stream umap"]),
    "arrows of the representation": (_set("velocity_pca", np.negative), ["stream pca"]),
    "a new PCA": (_moved, ["stream pca", "trajectories", "trajectories umap", "get.trajectories"]),
    "a new PCA of a subset": (
        lambda a: _moved(a[[2, 40]].copy()),
        ["stream pca", "trajectories", "get.trajectories"],
    ),
    "paths of another length": (
        _set("cf_trajectory", lambda p: p[:, 1:]),
        ["trajectories", "get.trajectories"],
    ),
    "paths as whole numbers": (
        _set("cf_trajectory", lambda p: p.astype(int)),
        ["trajectories", "get.trajectories"],
    ),
    "other times": (
        lambda a: _timed(a, lambda t: t[::-1]),
        ["stream umap", "stream pca", "trajectories"],
    ),
}


@pytest.mark.parametrize("case", STALE)
def test_pictures_notice_what_they_were_not_made_for(drawn, case, frozen):
    change, spoilt = STALE[case]
    changed = change(drawn)
    for name in spoilt:
        with frozen(changed), pytest.raises(InputError, match=r"^adata\.(obsm|obs)\['"):
            DRAW[name](changed)


@pytest.mark.parametrize("name", DRAW)
def test_pictures_of_subsets_in_any_order_and_from_files_are_drawn(drawn, name, tmp_path):
    subset = drawn[np.r_[80:90, 10:0:-1, 40:45]].copy()
    subset.write_h5ad(tmp_path / "a.h5ad")
    for adata in (subset, ad.read_h5ad(tmp_path / "a.h5ad")):
        DRAW[name](adata)


def test_new_cells_at_other_positions_are_noticed_too(drawn):
    """The fit has not seen them, so only what was written for them can tell."""
    new = _new_cells()
    both = ad.concat([drawn[:, :], new], uns_merge="first")
    cf.tl.trajectories(both, n_times=3, overwrite=True)
    cf.get.trajectories(both)
    both.obsm["X_pca"][-1] += 1
    with pytest.raises(
        InputError, match=r"cf_trajectory'\] does not belong .* 1 of 120 cells \(first: 'new29'\)"
    ):
        cf.get.trajectories(both)


def test_old_arrows_without_hashes_are_drawn_as_they_are(archived):
    DRAW["stream umap"](archived)
    archived.obsm["X_pca"] = -archived.obsm["X_pca"]
    with pytest.raises(CellFlowError, match=r"obsm\['X_pca'\] has other values"):
        DRAW["stream pca"](archived)
