"""Velocities, growth and states by an ensemble: standard errors, intervals of genes and groups."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.adapter.fitted import read_fitted
from cellflow.analysis.following import follow
from cellflow.analysis.members import confidence
from cellflow.analysis.prediction import predict as predict_cells
from cellflow.core._random import stream
from cellflow.core._spread import Spread, running_spread, spread
from cellflow.errors import InputError
from conftest import quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")


@pytest.fixture
def sure(fitted_as):
    """Cells of an ensemble of two with a score and growth."""
    return fitted_as("ensemble")


def asked(adata, question):
    """Mean, standard error and degrees of freedom of what the members answer."""
    fitted = read_fitted(adata, "cellflow")
    each = np.stack([question(member, fitted) for member in fitted.flow.members])
    return spread(each, fitted.flow.degrees)


def test_values_one_by_one_have_the_same_spread():
    values = np.random.default_rng(0).normal(3.0, 1.0, (5, 7, 2))
    one, all_at_once = running_spread(iter(values), 2.5), spread(values, 2.5)
    np.testing.assert_allclose(one.mean, all_at_once.mean)
    np.testing.assert_allclose(one.se, all_at_once.se)
    assert one.degrees == 2.5
    assert running_spread(iter(values)).degrees == spread(values).degrees


@pytest.mark.parametrize("kind", ["flow", "drift"])
def test_standard_errors_of_velocities(sure, kind):
    cf.tl.velocity(sure, kind=kind, genes=[])
    call = {"flow": "velocity", "drift": "drift"}[kind]
    found = asked(sure, lambda flow, fit: getattr(flow, call)(fit.x, fit.times))
    np.testing.assert_allclose(sure.obsm["velocity_pca"], found.mean, atol=1e-4)
    np.testing.assert_allclose(sure.obsm["cf_velocity_se"], found.se, atol=1e-4)
    expected = confidence(found.mean, found.se)
    np.testing.assert_allclose(sure.obs["cf_velocity_confidence"], expected, atol=1e-3)


def test_intervals_of_genes(sure):
    table = cf.get.velocity(sure, ["gene3", "gene1"], interval=0.8)
    alone = cf.get.velocity(sure, ["gene3", "gene1"])
    pd.testing.assert_frame_equal(table["velocity"], alone, check_names=False)

    def decoded(flow, fit):
        all_genes = fit.flow.decoder.velocities(flow.velocity(fit.x, fit.times))
        return all_genes[:, [3, 1]]

    found = asked(sure, decoded)
    low, high = found.interval(0.8)
    np.testing.assert_allclose(table["se"], found.se, atol=1e-4)
    np.testing.assert_allclose(table["low"], low, atol=1e-3)
    np.testing.assert_allclose(table["high"], high, atol=1e-3)
    assert set(table.attrs["gene_r2"]) == {"gene1", "gene3"}


@pytest.mark.parametrize("d", [2, 50])
@pytest.mark.parametrize("ratio", [0.2, 0.5])
def test_confidence_is_the_cosine_with_the_truth(ratio, d):
    """To first order in the squared ratio of error and length: what is left is its square."""
    rng = np.random.default_rng(1)
    true = np.zeros((4000, d))
    true[:, 0] = 1.0
    se = np.full(true.shape, ratio / np.sqrt(d))
    estimate = true + se * rng.normal(size=true.shape)
    cosine = estimate[:, 0] / np.linalg.norm(estimate, axis=1)
    assert confidence(estimate, se).mean() == pytest.approx(
        cosine.mean(), abs=0.5 * ratio**4 + 1e-3
    )


def test_no_direction_is_known_without_a_velocity():
    zero = np.zeros((2, 3))
    np.testing.assert_array_equal(confidence(zero, zero), 0.0)
    np.testing.assert_array_equal(confidence(zero + 1.0, zero), 1.0)
    np.testing.assert_array_equal(confidence(zero + 1.0, zero + 2.0), 0.0)


@pytest.mark.parametrize("by_time", [False, True])
def test_growth_of_groups_has_intervals_over_samples(sure, by_time):
    cf.tl.growth(sure, taus=[1.0])
    found = asked(sure, lambda flow, fit: flow.head("growth", fit.x, fit.times))
    np.testing.assert_allclose(sure.obs["cf_growth"], found.mean, atol=1e-5)
    np.testing.assert_allclose(sure.obs["cf_growth_se"], found.se, atol=1e-5)
    sure.obs["half"] = pd.Categorical(np.where(np.arange(sure.n_obs) % 2, "b", "a"))
    sure.obs.loc[sure.obs_names[0], "half"] = np.nan
    table = cf.get.growth(sure, "half", by_time=by_time, interval=0.9)
    without = table.drop(columns=["se", "ci_low", "ci_high"])
    pd.testing.assert_frame_equal(without, cf.get.growth(sure, "half", by_time=by_time))
    for _, row in table.iterrows():
        rows = (sure.obs["half"] == row["group"]).to_numpy()
        if by_time:
            rows &= (sure.obs["hours"] == row["time"]).to_numpy()
        each = spread(sure.obsm["cf_growth_members"][rows].mean(axis=0))
        assert row["se"] == pytest.approx(float(each.se), abs=1e-6)
        low, high = Spread(row["growth"], each.se, degrees=1.0).interval(0.9)
        assert row["ci_low"] == pytest.approx(low, abs=1e-5)
        assert row["ci_high"] == pytest.approx(high, abs=1e-5)


@pytest.mark.parametrize("direction", ["push", "pull"])
def test_states_of_moved_cells(sure, direction):
    rows = [1, 2] if direction == "push" else [80, 81]
    moved = getattr(cf.tl, direction)(sure, rows, time=12)

    def reached(flow, fit):
        start = fit.starts[rows]
        found = follow(flow, fit.x[rows], start, np.array([12.0]))
        return np.column_stack([found.x[0], found.weights(np.full(2, 0.5))[0]])

    found = asked(sure, reached)
    assert (found.se[:, :-1] > 0).all()
    np.testing.assert_allclose(moved.obsm["cf_state_se"], found.se[:, :-1], atol=1e-4)
    np.testing.assert_allclose(moved.obs["weight_se"], found.se[:, -1], atol=1e-5)


@pytest.mark.parametrize("arguments", [{}, {"n_obs": 6}, {"n_obs": 6, "stochastic": True}])
def test_predictions_by_members_are_of_the_same_cells_and_noise(sure, arguments):
    found = cf.tl.predict(sure, time=30, **arguments)
    assert (found.obsm["cf_state_se"] > 0).all()
    fitted = read_fitted(sure, "cellflow")
    noise = {"seed": 0, "keys": fitted.noise_keys} if "stochastic" in arguments else {}
    each = [
        predict_cells(
            member, fitted.cells.snapshots(), 30.0,
            n_obs=arguments.get("n_obs"), rng=stream(0), **noise,
        )
        for member in fitted.flow.members
    ]  # fmt: skip
    for one in each:
        names = sure.obs_names.to_numpy()[one.origin]
        np.testing.assert_array_equal(found.obs["source_cell"], names)
    se = spread(np.stack([one.x for one in each])).se
    np.testing.assert_allclose(found.obsm["cf_state_se"], se, atol=1e-4)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_files_keep_them_and_a_new_fit_removes_them(sure, form, tmp_path):
    before = (set(sure.obs), set(sure.obsm), set(sure.layers), set(sure.uns))
    cf.tl.velocity(sure)
    cf.tl.growth(sure, taus=[1.0])
    path = tmp_path / f"a.{form}"
    getattr(sure, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    for name in ("cf_velocity_se", "cf_growth_members"):
        np.testing.assert_array_equal(again.obsm[name], sure.obsm[name])
    pd.testing.assert_frame_equal(
        cf.get.growth(again, "hours", interval=0.9), cf.get.growth(sure, "hours", interval=0.9)
    )
    cf.tl.flow(sure, "hours", method=quick_recipe())
    assert (set(sure.obs), set(sure.obsm), set(sure.layers), set(sure.uns)) == before


def test_conditions_and_new_cells(fitted_as):
    adata = fitted_as("conditions")
    recipe = quick_recipe()
    cf.tl.flow(adata, "hours", method=recipe, condition_key="drug", growth="learn", n_members=2)
    new = adata[::3].copy()
    new.obs = new.obs[["hours", "drug"]]
    new.obs_names = [f"new{i}" for i in range(new.n_obs)]
    cf.tl.velocity(new)
    assert (new.obsm["cf_velocity_se"] > 0).any(axis=1).all()
    assert cf.get.velocity(new, interval=0.5)["se"].notna().all(axis=None)
    cf.tl.growth(new, taus=[1.0])
    assert (cf.get.growth(new, "drug", interval=0.5)["se"] > 0).all()


def test_single_flows_write_nothing_new(fitted_as, frozen):
    adata = fitted_as("growth")
    cf.tl.velocity(adata)
    cf.tl.growth(adata, taus=[1.0])
    assert not any(name.endswith(("_se", "_members", "_confidence")) for name in adata.obsm)
    assert not any(name.endswith(("_se", "_confidence")) for name in adata.obs)
    assert "cf_state_se" not in cf.tl.push(adata, [1], time=12).obsm
    assert "weight_se" not in cf.tl.predict(adata, time=30).obs
    with frozen(adata):
        with pytest.raises(InputError, match=r"single flow.*n_members=5"):
            cf.get.velocity(adata, interval=0.9)
        with pytest.raises(InputError, match=r"single flow.*n_members=5.*cf\.tl\.growth"):
            cf.get.growth(adata, "hours", interval=0.9)


@pytest.mark.parametrize("interval", [0.0, 1.0, 90])
def test_a_level_is_between_zero_and_one(sure, interval):
    with pytest.raises(InputError, match="interval"):
        cf.get.velocity(sure, interval=interval)
