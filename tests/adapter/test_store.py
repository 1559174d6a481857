from collections.abc import Mapping

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.adapter import store
from cellflow.adapter.keys import Keys
from cellflow.adapter.record import record_of
from cellflow.adapter.store import load_flow, pack, plain, unpack
from cellflow.errors import MissingKeyError, ModelFileError


def test_a_flow_comes_back_the_same(fitted):
    flow = load_flow(fitted, Keys())
    again = unpack(pack(flow), "here")
    x = fitted.obsm["X_pca"]
    np.testing.assert_array_equal(again.velocity(x, 3.0), flow.velocity(x, 3.0))
    np.testing.assert_array_equal(again.decoder.positions(x), flow.decoder.positions(x))
    assert again.recipe == flow.recipe
    assert pack(again)["checksum"] == pack(flow)["checksum"]


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning"
)  # zarr's and anndata's own, about formats
def test_a_flow_survives_a_file(fitted, suffix, tmp_path):
    getattr(fitted, f"write_{suffix}")(tmp_path / f"a.{suffix}")
    again = getattr(ad, f"read_{suffix}")(tmp_path / f"a.{suffix}")
    x = fitted.obsm["X_pca"]
    np.testing.assert_array_equal(
        cf.get.flow(again).velocity(x, 3.0), cf.get.flow(fitted).velocity(x, 3.0)
    )
    assert cf.get.flow(again).plans == cf.get.flow(fitted).plans


def test_flipped_bits_are_noticed(fitted):
    model = fitted.uns["cellflow"]["model"]
    name = next(n for n in model["arrays"] if n.startswith("dynamics."))
    model["arrays"][name] = model["arrays"][name].copy()
    model["arrays"][name].flat[0] += 1e-3
    with pytest.raises(
        ModelFileError, match=r"adata\.uns\['cellflow'\]\['model'\] is damaged: its checksum"
    ):
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


def test_a_newer_format_asks_for_an_upgrade(fitted):
    fitted.uns["cellflow"]["model"] |= {"format": store.FORMAT + 1, "version": "2.1"}
    with pytest.raises(ModelFileError, match=r"written by cellflow 2\.1 .* Upgrade"):
        cf.get.flow(fitted)


def test_a_fit_that_is_not_there(fitted):
    with pytest.raises(
        MissingKeyError,
        match=r"holds no fit\. Fits are at \['cellflow'\] \(did you mean 'cellflow'",
    ):
        record_of(fitted, Keys("celflow"))
    with pytest.raises(
        MissingKeyError, match=r"There is none at all\. Fit first: cf\.tl\.flow\(.*key_added='mine'"
    ):
        record_of(ad.AnnData(np.ones((2, 2))), Keys("mine"))
    fitted.uns["theirs"] = {"some": "thing"}
    with pytest.raises(MissingKeyError):
        record_of(fitted, Keys("theirs"))


def test_plain_values():
    assert plain({"a": None, "b": {"c": None, "d": 1}, 0.5: "x"}) == {"b": {"d": 1}, "0.5": "x"}
    assert plain([1, 2]).tolist() == [1, 2]
    assert plain(("u", None)).tolist() == ["u", "None"]


@pytest.mark.parametrize(
    "call",
    [cf.get.flow, cf.get.density, cf.get.diagnosis, cf.get.trajectories],
    ids=lambda c: c.__name__,
)
def test_what_is_read_out_shares_no_memory(archived, call):
    """Whatever is done to what a call returned, the AnnData stays as it was."""

    def arrays(value, seen):
        if id(value) in seen or isinstance(value, str | bytes):
            return
        seen[id(value)] = value
        if isinstance(value, np.ndarray):
            yield value
        elif hasattr(value, "detach"):
            yield value.detach().numpy()
        elif isinstance(value, pd.DataFrame):
            yield from (value[name].to_numpy() for name in value)
        elif isinstance(value, dict | Mapping):
            yield from (a for v in value.values() for a in arrays(v, seen))
        elif isinstance(value, list | tuple):
            yield from (a for v in value for a in arrays(v, seen))
        elif hasattr(value, "state_dict"):
            yield from (a for v in value.state_dict().values() for a in arrays(v, seen))
        elif hasattr(value, "__dict__"):
            yield from (a for v in vars(value).values() for a in arrays(v, seen))

    read = list(arrays(call(archived), {}))
    stored = [*arrays(dict(archived.uns), {}), *arrays(dict(archived.obsm), {})]
    assert read
    assert not [a.shape for a in read for b in stored if np.shares_memory(a, b)]
