"""The registry of data sets, their reader, and the records of the scripts."""

import numpy as np
import pytest

import cellflow as cf
from cellflow.bench._sets import read_set, read_types
from cellflow.errors import MissingDataError
from cellflow.evaluation.names import PROTOCOLS
from cellflow.evaluation.sets import JUDGED, SETS, DataSet, published


def test_every_set_has_one_source_and_a_description():
    for name, data in SETS.items():
        assert name == data.name
        assert bool(data.file) != bool(data.loader), name
        assert data.about.endswith("."), name
        assert set(data.protocols) <= set(PROTOCOLS), name
        for loader in filter(None, (data.loader, data.literature and data.literature.loader)):
            assert loader in cf.datasets.__all__, name
    assert {"eb", "cite", "multi"} == {n for n, data in SETS.items() if data.literature}
    assert not [name for name in JUDGED if name.startswith("eb")]


def test_figures_that_were_not_read_at_their_source_are_left_out():
    figures = {figure.method: figure for figure in published("eb", 5, "P1")}
    assert (figures["OT-MFM"].w1, figures["OT-MFM"].sd) == (0.713, 0.039)
    assert np.isnan(figures["DSB"].sd)
    assert "WLF-UOT" not in figures
    assert published("eb", 7, "P1") == []


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "table.csv").write_text("samples,x1,x2\n1,0.5,2\n0,1.5,3\n1,2.5,4\n")
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(3, 2))
    np.save(tmp_path / "when.npy", np.array([0, 1, 1]))
    np.savez(tmp_path / "both.npz", X=np.ones((4, 3)), time=np.array([0, 0, 1, 2]))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "time", "sizes"),
    [
        ("table.csv", "samples", [1, 2]),
        ("x.npy", "when.npy", [1, 2]),
        ("both.npz", "time", [2, 1, 1]),
    ],
)
def test_files_are_read(folder, file, time, sizes):
    snapshots = read_set(DataSet("a set", "Some cells.", file, time=time), folder)
    assert [len(p) for p in snapshots.populations] == sizes


def test_an_annotated_file_is_read_with_its_types(folder, cells):
    cells.obs["minutes"] = cells.obs["hours"].astype(float) * 60
    cells.obs["kind"] = np.where(cells.obsm["X_pca"][:, 0] > 0, "a", "b")
    cells.obs.loc[cells.obs_names[:3], "minutes"] = np.nan
    cells.write_h5ad(folder / "cells.h5ad")
    data = DataSet(
        "a set",
        "Some cells.",
        "cells.h5ad",
        time="minutes",
        types="kind",
        n_dims=2,
        standardise=True,
    )
    snapshots, types = read_types(data, folder)
    assert snapshots.n_dims == 2
    assert [len(t) for t in types] == [len(p) for p in snapshots.populations]
    assert sum(map(len, types)) == cells.n_obs - 3
    first = cells[cells.obs["minutes"] == snapshots.times[0]]
    assert types[0].tolist() == first.obs["kind"].tolist()


def test_an_absent_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(MissingDataError, match=r"eb_pcs5_whitened\.npy is absent"):
        read_set(SETS["eb"], tmp_path)


def test_the_shipped_set_needs_no_folder(tmp_path):
    snapshots = read_set(SETS["myoblasts"], tmp_path)
    assert [len(p) for p in snapshots.populations] == [69, 74, 79, 49]
    assert snapshots.n_dims == 5


def test_records_are_kept_and_not_computed_twice(script, tmp_path):
    records = script("records")
    kept = records.Records(tmp_path / "rows.jsonl", ("set", "seed"))
    kept.add({"set": "a", "seed": 0, "w1": 1.0}, {"set": "a", "seed": 1, "w1": 2.0})
    again = records.Records(tmp_path / "rows.jsonl", ("set", "seed"))
    assert ("a", 1) in again
    assert ("b", 1) not in again
    again.add({"set": "a", "seed": 1, "w1": 3.0})
    assert again.frame(("set", "seed"))["w1"].tolist() == [1.0, 3.0]
