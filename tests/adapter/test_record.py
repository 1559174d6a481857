"""Records in `uns`: one schema for all readers, and the limits of a record from another file."""

import copy

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import cellflow as cf
from cellflow.adapter import schema
from cellflow.adapter.hashes import order_of
from cellflow.adapter.keys import Keys
from cellflow.adapter.places import kind_of, listed, written
from cellflow.adapter.record import read_record, record_of
from cellflow.errors import CellFlowError, InputError, MissingKeyError, ModelFileError
from cellflow.report import held
from conftest import make_cells, quick_recipe


@pytest.fixture(scope="module")
def _complete(fitted_as):
    adata = fitted_as("default")
    cf.tl.velocity(adata, basis="umap", genes="all")
    cf.tl.trajectories(adata, n_times=3)
    cf.tl.density(adata, "hours", method="gmm")
    cf.tl.diagnose(adata, n_cells=10)
    adata.uns["cf_holdout"] = _benchmark(adata)
    return adata


def _benchmark(adata):
    """What `cf.bench.holdout` writes, without its work."""
    rows = np.arange(30, 60)
    cloud = {"x": adata.obsm["X_pca"][rows], "weight": np.full(30, 1 / 30), "rows": rows}
    numbers = [name for name in held.NUMBERS if name != "time"]
    text = {
        "method": "ot-cfm",
        "protocol": "P1",
        "kind": "model",
        "representation": "given",
        "note": "",
    }
    table = pd.DataFrame([{"time": 12.0, **text, **dict.fromkeys(numbers, 0.5)}])
    params = {"time_key": "hours", "time_unit": "", "use_rep": "X_pca", "n_dims": 4}
    clouds = {"time_12.0": {"observed": cloud}}
    record = {
        "cellflow_version": "0.1.0",
        "kind": "benchmark",
        "table": table,
        "params": params,
        "verdict": "better",
    }
    return record | {"clouds": clouds, "order": order_of(adata.obs_names.to_numpy())}


@pytest.fixture
def complete(_complete):
    """Cells with a record of every kind that is read."""
    return _complete.copy()


#: What is read of each record.
READERS = {
    "cellflow": [
        cf.get.flow,
        cf.get.velocity,
        cf.get.trajectories,
        cf.get.diagnosis,
        lambda a: cf.pl.loss(a, ax=Figure().add_subplot()),
        lambda a: cf.pl.stream(a, ax=Figure().add_subplot()),
        lambda a: cf.tl.velocity(a, genes=[]),
        lambda a: cf.tl.predict(a, time=13.0, n_obs=3),
    ],
    "cf_densities": [cf.get.density],
    "cf_holdout": [lambda a: held.Held.of(a, "cf_holdout").summary(12.0)],
}
KINDS = {"cellflow": "fit", "cf_densities": "densities", "cf_holdout": "benchmark"}


def _paths(group, depth=2):
    for name, value in group.items():
        yield (name,)
        if depth > 1 and isinstance(value, dict):
            yield from ((name, *rest) for rest in _paths(value, depth - 1))


def _spoil(record, path, value):
    place = record
    for name in path[:-1]:
        place = place[name]
    if isinstance(value, str) and value == "deleted":
        del place[path[-1]]
    else:
        place[path[-1]] = copy.deepcopy(value)


VALUES = [
    "deleted",
    None,
    "edited",
    [1],
    {},
    {"a": None},
    -1,
    np.nan,
    np.zeros((2, 2)),
    np.array(["a", None], dtype=object),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda v: repr(v)[:20])
@pytest.mark.parametrize("key", READERS)
def test_every_entry_of_a_record_may_be_spoilt(complete, key, value):
    """Where the schema lets it pass, each reader answers, or says with an error of the package what
    is wrong.
    """
    whole = complete.uns[key]
    for path in _paths(whole):
        complete.uns[key] = copy.deepcopy(whole)
        _spoil(complete.uns[key], path, value)
        for read in [lambda a: read_record(a, key, KINDS[key]), *READERS[key][:5]]:
            try:
                read(complete)
            except CellFlowError:
                break


@pytest.mark.parametrize(
    ("key", "read"), [(key, read) for key, readers in READERS.items() for read in readers]
)
def test_every_reader_goes_through_the_schema(complete, key, read, frozen):
    complete.uns[key]["params"]["time_key"] = None
    with (
        frozen(complete),
        pytest.raises(
            CellFlowError, match=rf"adata\.uns\['{key}'\]\['params'\]\['time_key'\] is None"
        ),
    ):
        read(complete)


