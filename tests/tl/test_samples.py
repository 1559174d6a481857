"""Samples in `cf.tl.flow`: what is said, what is removed, what later calls see."""

import warnings

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.adapter.fitted import read_fitted
from cellflow.analysis.velocity import project
from cellflow.errors import (
    InputError,
    InputTypeError,
    InputWarning,
    MissingKeyError,
    ModelFileError,
)
from conftest import make_cells, quick_recipe

QUICK = quick_recipe()
SHIFT = np.array([0.0, 3.0, -2.0, 0.0], dtype=np.float32)


def _replicated(shift=SHIFT, n=120):
    """One dish at all times, and a second one at the middle time, moved by `shift`."""
    adata = make_cells(n)
    adata.obs["dish"] = "a"
    rows = np.flatnonzero(adata.obs["hours"] == 12.0)[::2]
    adata.obs.iloc[rows, adata.obs.columns.get_loc("dish")] = "b"
    adata.obsm["X_pca"][rows] += shift
    return adata


def _fit(adata, **arguments):
    cf.tl.flow(adata, "hours", method=QUICK, progress=False, **arguments)
    return adata


@pytest.fixture(scope="module")
def fitted():
    with pytest.warns(InputWarning, match="is batch rather than time"):
        return _fit(_replicated(), sample_key="dish")


def test_the_offset_of_a_replicate_is_removed_and_recorded(fitted):
    record = fitted.uns["cellflow"]["samples"]
    assert list(record["names"]) == ["a", "b"]
    np.testing.assert_array_equal(record["is_reference"], [True, False])
    np.testing.assert_array_equal(record["offsets"][0], 0.0)
    np.testing.assert_allclose(record["offsets"][1], SHIFT, atol=1.0)
    cells = read_fitted(fitted, "cellflow").cells
    is_b = (fitted.obs["dish"] == "b").to_numpy()
    x = fitted.obsm["X_pca"]
    np.testing.assert_array_equal(cells.x[~is_b], x[~is_b])
    np.testing.assert_allclose(cells.x[is_b], x[is_b] - record["offsets"][1], atol=1e-5)
    np.testing.assert_array_equal(cells.as_read, x)


def test_the_table_of_samples(fitted):
    table = cf.get.samples(fitted)
    np.testing.assert_array_equal(table["time"], [0.0, 12.0, 48.0])
    np.testing.assert_array_equal(table["n_samples"], [1, 2, 1])
    np.testing.assert_array_equal(table["n_cells"], 40)
    np.testing.assert_array_equal(np.isnan(table["between"]), [True, False, True])
    assert ((table["share"][:2] >= 0) & (table["share"][:2] <= 1)).all()
    assert table["between_aligned"][1] < 0.2 * table["between"][1]
    assert table.attrs["offsets"]["a"] == 0.0
    assert "An offset of each sample is removed" in table.attrs["words"]
    assert "reference: a" in table.attrs["words"]


def test_later_calls_and_other_processes_remove_the_same_offsets(fitted, tmp_path):
    adata = fitted.copy()
    cf.tl.velocity(adata)
    fitted.write_h5ad(tmp_path / "a.h5ad")
    stored = ad.read_h5ad(tmp_path / "a.h5ad")
    cf.tl.velocity(stored)
    np.testing.assert_array_equal(stored.obsm["velocity_pca"], adata.obsm["velocity_pca"])
    pd.testing.assert_frame_equal(cf.get.samples(stored), cf.get.samples(fitted))
    part = fitted[fitted.obs["dish"] == "b"].copy()
    cf.tl.velocity(part)
    whole = adata[adata.obs["dish"] == "b"].obsm["velocity_pca"]
    np.testing.assert_allclose(part.obsm["velocity_pca"], whole, atol=1e-5)


def test_pictures_and_tables_of_a_fit_with_samples(fitted):
    adata = fitted.copy()
    cf.tl.velocity(adata, basis="umap")
    cf.tl.trajectories(adata, n_times=3)
    cf.tl.fates(adata, "dish")
    for basis in ("pca", "umap"):
        cf.pl.stream(adata, basis=basis)
        cf.pl.trajectories(adata, basis=basis)
        plt.close("all")
    cf.get.fates(adata)
    cf.get.trajectories(adata)
    cf.get.transition_matrix(adata)
    later = cf.tl.predict(adata, time=30.0)
    assert np.isfinite(later.obsm["X_pca"]).all()


