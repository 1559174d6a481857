"""Fates by an ensemble: standard errors, and intervals of cells and of groups."""

import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.adapter.fitted import read_fitted
from cellflow.analysis.fates import fates as find_fates
from cellflow.analysis.trajectories import Noise
from cellflow.core._spread import Spread, spread
from cellflow.errors import InputError
from cellflow.tl._fate_targets import fate_cells, read_targets
from conftest import quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")

SURE = {"cf_fates_se", "cf_fates_members", "cf_fate_mass_members"}


def with_types(adata):
    side = np.where(adata.obsm["X_pca"][:, 2] > 0, "upper", "lower")
    adata.obs["cell_type"] = pd.Categorical(side)
    return adata


@pytest.fixture
def labelled(fitted_as):
    """Cells of an ensemble of two with a score and growth."""
    return with_types(fitted_as("ensemble"))


def by_members(adata):
    width = adata.obsm["lineages_fwd"].shape[1]
    return adata.obsm["cf_fates_members"].reshape(adata.n_obs, -1, width)


@pytest.mark.parametrize("n_rep", [None, 3])
def test_every_member_is_asked_with_the_same_noise(labelled, n_rep):
    cf.tl.fates(labelled, stochastic=n_rep is not None, n_rep=n_rep or 20)
    fitted = read_fitted(labelled, "cellflow")
    noise = None if n_rep is None else Noise(n_rep, 0, fitted.noise_keys)
    targets = read_targets(labelled, fitted, "cell_type", "last", None, backward=False)
    each = [
        find_fates(member, fate_cells(fitted), targets, noise=noise)
        for member in fitted.flow.members
    ]
    width = labelled.obsm["lineages_fwd"].shape[1]
    p = np.stack([found.probability[:, :width] for found in each], axis=1)
    np.testing.assert_allclose(by_members(labelled), p, atol=1e-6)
    np.testing.assert_allclose(labelled.obsm["lineages_fwd"], p.mean(axis=1))
    within = np.mean([found.sd[:, :width] ** 2 for found in each], axis=0)
    np.testing.assert_allclose(labelled.obsm["cf_fates_sd"], np.sqrt(within))
    se = np.sqrt(p.std(axis=1) ** 2 + within)
    np.testing.assert_allclose(labelled.obsm["cf_fates_se"], se, atol=1e-6)
    assert labelled.uns["cellflow"]["fates"]["n_members"] == 2


def test_the_interval_of_a_group_is_that_of_the_members_means(labelled):
    labelled.obs["w"] = np.random.default_rng(0).uniform(1, 2, labelled.n_obs)
    recipe = quick_recipe()
    cf.tl.flow(labelled, "hours", method=recipe, growth="learn", n_members=3, weight_key="w")
    cf.tl.fates(labelled)
    table = cf.get.fates(labelled, groupby="hours", interval=0.8)
    rows = np.flatnonzero(labelled.obs["hours"] == 0)
    mass = labelled.obs["w"].to_numpy()[rows, None] * labelled.obsm["cf_fate_mass_members"][rows]
    each = np.stack(
        [np.average(by_members(labelled)[rows, m], axis=0, weights=mass[:, m]) for m in range(3)]
    )
    found = table[table["group"] == 0]
    np.testing.assert_allclose(found["se"], spread(each).se, atol=1e-7)
    low, high = spread(each, read_fitted(labelled, "cellflow").flow.degrees).interval(0.8)
    wide = np.minimum(found["high"], 1) - np.maximum(found["low"], 0)
    inside = ((found["low"] > 0) & (found["high"] < 1)).to_numpy()
    assert inside.sum() >= 2
    np.testing.assert_allclose(wide[inside], (high - low)[inside], atol=1e-6)
    assert found["low"].min() >= 0
    assert found["high"].max() <= 1
    without = table.drop(columns=["se", "low", "high"])
    pd.testing.assert_frame_equal(without, cf.get.fates(labelled, groupby="hours"))