@pytest.mark.parametrize(
    "path",
    [
        (),
        *_paths(schema.FIT, 1),
        ("params", "use_rep"),
        ("params", "n_dims"),
        ("fingerprint", "times"),
    ],
)
def test_the_entry_is_named_and_what_to_do(complete, path, frozen):
    _spoil(complete.uns, ("cellflow", *path), None)
    called = "".join(f"\\[{name!r}\\]" for name in path if name != "times")
    with frozen(complete), pytest.raises(CellFlowError) as said:
        cf.tl.velocity(complete)
    if path and path[0] not in {"cellflow_version", "kind"}:
        assert f"adata.uns['cellflow']{called}".replace("\\", "") in str(said.value)
        assert "cf.tl.flow" in str(said.value)


@pytest.mark.parametrize("name", [name for name, entry in schema.FIT.items() if entry.required])
def test_a_required_entry_that_is_missing(complete, name, frozen):
    del complete.uns["cellflow"][name]
    with (
        frozen(complete),
        pytest.raises(
            (ModelFileError, MissingKeyError), match=rf"\['{name}'\] is missing|holds no fit"
        ),
    ):
        record_of(complete, Keys())


def test_what_is_read_is_in_the_schema(complete):
    """Nothing is written that the schema does not know."""
    assert set(complete.uns["cellflow"]) <= {*schema.FIT, "diagnosis"}
    assert set(complete.uns["cellflow"]["params"]) <= set(schema.FIT["params"].entries)
    assert set(complete.uns["cf_densities"]) <= set(schema.DENSITIES)
    assert set(complete.uns["cf_holdout"]) <= set(schema.BENCHMARK)


@pytest.mark.parametrize(
    "spoil",
    [
        "{",
        "[]",
        "[{}]",
        '[{"name": "a", "mean": "x", "scale": 1}]',
        "null",
        "3",
        '[{"name": "a", "values": ["b"]}]',
    ],
)
def test_conditions_that_are_none(complete, spoil):
    complete.uns["cellflow"]["conditions"] = spoil
    if spoil == "[]":
        cf.tl.velocity(complete, genes=[])
    else:
        with pytest.raises(ModelFileError, match=r"adata\.uns\['cellflow'\]\['conditions'\]"):
            cf.tl.velocity(complete)


@pytest.mark.parametrize(
    "embeddings", ["deleted", None, "umap", [1], np.array(["umap", "tsne"], dtype=object), {"a": 1}]
)
def test_velocity_params_may_be_anything(complete, embeddings):
    _spoil(complete.uns["velocity_params"], ("embeddings",), embeddings)
    cf.tl.velocity(complete, basis="umap")
    assert complete.uns["velocity_params"]["embeddings"].tolist() == ["umap"]
    complete.uns["velocity_params"] = "edited"
    cf.tl.velocity(complete)
    assert complete.uns["velocity_params"]["embeddings"].tolist() == []


# Old files ----------------------------------------------------------------------------------------


def test_a_file_of_an_old_version_answers(archived):
    """Its record says no kind, remembers some of the cells, and its trajectories have three
    dimensions.
    """
    assert kind_of(archived, "cellflow") == "fit"
    assert kind_of(archived, "cf_densities") == "densities"
    before = archived.obsm["velocity_pca"].copy()
    paths = archived.obsm["cf_trajectory"]
    assert paths.ndim == 3
    np.testing.assert_array_equal(cf.get.trajectories(archived), paths)
    cf.pl.trajectories(archived, n_cells=4, ax=Figure().add_subplot())
    assert list(cf.get.density(archived)) == [0.0, 12.0, 48.0]
    assert len(cf.get.diagnosis(archived)) == 3
    cf.tl.velocity(archived, basis="umap")
    np.testing.assert_allclose(archived.obsm["velocity_pca"], before, rtol=1e-4, atol=1e-6)
    cf.tl.trajectories(archived, n_times=3)
    np.testing.assert_allclose(cf.get.trajectories(archived), paths, rtol=1e-4, atol=1e-5)
    assert archived.obsm["cf_trajectory"].shape == (60, 12)


@pytest.mark.parametrize("cells", [True, False], ids=["with cells by position", "by name only"])
def test_an_old_fit_still_notices_another_representation(archived, cells):
    if not cells:
        del archived.uns["cellflow"]["fingerprint"]["cells"]
        archived.obs_names = [f"renamed{i}" for i in range(60)]
        cf.tl.velocity(archived)  # nothing can be told
        return
    other = archived[::2].copy()
    other.obsm["X_pca"] = -other.obsm["X_pca"]
    with pytest.raises(InputError, match="other values for 30 of 30 remembered cells"):
        cf.tl.velocity(other)
    other.obs_names = [f"renamed{i}" for i in range(30)]
    with pytest.raises(InputError, match="has not seen: 30 of 30"):
        cf.tl.velocity(other)