def test_arrows_in_an_embedding_are_those_of_the_measured_positions(fitted):
    adata = fitted.copy()
    adata.obsm["X_copy"] = adata.obsm["X_pca"][:, :2].astype(np.float64)
    cf.tl.velocity(adata, basis="copy", n_neighbors=30)
    expected = project(
        adata.obsm["X_pca"], adata.obsm["velocity_pca"], adata.obsm["X_copy"], n_neighbors=30
    )
    np.testing.assert_allclose(adata.obsm["velocity_copy"], expected, atol=1e-5)


def test_two_cells_of_two_samples_can_be_asked(fitted):
    few = fitted[[0, int(np.flatnonzero(fitted.obs["dish"] == "b")[0])]].copy()
    cf.tl.velocity(few)
    assert np.isfinite(few.obsm["velocity_pca"]).all()


def test_cells_of_a_new_sample_stay_where_they_are_and_that_is_said(fitted):
    new = _replicated()[:10].copy()
    new.obs_names = [f"new{k}" for k in range(10)]
    new.obs["dish"] = "c"
    new.uns["cellflow"] = fitted.uns["cellflow"]
    with pytest.warns(InputWarning, match=r"samples that the fit has not seen: c"):
        cells = read_fitted(new, "cellflow").cells
    np.testing.assert_array_equal(cells.x, new.obsm["X_pca"])


def test_without_alignment_positions_stay():
    adata = _replicated()
    with pytest.warns(InputWarning, match="No offsets of samples were removed"):
        _fit(adata, sample_key="dish", align_samples=False)
    assert not adata.uns["cellflow"]["samples"]["offsets"].any()
    np.testing.assert_array_equal(read_fitted(adata, "cellflow").cells.x, adata.obsm["X_pca"])


