import anndata as ad
import numpy as np
import pytest

import cellflow as cf
from cellflow.adapter import store
from cellflow.adapter.keys import Keys
from cellflow.adapter.store import load_flow, pack, plain, record_of, require_same, require_seen, sketch, unpack
from cellflow.errors import InputError, MissingKeyError, ModelFileError
from conftest import make_cells, quick_recipe


def test_a_flow_comes_back_the_same(fitted):
    flow = load_flow(fitted, Keys())
    again = unpack(pack(flow), "here")
    x = fitted.obsm["X_pca"]
    np.testing.assert_array_equal(again.velocity(x, 3.0), flow.velocity(x, 3.0))
    np.testing.assert_array_equal(again.decoder.positions(x), flow.decoder.positions(x))
    assert again.recipe == flow.recipe
    assert pack(again)["checksum"] == pack(flow)["checksum"]


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # zarr's and anndata's own, about formats
def test_a_flow_survives_a_file(fitted, suffix, tmp_path):
    getattr(fitted, f"write_{suffix}")(tmp_path / f"a.{suffix}")
    again = getattr(ad, f"read_{suffix}")(tmp_path / f"a.{suffix}")
    x = fitted.obsm["X_pca"]
    np.testing.assert_array_equal(cf.get.flow(again).velocity(x, 3.0), cf.get.flow(fitted).velocity(x, 3.0))
    assert cf.get.flow(again).plans == cf.get.flow(fitted).plans


def test_flipped_bits_are_noticed(fitted):
    model = fitted.uns["cellflow"]["model"]
    name = next(n for n in model["arrays"] if n.startswith("dynamics."))
    model["arrays"][name] = model["arrays"][name].copy()
    model["arrays"][name].flat[0] += 1e-3
    with pytest.raises(ModelFileError, match=r"adata\.uns\['cellflow'\]\['model'\] is damaged: its checksum"):
        cf.get.flow(fitted)


@pytest.mark.parametrize("missing", ["format", "config", "arrays", "checksum"])
def test_half_a_model(fitted, missing):
    del fitted.uns["cellflow"]["model"][missing]
    with pytest.raises(ModelFileError, match=f"holds no model: '{missing}' is missing"):
        cf.get.flow(fitted)


@pytest.mark.parametrize(("name", "value"), [("format", "x"), ("arrays", 3)])
def test_what_is_no_model(fitted, name, value):
    model = dict(fitted.uns["cellflow"]["model"]) | {name: value}
    with pytest.raises(ModelFileError, match=r"uns\['cellflow'\]\['model'\] holds no model"):
        unpack(model, "adata.uns['cellflow']['model']")


@pytest.mark.parametrize("name", ["params", "fingerprint"])
def test_half_a_record(fitted, name, frozen):
    del fitted.uns["cellflow"][name]
    with frozen(fitted), pytest.raises(ModelFileError, match=rf"uns\['cellflow'\] lacks \['{name}'\]"):
        cf.tl.velocity(fitted)


def test_a_newer_format_asks_for_an_upgrade(fitted):
    fitted.uns["cellflow"]["model"] |= {"format": store.FORMAT + 1, "version": "2.1"}
    with pytest.raises(ModelFileError, match=r"written by cellflow 2\.1 .* Upgrade"):
        cf.get.flow(fitted)


def test_a_fit_that_is_not_there(fitted):
    with pytest.raises(MissingKeyError, match=r"holds no fit\. Fits are at \['cellflow'\] \(did you mean 'cellflow'"):
        record_of(fitted, Keys("celflow"))
    with pytest.raises(MissingKeyError, match=r"There is none at all\. Fit first: cf\.tl\.flow\(.*key_added='mine'"):
        record_of(ad.AnnData(np.ones((2, 2))), Keys("mine"))
    fitted.uns["theirs"] = {"some": "thing"}
    with pytest.raises(MissingKeyError):
        record_of(fitted, Keys("theirs"))


# The proof that cells and fit belong together ---------------------------------------------------------------------------


@pytest.fixture
def many():
    rng = np.random.default_rng(0)
    return np.array([f"cell{i}" for i in range(3000)]), rng.normal(size=(3000, 5)).astype(np.float32)


def test_order_does_not_matter(many):
    names, x = many
    order = np.random.default_rng(1).permutation(len(x))
    one, other = sketch(names, x), sketch(names[order], x[order])
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])
    require_same(one, names[order], x[order], "X_pca")


def test_subsets_and_other_cells_pass(many):
    names, x = many
    known = sketch(names, x)
    require_same(known, names[::7], x[::7], "X_pca")
    require_same(known, np.char.add(names, "-1"), x[::-1], "X_pca")
    require_same(known, names[:0], x[:0], "X_pca")