def test_intervals_of_cells(labelled):
    cf.tl.fates(labelled)
    table = cf.get.fates(labelled, interval=0.9)
    np.testing.assert_allclose(table["se"], labelled.obsm["cf_fates_se"].ravel())
    p = table["probability"].to_numpy()
    low, high = Spread(p, table["se"].to_numpy(), degrees=1.0).interval(0.9)
    np.testing.assert_allclose(table["low"], np.maximum(low, 0))
    np.testing.assert_allclose(table["high"], np.minimum(high, 1))
    wider = cf.get.fates(labelled, interval=0.99)
    assert (wider["low"] <= table["low"]).all()
    assert (table["low"] <= table["probability"]).all()
    assert (table["probability"] <= table["high"]).all()


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_files_keep_intervals_and_a_new_fit_removes_them(labelled, form, tmp_path):
    before = (set(labelled.obs), set(labelled.obsm), set(labelled.uns))
    cf.tl.fates(labelled)
    cf.tl.ancestors(labelled)
    path = tmp_path / f"a.{form}"
    getattr(labelled, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    for backward in (False, True):
        asked = {"groupby": "hours", "backward": backward, "interval": 0.9}
        pd.testing.assert_frame_equal(cf.get.fates(again, **asked), cf.get.fates(labelled, **asked))
    cf.tl.flow(labelled, "hours", method=quick_recipe())
    assert (set(labelled.obs), set(labelled.obsm), set(labelled.uns)) == before


def test_a_new_process_finds_the_same_members(labelled, tmp_path):
    labelled.write_h5ad(tmp_path / "a.h5ad")
    code = (
        "import sys, anndata as ad, numpy as np, cellflow as cf;"
        "a = ad.read_h5ad(sys.argv[1]);"
        "cf.Flow.step = property(lambda flow: flow.clock.unit / 3);"
        "cf.tl.fates(a); np.save(sys.argv[2], a.obsm['cf_fates_members'])"
    )
    out = tmp_path / "members.npy"
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.h5ad", out], check=True)
    cf.tl.fates(labelled)
    np.testing.assert_allclose(np.load(out), labelled.obsm["cf_fates_members"], atol=1e-5)


def test_conditions_shared_times_and_new_cells(fitted_as):
    adata = with_types(fitted_as("conditions"))
    cf.tl.flow(
        adata, "hours", method=quick_recipe(), condition_key="drug", shared_until=0, n_members=2
    )
    cf.tl.fates(adata)
    assert (adata.obsm["cf_fates_se"] >= 0).all()
    new = adata[::3].copy()
    new.obs = new.obs[["hours", "drug", "cell_type"]]
    new.obs_names = [f"new{i}" for i in range(new.n_obs)]
    new.obsm["X_pca"] = new.obsm["X_pca"] + 0.01
    cf.tl.fates(new)
    assert cf.get.fates(new, groupby="drug", interval=0.5)["se"].notna().all()


def test_single_flows_write_nothing_new(fitted_as, labelled, frozen):
    single = with_types(fitted_as("score"))
    cf.tl.fates(single)
    assert not SURE & set(single.obsm)
    with (
        frozen(single),
        pytest.raises(InputError, match=r"single flow.*n_members=5.*cf\.tl\.fates"),
    ):
        cf.get.fates(single, interval=0.9)
    # Of an ensemble joined with a single flow, nothing is known either; older values do not stay.
    cf.tl.fates(labelled)
    cf.tl.flow(labelled, "hours", method=quick_recipe(), key_added="one")
    cf.tl.fates(labelled, ensemble=["one"])
    assert not SURE & set(labelled.obsm)
    cf.tl.flow(labelled, "hours", method=quick_recipe(), key_added="two", n_members=2)
    cf.tl.fates(labelled, ensemble=["two"])
    assert by_members(labelled).shape[1] == 4


@pytest.mark.parametrize("interval", [0.0, 1.0, -1, 90, np.nan])
def test_a_level_is_between_zero_and_one(labelled, interval):
    cf.tl.fates(labelled)
    with pytest.raises(InputError, match="interval"):
        cf.get.fates(labelled, interval=interval)


def test_values_of_another_shape_are_noticed(labelled):
    cf.tl.fates(labelled)
    labelled.obsm["cf_fates_members"] = labelled.obsm["cf_fates_members"][:, 1:]
    with pytest.raises(InputError, match=r"cf_fates_members.*Compute it again"):
        cf.get.fates(labelled, interval=0.9)