def test_velocities_do_not_point_from_one_replicate_to_the_other():
    along = {}
    for align in (False, True):
        adata = _replicated(4 * SHIFT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            cf.tl.flow(adata, "hours", sample_key="dish", align_samples=align, progress=False)
        cf.tl.velocity(adata)
        velocity = adata.obsm["velocity_pca"][adata.obs["hours"] == 48.0].mean(axis=0)
        along[align] = velocity @ SHIFT / np.linalg.norm(velocity) / np.linalg.norm(SHIFT)
    assert along[False] < -0.9
    assert abs(along[True]) < 0.5


def test_samples_that_differ_by_their_cells_only_change_little_and_give_no_warning(caplog):
    adata = _replicated(0 * SHIFT)
    with caplog.at_level("INFO", "cellflow"), warnings.catch_warnings():
        warnings.simplefilter("error")
        _fit(adata, sample_key="dish")
    assert "names 2 samples" in caplog.text
    assert np.linalg.norm(adata.uns["cellflow"]["samples"]["offsets"]) < 0.5


def test_a_new_fit_without_samples_forgets_them(fitted):
    adata = fitted.copy()
    del adata.obs["dish"]
    _fit(adata)
    assert "samples" not in adata.uns["cellflow"]
    with pytest.raises(MissingKeyError, match="knows of no samples"):
        cf.get.samples(adata)


def test_damaged_offsets_are_found(fitted):
    adata = fitted.copy()
    adata.uns["cellflow"]["samples"]["offsets"] = np.zeros((2, 3))
    with pytest.raises(ModelFileError, match=r"\['samples'\]\['offsets'\]"):
        cf.tl.velocity(adata)
    adata.uns["cellflow"]["samples"]["offsets"] = "none"
    with pytest.raises(ModelFileError, match="a row of numbers for each sample"):
        cf.tl.velocity(adata)


def test_samples_within_conditions():
    adata = _replicated(0 * SHIFT)
    adata.obs["drug"] = np.tile(["none", "some"], 60)
    adata.obs["well"] = adata.obs["drug"].astype(str) + "1"
    with pytest.warns(InputWarning, match="no time and condition has two of them"):
        _fit(adata, sample_key="well", condition_key="drug")


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::cellflow.errors.InputWarning")
def test_cells_that_precede_several_conditions_count_once():
    """The first time is shared by both conditions: its cells are coupled twice, measured once."""
    adata = _replicated()
    first = (adata.obs["hours"] == 0.0).to_numpy()
    adata.obs["drug"] = np.where(np.arange(adata.n_obs) % 2, "yes", "no")
    adata.obs.loc[first, "drug"] = "no"
    _fit(adata, sample_key="dish", condition_key="drug", shared_until=0.0)
    assert cf.get.samples(adata)["n_cells"].sum() == adata.n_obs


def _missing(adata):
    return {"sample_key": "mouse"}, MissingKeyError, "'mouse'.* is missing"


def _empty(adata):
    adata.obs.loc["cell3", "dish"] = np.nan
    return {"sample_key": "dish"}, InputError, "no sample for 1 cells.*Fill it in"


def _every_cell(adata):
    adata.obs["dish"] = adata.obs_names
    return {"sample_key": "dish"}, InputError, "another sample for every cell"


def _fractions(adata):
    adata.obs["dish"] = np.linspace(0, 1, adata.n_obs)
    return {"sample_key": "dish"}, InputError, "numbers with fractions"


def _times(adata):
    return {"sample_key": "hours"}, InputError, "is the column of the times"


def _no_text(adata):
    return {"sample_key": 3}, InputTypeError, "sample_key"


def _no_flag(adata):
    return {"sample_key": "dish", "align_samples": 2}, InputTypeError, "align_samples"


@pytest.mark.parametrize(
    "fault", [_missing, _empty, _every_cell, _fractions, _times, _no_text, _no_flag]
)
def test_unusable_samples_are_refused_and_nothing_changes(fault):
    adata = _replicated()
    arguments, error, words = fault(adata)
    before = adata.copy()
    with pytest.raises(error, match=words):
        _fit(adata, **arguments)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert not adata.uns
    np.testing.assert_array_equal(adata.obsm["X_pca"], before.obsm["X_pca"])


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (lambda a: ["a"] * a.n_obs, "names one sample, 'a', for all cells"),
        (lambda a: a.obs["hours"].astype(str), "names one sample at every time"),
    ],
)
def test_samples_that_are_no_replicates_are_said(samples, words):
    adata = _replicated()
    adata.obs["dish"] = np.asarray(samples(adata))
    with pytest.warns(InputWarning, match=words):
        _fit(adata, sample_key="dish")
    assert np.isnan(cf.get.samples(adata)["share"]).all()
    assert not adata.uns["cellflow"]["samples"]["offsets"].any()


# Without a key ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["sample", "Replicate", "orig.ident", "mouse_id", "donorID", "batch2", "lane"]
)
def test_columns_that_look_like_samples_are_pointed_out(name):
    adata = _replicated(2 * SHIFT).copy()
    adata.obs = adata.obs.rename(columns={"dish": name})
    with pytest.warns(InputWarning, match=f"Pass sample_key='{name}'"):
        _fit(adata)
    found = cf.pp.check(adata, "hours")
    assert (found["key"] == f"adata.obs['{name}']").sum() == 1
    known = cf.pp.check(adata, "hours", sample_key=name)
    assert "An offset of each sample is removed" in known["remedy"][0]
    assert len(known) == 1


@pytest.mark.parametrize("name", ["cell_type", "cluster", "sample_type", "n_samples", "report"])
def test_other_columns_are_not(name):
    adata = _replicated(2 * SHIFT).copy()
    adata.obs = adata.obs.rename(columns={"dish": name})
    assert len(cf.pp.check(adata, "hours")) == 0


def test_samples_that_are_alike_are_not_pointed_out():
    for seed in range(5):
        adata = make_cells(120, seed=seed)
        adata.obs["batch"] = np.tile(["a", "b", "c"], 40)
        assert len(cf.pp.check(adata, "hours")) == 0


def test_calls_without_samples_do_not_ask_for_them():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cf.tl.density(_replicated(2 * SHIFT), "hours", method="gmm")


def test_a_column_of_conditions_is_not_pointed_out():
    adata = _replicated()
    adata.obs["patient"] = np.tile(["x", "y"], 60)
    adata.obsm["X_pca"][1::2] += SHIFT
    adata.obs = adata.obs[["hours", "patient"]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _fit(adata, condition_key="patient")
