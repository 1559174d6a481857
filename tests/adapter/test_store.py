import anndata as ad
import numpy as np
import pytest

import cellflow as cf
from cellflow.adapter import store
from cellflow.adapter.keys import Keys
from cellflow.adapter.store import load_flow, pack, plain, record_of, require_same, sketch, unpack
from cellflow.errors import InputError, MissingKeyError, ModelFileError


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


def test_the_sign_of_zero_is_no_difference():
    names = np.array(["a", "b"])
    require_same(sketch(names, np.zeros((2, 2))), names, -np.zeros((2, 2)), "X_pca")


def test_plain_values():
    assert plain({"a": None, "b": {"c": None, "d": 1}, 0.5: "x"}) == {"b": {"d": 1}, "0.5": "x"}
    assert plain([1, 2]).tolist() == [1, 2]
    assert plain(("u", None)).tolist() == ["u", "None"]
