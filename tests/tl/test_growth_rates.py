"""`cf.tl.growth`: rates of a fit, their interval over assumptions, and what was assumed."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.errors import InputError, InputWarning, MissingKeyError
from cellflow.training import Training
from conftest import make_cells, quick_recipe

KEYS = ["cf_growth", "cf_growth_low", "cf_growth_high"]


def two_types(seed=0):
    """Shares go from .5 and .5 to .25 and .75 in 2 days, while the whole doubles."""
    rng = np.random.default_rng(seed)
    kind = np.concatenate([np.arange(120) >= 60, np.arange(160) >= 40])
    day = np.repeat([0.0, 2.0], [120, 160])
    adata = ad.AnnData(
        obs=pd.DataFrame(
            {"day": day, "kind": np.where(kind, "b", "a"), "size": 1.0 + day / 2.0},
            index=[f"c{i}" for i in range(280)],
        )
    )
    x = rng.normal(size=(280, 2)) + np.stack([8.0 * kind, day], axis=1)
    adata.obsm["X_pca"] = x.astype(np.float32)
    return adata


def learned(**how):
    adata = two_types()
    recipe = cf.recipes.uot_cfm(tau=0.1, training=Training(steps=500, batch_size=128))
    cf.tl.flow(adata, "day", method=recipe, **how)
    return adata


@pytest.fixture(scope="module")
def sized():
    adata = learned(mass_key="size")
    cf.tl.growth(adata)
    return adata


def test_rates_of_types_are_true_where_sizes_are_known(sized):
    """The masses .5 and .5 become .5 and 1.5: rates 0 and log(3) / 2, within the interval."""
    mean = sized.obs.groupby("kind")[KEYS].mean()
    for kind, true in (("a", 0.0), ("b", np.log(3.0) / 2.0)):
        assert mean.loc[kind, "cf_growth"] == pytest.approx(true, abs=0.15)
        assert mean.loc[kind, "cf_growth_low"] - 0.05 <= true
        assert true <= mean.loc[kind, "cf_growth_high"] + 0.05
    low, rate, high = (sized.obs[name] for name in ("cf_growth_low", "cf_growth", "cf_growth_high"))
    assert ((low <= rate) & (rate <= high)).all()


def test_the_record_says_what_was_assumed(sized):
    found = sized.uns["cellflow"]["growth_assumptions"]
    assert "rates are absolute" in found["words"]
    assert found["sizes"] == "adata.obs['size']"
    assert list(found["tried"]) == ["tau=0.1", "tau=0.3", "tau=1", "tau=3"]
    assert found["mean_rates"]["fit"] == pytest.approx(sized.obs["cf_growth"].mean())
    relative = learned()
    cf.tl.growth(relative, taus=[1.0])
    found = relative.uns["cellflow"]["growth_assumptions"]
    assert "No sizes of populations are known" in found["words"]
    assert (found["sizes"], list(found["tried"])) == ("equal", ["tau=1"])
    # Without sizes, all rates are lower by that of the whole, log(2) / 2.
    shift = sized.obs["cf_growth"] - relative.obs["cf_growth"]
    assert shift.mean() == pytest.approx(np.log(2.0) / 2.0, abs=0.05)


def test_hours_instead_of_days_divide_rates_by_24(sized):
    hours = two_types()
    hours.obs["day"] *= 24.0
    recipe = cf.recipes.uot_cfm(tau=0.1, training=Training(steps=500, batch_size=128))
    cf.tl.flow(hours, "day", method=recipe, mass_key="size")
    cf.tl.growth(hours)
    for name in KEYS:
        np.testing.assert_allclose(24.0 * hours.obs[name], sized.obs[name], atol=2e-3)


def test_prior_rates_of_the_fit_are_an_assumption():
    cells = make_cells()
    cells.obs["rate"] = np.where(np.arange(90) % 2, 0.02, 0.0)
    cf.tl.flow(cells, "hours", method=quick_recipe(), growth="prior", growth_key="rate")
    cf.tl.growth(cells, taus=[])
    found = cells.uns["cellflow"]["growth_assumptions"]
    assert list(found["tried"]) == ["prior"]
    assert "prior rates of adata.obs['rate']" in found["words"]


def test_results_are_those_of_the_fit_and_go_with_it(fitted_as, tmp_path):
    cells = fitted_as("growth")
    before = cells.copy()
    changed = cf.tl.growth(cells, copy=True)
    assert not set(KEYS) & set(cells.obs)
    np.testing.assert_array_equal(cells.obsm["X_pca"], before.obsm["X_pca"])
    flow = cf.get.flow(changed)
    own = flow.head("growth", changed.obsm["X_pca"], changed.obs["cf_time"].to_numpy())
    np.testing.assert_allclose(changed.obs["cf_growth"], own, rtol=1e-6)
    changed.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.obs["cf_growth_low"], changed.obs["cf_growth_low"])
    cf.tl.growth(again)
    np.testing.assert_allclose(again.obs["cf_growth"], changed.obs["cf_growth"], rtol=1e-5)
    cf.tl.flow(changed, "hours", method=quick_recipe())
    assert not set(KEYS) & set(changed.obs)


def test_cells_without_a_time_and_cells_of_one_snapshot(fitted_as):
    cells = fitted_as("growth")
    early = cells[cells.obs["hours"] == 0.0].copy()
    with pytest.warns(InputWarning, match="Fewer than two snapshots"):
        cf.tl.growth(early)
    assert np.isfinite(early.obs["cf_growth"]).all()
    assert early.obs["cf_growth_low"].isna().all()
    gaps = make_cells()
    gaps.obs.loc[gaps.obs_names[::9], "hours"] = np.nan
    cf.tl.flow(gaps, "hours", method=quick_recipe(), growth="learn")
    cf.tl.growth(gaps)
    assert np.isfinite(gaps.obs[KEYS].to_numpy()).all()


def test_conditions_have_rates_of_their_own():
    cells = make_cells(120)
    cells.obs["drug"] = np.tile(["none", "some"], 60)
    cf.tl.flow(cells, "hours", method=quick_recipe(), growth="learn", condition_key="drug")
    cf.tl.growth(cells)
    assert np.isfinite(cells.obs[KEYS].to_numpy()).all()


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("default", {}, r"no growth head.*growth='learn'"),
        ("growth", {"taus": [0.0]}, "tau"),
        ("growth", {"taus": []}, "at least one relaxation"),
        ("growth", {"n_neighbors": 0}, "n_neighbors"),
        ("growth", {"max_cells": 1}, "max_cells"),
        ("growth", {"key": "other"}, "holds no fit"),
    ],
)
def test_bad_input_is_refused_and_left_alone(fitted_as, kind, arguments, message):
    cells = fitted_as(kind)
    before = list(cells.obs)
    with pytest.raises(InputError, match=message):
        cf.tl.growth(cells, **arguments)
    assert list(cells.obs) == before
    assert "growth_assumptions" not in cells.uns["cellflow"]


def test_fields_of_others_are_not_replaced(fitted_as):
    cells = fitted_as("growth")
    cells.obs["cf_growth"] = 1.0
    with pytest.raises(InputError, match="was not written by cellflow"):
        cf.tl.growth(cells)
    cf.tl.growth(cells, overwrite=True)


def test_the_table_by_group_is_the_mean_of_its_cells(sized):
    table = cf.get.growth(sized, "kind").set_index("group")
    mean = sized.obs.groupby("kind")[KEYS].mean()
    np.testing.assert_allclose(table[["growth", "low", "high"]], mean)
    np.testing.assert_allclose(table["doubling_time"] * table["growth"], np.log(2.0))
    np.testing.assert_allclose(table["fastest"] * table["high"], np.log(2.0))
    assert table["n_cells"].to_dict() == {"a": 100, "b": 180}
    assert "rates are absolute" in table.attrs["assumptions"]
    timed = cf.get.growth(sized, "kind", by_time=True)
    assert timed["n_cells"].tolist() == [60, 40, 60, 120]
    assert timed["time"].tolist() == [0.0, 2.0, 0.0, 2.0]


def test_a_table_needs_rates_of_the_fit(fitted_as):
    cells = fitted_as("growth")
    cells.obs["cf_growth"] = 1.0
    with pytest.raises(MissingKeyError, match=r"Compute it first: cf.tl.growth\(adata\)"):
        cf.get.growth(cells, "hours")
    cf.tl.growth(cells, overwrite=True)
    with pytest.raises(MissingKeyError, match="Pass groupby="):
        cf.get.growth(cells, "type")