def test_a_refit_of_an_old_fit_removes_what_came_of_it(archived):
    cf.tl.flow(archived, "hours", method=quick_recipe())
    assert set(archived.obsm) == {"X_pca", "X_umap"}
    assert kind_of(archived, "cellflow") == archived.uns["cellflow"]["kind"] == "fit"
    cf.tl.velocity(archived)


# Lists of foreign files ---------------------------------------------------------------------------

FOREIGN = [
    "obs/grp", "obs/hours", "obsm/X_umap", "obsm/X_pca", "varm/PCs", "layers/counts", "uns/note",
    "obsp/conn",
    "uns/cf_holdout",
    "var/symbol", "X/", "/X", "", "obs", "obs/", "__dict__/_X", "raw/x", "obsm/velocity_",
    "obs/cf_time/", "obs/mine_time",
    "var/velocity_umap", "obs/velocity_umap", "obsm/my_velocity_umap", "layers/velocity_u",
    "uns/cellflow", 3, None,
]  # fmt: skip


@pytest.mark.parametrize("entry", FOREIGN, ids=repr)
def test_a_list_can_claim_no_more_than_the_package_writes(entry):
    adata = make_cells(30)
    adata.uns["cellflow"] = {
        "cellflow_version": "0.1.0",
        "model": {},
        "written": np.array(["obs/cf_time", entry], dtype=object),
    }
    assert written(adata, Keys()) == {("obs", "cf_time"), ("uns", "cellflow")}


@pytest.mark.parametrize(
    "value",
    [None, "obs/hours", 3, {}, {"a": "obs/hours"}, [["obs/hours"]], np.array(3.0)],
    ids=repr,
)
def test_a_list_may_be_anything(value):
    adata = make_cells(30)
    adata.uns["cellflow"] = {"cellflow_version": "0.1.0", "model": {}, "written": value}
    assert written(adata, Keys()) == {("uns", "cellflow")}


def test_a_refit_leaves_everything_of_the_user(complete, digest_of):
    user = make_cells()
    complete.obs["grp"], complete.layers["counts"], complete.uns["note"] = (
        "a",
        complete.X.copy(),
        {"a": 1},
    )
    places = [e for e in FOREIGN if isinstance(e, str)]
    complete.uns["cellflow"]["written"] = np.array(
        [*complete.uns["cellflow"]["written"], *places], dtype=object
    )
    before = complete.copy()
    cf.tl.flow(complete, "hours", method=quick_recipe())
    assert {"obs/hours", "obs/grp"} <= {f"obs/{name}" for name in complete.obs}
    for slot, names in {
        "obs": ["hours", "grp"],
        "obsm": ["X_pca", "X_umap"],
        "layers": ["counts"],
        "uns": ["note", "cf_holdout"],
    }.items():
        for name in names:
            assert digest_of(getattr(complete, slot)[name]) == digest_of(
                getattr(before, slot)[name]
            )
    assert (complete.X != user.X).nnz == 0
    assert set(complete.obsm) == {"X_pca", "X_umap"}


def test_everything_that_is_written_is_on_the_list_of_keys(complete):
    for keys in (Keys(), Keys("mine")):
        for slot, name in [
            ("obs", "else"),
            ("obsm", "X_pca"),
            ("layers", "cf_time"),
            ("uns", "note"),
        ]:
            with pytest.raises(ValueError, match="no names that"):
                listed(keys, [(slot, name)])
    user = make_cells()
    for slot in ("obs", "var", "obsm", "layers"):
        ours = set(getattr(complete, slot)) - set(getattr(user, slot))
        claimed = written(complete, Keys()) | written(complete, Keys(), kind="densities")
        # Which cells are predictions is said of the cells, and stays when a fit goes.
        assert {(slot, name) for name in ours} - {("obs", "cf_predicted")} <= claimed


# One kind never replaces another ------------------------------------------------------------------


def _none(adata, key):
    """Some result of cellflow that no call replaces."""
    adata.uns[key] = {"cellflow_version": "0.1.0", "use_rep": "X_pca"}


def _tuned(adata, key):
    adata.uns[key] = {
        "cellflow_version": "0.1.0",
        "table": pd.DataFrame({"a": [1]}),
        "recipe": "{}",
        "params": {},
    }


