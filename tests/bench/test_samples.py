"""Hold-outs with samples."""

import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.errors import InputError, InputWarning, MissingKeyError
from conftest import make_cells, quick_recipe

QUICK = quick_recipe()


def _holdout(adata, **arguments):
    given = {"methods": QUICK, "metrics": "w1", "leak_free": False, "progress": False}
    return cf.bench.holdout(adata, "hours", **(given | arguments))


def _replicated():
    adata = make_cells(180)
    adata.obs["dish"] = np.tile(["a", "b", "c"], 60)
    adata.obs["type"] = np.tile(["x", "x", "y", "y", "x"], 36)
    return adata


def test_intervals_and_floor_are_by_sample(tmp_path):
    adata = _replicated()
    table = _holdout(adata, sample_key="dish", cluster_key="type")
    assert set(table["halves"]) == {"3 samples"}
    assert set(table["n_half"]) == {20}
    assert "Intervals and the noise floor are by sample." in table.attrs["verdict"]
    record = adata.uns["cf_holdout"]
    assert record["params"]["sample_key"] == "dish"
    assert set(record["comparisons"]["n_samples"]) == {3}
    assert set(record["comparisons"]["freedom"]) == {2}
    page = tmp_path / "report.html"
    cf.bench.report(adata, page, cluster_key="type")
    assert "Intervals and the noise floor are by sample" in page.read_text()


def test_one_sample_per_time_is_by_cell_and_said():
    adata = _replicated()
    adata.obs["dish"] = adata.obs["hours"].astype(str)
    with pytest.warns(InputWarning, match="names one sample at every time"):
        table = _holdout(adata, sample_key="dish")
    assert set(table["halves"]) == {"cells"}
    assert "by cell: no held-out time has two samples" in table.attrs["verdict"]


def test_without_samples_nothing_is_said():
    table = _holdout(_replicated())
    assert set(table["halves"]) == {"cells"}
    assert "sample" not in table.attrs["verdict"]


def test_an_older_record_is_read(tmp_path):
    adata = _replicated()
    _holdout(adata)
    record = adata.uns["cf_holdout"]
    record["table"] = record["table"].drop(columns="halves")
    record["comparisons"] = record["comparisons"].drop(columns="n_samples")
    cf.bench.report(adata, tmp_path / "report.html")


def test_offsets_are_removed_unless_asked_not_to():
    adata = _replicated()
    adata.obsm["X_pca"][(adata.obs["dish"] == "b").to_numpy(), 2] += 4.0
    w1 = {}
    for align in (False, True):
        table = _holdout(adata, sample_key="dish", align_samples=align, write=False)
        w1[align] = table.loc[table["kind"] == "floor", "w1_half"].iloc[0]
    # The hidden cells lose the offsets that the other times give.
    assert w1[True] < 0.6 * w1[False]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda a: a.obs.pop("dish"), MissingKeyError, "'dish'.* is missing"),
        (lambda a: a.obs.__setitem__("dish", np.nan), InputError, "no sample for"),
        (lambda a: a.obs.__setitem__("dish", a.obs_names), InputError, "every cell"),
    ],
)
def test_unusable_samples_are_refused_and_nothing_changes(change, error, words):
    adata = _replicated()
    change(adata)
    before = adata.copy()
    with pytest.raises(error, match=words):
        _holdout(adata, sample_key="dish")
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert not adata.uns
