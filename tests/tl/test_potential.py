"""cf.tl.potential: what is written, of which cells, and what is said about it."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.errors import InputError, InputWarning, MissingKeyError


def test_each_snapshot_has_a_zero_of_its_own(fitted):
    cf.tl.potential(fitted)
    found = fitted.obs["cf_potential"]
    timed = fitted.obs["hours"].notna()
    assert np.array_equal(found.notna(), timed)
    means = found[timed].groupby(fitted.obs["cf_time"][timed]).mean()
    np.testing.assert_allclose(means, 0.0, atol=1e-9)
    table = cf.get.potential(fitted)
    assert table["time"].tolist() == [0.0, 12.0, 48.0]
    assert table["n_cells"].sum() == timed.sum()
    assert table["unexplained"].between(0.0, 1.0).all()
    mean = np.average(table["unexplained"], weights=table["n_cells"])
    assert table.attrs["unexplained"] == pytest.approx(mean)


def test_cells_move_downhill(fitted):
    cf.tl.potential(fitted)
    flow = cf.get.flow(fitted)
    first = np.flatnonzero(fitted.obs["hours"] == 0.0)
    x, value = fitted.obsm["X_pca"][first], fitted.obs["cf_potential"].to_numpy()[first]
    along = x @ flow.velocity(x, 0.0).mean(axis=0)
    assert np.corrcoef(along, value)[0, 1] < -0.9


def test_one_time_for_all_cells_makes_one_landscape(fitted):
    cf.tl.potential(fitted, time=12.0)
    assert fitted.obs["cf_potential"].notna().all()
    table = cf.get.potential(fitted)
    assert table["time"].tolist() == [12.0]
    assert table["n_cells"].tolist() == [fitted.n_obs]
    assert not fitted.uns["cellflow"]["potential"]["by_snapshot"]


def test_chosen_cells(fitted):
    chosen = fitted.obs["hours"] == 12.0
    cf.tl.potential(fitted, cells=chosen)
    assert np.array_equal(fitted.obs["cf_potential"].notna(), chosen)
    whole = cf.tl.potential(fitted, copy=True, overwrite=True)
    np.testing.assert_allclose(
        whole.obs["cf_potential"][chosen], fitted.obs["cf_potential"][chosen], atol=1e-6
    )


def test_the_drift_has_another_potential(fitted):
    flow = cf.tl.potential(fitted, copy=True)
    drift = cf.tl.potential(fitted, kind="drift", sigma=1.0, copy=True)
    assert drift.uns["cellflow"]["potential"]["kind"] == "drift"
    assert drift.uns["cellflow"]["potential"]["sigma"] == 1.0
    assert "sigma" not in flow.uns["cellflow"]["potential"]
    assert not np.allclose(drift.obs["cf_potential"].dropna(), flow.obs["cf_potential"].dropna())


def test_conditions_are_apart(fitted_as):
    adata = fitted_as("conditions")
    cf.tl.potential(adata)
    table = cf.get.potential(adata)
    assert len(table) == 6
    assert table["condition"].nunique() == 2
    groups = adata.obs.groupby(["hours", "drug"], observed=True)["cf_potential"]
    np.testing.assert_allclose(groups.mean(), 0.0, atol=1e-9)


def test_an_ensemble_has_standard_errors(fitted_as):
    adata = fitted_as("ensemble")
    cf.tl.potential(adata)
    se = adata.obs["cf_potential_se"]
    assert np.array_equal(se.notna(), adata.obs["cf_potential"].notna())
    assert (se.dropna() > 0).all()
    assert "cf_potential_se" not in cf.tl.potential(fitted_as("default"), copy=True).obs


def test_it_goes_with_a_new_fit(fitted_as):
    from conftest import quick_recipe

    adata = fitted_as("ensemble")
    cf.tl.potential(adata)
    cf.tl.flow(adata, "hours", method=quick_recipe())
    assert not [name for name in adata.obs if "potential" in name]
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.potential"):
        cf.get.potential(adata)


def test_a_rotation_is_said_before_it_is_drawn(fitted, monkeypatch, caplog):
    # Positions are whitened, so that a rotation leaves the population as it is.
    def turning(flow, x, t, *, context=None):
        return np.column_stack([-x[:, 3], 0 * x[:, 1:3], x[:, 0]])

    chosen = fitted.obs["hours"] == 12.0
    monkeypatch.setattr(cf.Flow, "velocity", turning)
    with (
        caplog.at_level(logging.INFO, "cellflow"),
        pytest.warns(InputWarning, match="More than half of the squared velocity"),
    ):
        cf.tl.potential(fitted, cells=chosen)
    share = cf.get.potential(fitted).attrs["unexplained"]
    assert share > 0.5
    assert f"{share:.2f} of the squared velocity" in caplog.text


def test_components_are_said(fitted, caplog):
    with caplog.at_level(logging.INFO, "cellflow"):
        cf.tl.potential(fitted, n_neighbors=1)
    assert (cf.get.potential(fitted)["n_components"] > 1).all()
    assert "falls apart" in caplog.text


def test_a_cell_that_is_alone_has_no_potential(fitted):
    late = np.flatnonzero(fitted.obs["hours"] == 48.0)
    cf.tl.potential(fitted, cells=np.append(0, late))
    assert np.isnan(fitted.obs["cf_potential"].iloc[0])
    assert fitted.obs["cf_potential"].iloc[late].notna().all()
    table = cf.get.potential(fitted)
    assert table["n_components"].tolist() == [0, 1]
    assert np.isnan(table["unexplained"].iloc[0])
    assert table.attrs["unexplained"] == table["unexplained"].iloc[1]


def test_two_cells_have_no_known_share_and_are_stored(fitted, tmp_path):
    cf.tl.potential(fitted, cells=[0, 1])
    assert np.isnan(cf.get.potential(fitted).attrs["unexplained"])
    assert "not known" in cf.get.potential(fitted).attrs["words"]
    fitted.write_h5ad(tmp_path / "two.h5ad")
    again = ad.read_h5ad(tmp_path / "two.h5ad")
    pd.testing.assert_frame_equal(cf.get.potential(again), cf.get.potential(fitted))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "drifts"}, "expected 'flow'"),
        ({"sigma": 1.0}, "kind='drift'"),
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"time": 1000.0}, "mean interval"),
        ({"time": "soon"}, "soon"),
        ({"cells": [0]}, "No two different cells"),
        ({"cells": [0, 40]}, "No two different cells"),
        ({"cells": ["cell07"]}, "did you mean"),
    ],
)
def test_bad_input(fitted, frozen, options, said):
    with frozen(fitted), pytest.raises(InputError, match=said):
        cf.tl.potential(fitted, **options)


def test_cells_without_a_time_need_one(fitted, frozen):
    untimed = fitted.obs["hours"].isna()
    with frozen(fitted), pytest.raises(InputError, match="pass time="):
        cf.tl.potential(fitted, cells=untimed)
    cf.tl.potential(fitted, cells=untimed, time=12.0)
    assert np.array_equal(fitted.obs["cf_potential"].notna(), untimed)


def test_no_potential_yet(fitted):
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.potential\(adata\)"):
        cf.get.potential(fitted)