@pytest.mark.parametrize("rows", [slice(None), slice(None, None, 2), slice(0, 400)])
def test_other_positions_of_the_same_cells_do_not(many, rows):
    names, x = many
    with pytest.raises(InputError, match=r"adata\.obsm\['X_pca'\] has other values .*fitted on another representation"):
        require_same(sketch(names, x), names[rows], (x @ np.diag([1, 1, 1, 1, -1]))[rows], "X_pca")


def test_names_that_repeat_prove_nothing(many):
    names, x = many
    known = sketch(np.repeat(names[:10], 2), x[:20])
    assert len(known["names"]) == 0
    require_same(known, names, x, "X_pca")


def test_a_name_that_repeats_now_is_looked_at_wherever_it_is(many):
    names, x = many
    known = sketch(names, x)
    again = np.r_[np.arange(len(x)), np.arange(len(x))]
    require_same(known, names[again], x[again], "X_pca")
    with pytest.raises(InputError, match="other cells of the same names"):
        require_same(known, names[again], np.concatenate([x, x + 1]), "X_pca")


# Cells of another fit --------------------------------------------------------------------------------------------------


def test_cells_are_known_by_their_positions_whatever_they_are_called(many):
    names, x = many
    known = sketch(names, x)
    for rows in (slice(None), slice(None, None, 7), slice(0, 0), np.zeros(30, dtype=int)):
        require_seen(known, np.char.add(names, "-1")[rows], x[rows], Keys(), "hours")


@pytest.mark.parametrize("n_other", [30, 700, 5000])
@pytest.mark.parametrize("kind", [np.asarray, np.round], ids=["real", "whole"])
def test_cells_of_another_fit_are_noticed(many, n_other, kind):
    """Joined with the cells of the fit, or alone."""
    names, x = many
    x = kind(1000 * x)
    other = kind(1000 * np.random.default_rng(5).normal(size=(n_other, x.shape[1])).astype(np.float32))
    called = np.array([f"other{i}" for i in range(n_other)])
    with pytest.raises(InputError, match=r"obs\['cf_time'\] has times for cells .* not seen: \d+ of \d+ .*'other") as said:
        require_seen(sketch(names, x), np.r_[names, called], np.concatenate([x, other]), Keys(), "hours")
    assert "delete the columns 'cf_time' and 'cf_time_inferred': times are then read from adata.obs['hours']" in str(
        said.value
    )
    with pytest.raises(InputError, match="Fit again"):
        require_seen(sketch(names, x), called, other, Keys(), "hours")


def test_a_fit_that_remembers_no_cells_is_taken_as_it_is(many):
    names, x = many
    known = {name: value for name, value in sketch(names, x).items() if name != "cells"}
    require_seen(known, names, x + 1, Keys(), "hours")


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
    with frozen(joined), pytest.raises(InputError, match=r"other cells of the same names|has not seen"):
        cf.tl.velocity(joined)


def test_what_may_be_joined(fitted):
    """Parts of one fit; and cells that no fit has seen, whose times come from the column that it read."""
    cf.tl.velocity(fitted)
    parts = ad.concat([fitted[50:], fitted[:50]], uns_merge="first", index_unique="-")
    cf.tl.velocity(parts, overwrite=True)
    order = np.r_[50:90, :50]
    np.testing.assert_array_equal(parts.obsm["velocity_pca"], fitted.obsm["velocity_pca"][order])
    new = make_cells(30, seed=3)
    new.obs_names = [f"new{i}" for i in range(30)]
    both = ad.concat([fitted, new], uns_merge="first")
    cf.tl.velocity(both, overwrite=True)
    timed = np.flatnonzero(fitted.obs["hours"].notna())
    np.testing.assert_array_equal(both.obsm["velocity_pca"][timed], fitted.obsm["velocity_pca"][timed])


def test_the_remedy_for_joined_fits_in_one_representation(fitted):
    second = fitted[::3].copy()
    second.obs_names, second.obsm["X_pca"] = [f"new{i}" for i in range(30)], second.obsm["X_pca"] + 0.1
    cf.tl.flow(second, "hours", method=quick_recipe())
    joined = ad.concat([fitted, second], uns_merge="first")
    with pytest.raises(InputError, match="delete the columns"):
        cf.tl.velocity(joined)
    del joined.obs["cf_time"], joined.obs["cf_time_inferred"]
    cf.tl.velocity(joined)
    assert np.isfinite(joined.obsm["velocity_pca"]).all()


def test_the_sign_of_zero_is_no_difference():
    names = np.array(["a", "b"])
    require_same(sketch(names, np.zeros((2, 2))), names, -np.zeros((2, 2)), "X_pca")


def test_plain_values():
    assert plain({"a": None, "b": {"c": None, "d": 1}, 0.5: "x"}) == {"b": {"d": 1}, "0.5": "x"}
    assert plain([1, 2]).tolist() == [1, 2]
    assert plain(("u", None)).tolist() == ["u", "None"]