PRESENT = {
    "fit": lambda a, key: cf.tl.flow(a, "hours", method=quick_recipe(), key_added=key),
    "densities": lambda a, key: a.uns.__setitem__(key, a.uns["cf_densities"]),
    "benchmark": lambda a, key: a.uns.__setitem__(key, a.uns["cf_holdout"]),
    "choice": _tuned,
    "prediction": _none,
}
QUICK = {"metrics": "w1", "n_splits": 1, "leak_free": False}
WRITERS = {
    "fit": lambda a, key, **kw: cf.tl.flow(a, "hours", method=quick_recipe(), key_added=key, **kw),
    "densities": lambda a, key, **kw: cf.tl.density(
        a, "hours", method="gmm", key_added=key.removesuffix("_densities"), **kw
    ),
    "benchmark": lambda a, key, **kw: cf.bench.holdout(
        a, "hours", methods=quick_recipe(), key_added=key, **QUICK, **kw
    ),
    "choice": lambda a, key, **kw: cf.bench.tune(
        a, "hours", methods=quick_recipe(), budget=0.1, key_added=key, **kw
    ),
}


@pytest.mark.parametrize("old", ["said", "told by what it holds"])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("there", PRESENT)
def test_a_record_replaces_its_own_kind_only(complete, there, writer, old, frozen):
    PRESENT[there](complete, "a_densities")
    if old == "said" and there in WRITERS:
        complete.uns["a_densities"] = dict(complete.uns["a_densities"]) | {"kind": there}
    elif "kind" in complete.uns["a_densities"]:
        complete.uns["a_densities"] = {
            k: v for k, v in complete.uns["a_densities"].items() if k != "kind"
        }
    if there == writer:
        if writer in {"fit", "densities"}:
            WRITERS[writer](complete, "a_densities")
        assert kind_of(complete, "a_densities") == writer
    else:
        with (
            frozen(complete),
            pytest.raises(
                InputError, match=r"adata\.uns\['a_densities'\] holds .* pass another key_added="
            ),
        ):
            WRITERS[writer](complete, "a_densities")


def test_overwrite_replaces_another_kind(complete):
    WRITERS["densities"](complete, "cellflow_densities")
    assert kind_of(complete, "cf_densities") == "densities"
    cf.tl.flow(complete, "hours", method=quick_recipe(), key_added="cf_densities", overwrite=True)
    assert kind_of(complete, "cf_densities") == "fit"
    with pytest.raises(MissingKeyError, match="holds no densities"):
        cf.get.density(complete)


# Joined with other cells --------------------------------------------------------------------------

WITH = {
    "predictions": lambda a: cf.tl.predict(a, time=24.0, n_obs=5),
    "descendants": lambda a: cf.tl.push(a, ["cell1"], time=40.0),
    "paths": lambda a: cf.tl.simulate(a, n_times=3, cells=["cell1"]),
    "unfitted cells": lambda a: make_cells(30, seed=1),
    "cells with nothing": lambda a: ad.AnnData(np.zeros((2, 1), dtype=np.float32)),
    "cells of another fit": lambda a: cf.tl.flow(
        make_cells(30, seed=1), "hours", method=quick_recipe(), copy=True
    ),
    "themselves": lambda a: a.copy(),
}


@pytest.mark.parametrize("join", ["inner", "outer"])
@pytest.mark.parametrize("case", WITH)
def test_whatever_was_written_can_be_joined(complete, case, join):
    other = WITH[case](complete)
    both = ad.concat(
        {"these": complete, "others": other},
        label="what",
        join=join,
        index_unique="-",
        uns_merge="first",
    )
    assert both.n_obs == 90 + other.n_obs
    if join == "outer":
        np.testing.assert_array_equal(
            both.obsm["cf_trajectory"][:90], complete.obsm["cf_trajectory"]
        )
    these = both[both.obs["what"] == "these"].copy()
    if "cf_trajectory" in these.obsm and "cf_time_inferred" in these.obs:
        these.obs["cf_time_inferred"] = these.obs["cf_time_inferred"].astype(bool)
        np.testing.assert_array_equal(cf.get.trajectories(these), cf.get.trajectories(complete))


def test_everything_written_has_two_dimensions(complete):
    cf.tl.velocity(complete, basis="umap")
    assert {value.ndim for value in complete.obsm.values()} == {2}
    assert complete.uns["cellflow"]["trajectory_shape"].tolist() == [3, 4]
    assert cf.get.trajectories(complete).shape == (90, 3, 4)
