"""Stochastic trajectories and predictions, samples and refinement on an AnnData."""

import anndata as ad
import numpy as np
import pytest

import cellflow as cf
from cellflow.errors import InputError
from cellflow.model.recipes import ot_cfm
from cellflow.training import Training
from conftest import make_cells

pytestmark = pytest.mark.usefixtures("long_steps")


def test_stochastic_trajectories_are_written_beside_the_others(fitted, tmp_path):
    cf.tl.trajectories(fitted, n_times=5)
    cf.tl.trajectories(fitted, n_times=4, stochastic=True, n_rep=3, random_state=1)
    samples = cf.get.trajectory_samples(fitted)
    assert samples.shape == (90, 3, 4, 4)
    assert cf.get.trajectories(fitted).shape == (90, 5, 4)
    assert {
        name: fitted.obsm[name].shape for name in ("cf_trajectory", "cf_trajectory_samples")
    } == {
        "cf_trajectory": (90, 20),
        "cf_trajectory_samples": (90, 48),
    }
    times = fitted.uns["cellflow"]["trajectory_samples_times"]
    np.testing.assert_allclose(times, [0, 16, 32, 48])
    # At a cell's own time, all of its paths are where it was measured.
    early = np.flatnonzero(fitted.obs["cf_time"] == 0.0)
    for replicate in range(3):
        np.testing.assert_allclose(
            samples[early, replicate, 0], fitted.obsm["X_pca"][early], rtol=1e-5, atol=1e-5
        )
    assert (samples[early, 0, -1] != samples[early, 1, -1]).all()
    fitted.write_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(
        cf.get.trajectory_samples(ad.read_h5ad(tmp_path / "a.h5ad")), samples
    )


def test_a_cells_paths_do_not_depend_on_rows_or_other_cells(fitted):
    options = {"times": [0.0, 30.0], "stochastic": True, "n_rep": 2, "random_state": 1}
    cf.tl.trajectories(fitted, **options)
    order = np.random.default_rng(0).permutation(90)
    turned = fitted[order].copy()
    cf.tl.trajectories(turned, overwrite=True, **options)
    np.testing.assert_array_equal(
        turned.obsm["cf_trajectory_samples"], fitted.obsm["cf_trajectory_samples"][order]
    )
    some = cf.tl.simulate(fitted, cells=["cell5", "cell80"], **options)
    assert some.obs["replicate"].tolist() == [0, 0, 1, 1] * 2
    expected = fitted.obsm["cf_trajectory_samples"][[5, 80]].reshape(8, -1)
    np.testing.assert_array_equal(some.obsm["X_pca"], expected)


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_cells_of_one_name_have_paths_of_their_own(fitted):
    twice = fitted[[0, 0, 40, 80]].copy()
    cf.tl.trajectories(twice, times=[30.0], stochastic=True, overwrite=True)
    a, b = cf.get.trajectory_samples(twice)[:2, 0, 0]
    assert (a != b).all()


def test_stochastic_predictions_draw_anew(fitted):
    plain = cf.tl.predict(fitted, time=30.0)
    noisy = cf.tl.predict(fitted, time=30.0, stochastic=True, random_state=1)
    assert noisy.n_obs == plain.n_obs
    assert bool(noisy.uns["cf_prediction"]["stochastic"])
    assert not np.isclose(noisy.obsm["X_pca"], plain.obsm["X_pca"]).any()
    # More cells than there are: a cell that is drawn twice moves differently each time.
    many = cf.tl.predict(fitted, time=30.0, n_obs=300, stochastic=True, random_state=1)
    assert len(np.unique(many.obsm["X_pca"], axis=0)) == 300
    again = cf.tl.predict(fitted, time=30.0, n_obs=300, stochastic=True, random_state=1)
    np.testing.assert_array_equal(again.obsm["X_pca"], many.obsm["X_pca"])


def test_samples_come_decoded_with_their_provenance(fitted):
    drawn = cf.tl.sample(fitted, time=12.0, n_obs=40, random_state=3)
    assert drawn.shape == (40, 12)
    assert drawn.obsm["X_pca"].shape == (40, 4)
    about = drawn.uns["cf_sample"]
    assert (about["time"], about["random_state"]) == (12.0, 3)
    assert (np.diff(about["noise_levels"]) < 0).all()
    np.testing.assert_array_equal(
        drawn.X, cf.tl.sample(fitted, time=12.0, n_obs=40, random_state=3).X
    )


@pytest.fixture(scope="module")
def learned():
    """Enough cells and steps for a score that can be used."""
    adata = make_cells(n=600)
    method = ot_cfm(training=Training(steps=500))
    cf.tl.flow(adata, "hours", method=method, score=True, progress=False)
    return adata


def test_refinement_takes_noise_away_and_says_what_it_did(learned):
    real = make_cells(n=600, seed=5)  # other cells of the same law
    real = real[real.obs["hours"] == 12.0].copy()
    off = learned[learned.obs["hours"] == 12.0].copy()
    off.obsm["X_pca"] = off.obsm["X_pca"] + 1.5 * np.random.default_rng(0).normal(
        size=off.obsm["X_pca"].shape
    )
    back = cf.tl.refine(learned, off, time=12.0, against=real)
    about = back.uns["cf_refinement"]
    assert about["refined"]
    assert about["w1_after"] < about["w1_before"]
    assert about["c2st_after"] < about["c2st_before"]
    assert about["judged_at"] == 12.0
    assert back.obs_names.tolist() == off.obs_names.tolist()
    assert back.shape == (200, 12)
    spread = [
        np.sqrt(c.obsm["X_pca"].var(axis=0).sum())
        for c in (learned[learned.obs["hours"] == 12.0], off, back)
    ]
    assert abs(spread[2] - spread[0]) < 0.5 * abs(spread[1] - spread[0])


def test_refinement_is_left_out_where_it_does_not_help(learned):
    # Real cells that are as noisy as the population: taking the noise away leads away from them.
    off = learned[learned.obs["hours"] == 12.0].copy()
    off.obsm["X_pca"] = off.obsm["X_pca"] + 1.5 * np.random.default_rng(0).normal(
        size=off.obsm["X_pca"].shape
    )
    back = cf.tl.refine(learned, off, time=12.0, against=off)
    about = back.uns["cf_refinement"]
    assert not about["refined"]
    assert about["noise"] > 0
    np.testing.assert_array_equal(back.obsm["X_pca"], off.obsm["X_pca"].astype(np.float32))


def test_a_prediction_is_judged_on_a_snapshot_held_out(fitted, tmp_path):
    later = cf.tl.predict(fitted, time=20.0)
    clean = cf.tl.refine(fitted, later)
    assert (
        clean.uns["cf_refinement"]["noise"] == 0.0
    )  # the flow's own prediction, with which there is nothing to do
    np.testing.assert_array_equal(clean.obsm["X_pca"], later.obsm["X_pca"])
    later.obsm["X_pca"] += 2.0 * np.random.default_rng(0).normal(
        size=later.obsm["X_pca"].shape
    ).astype(np.float32)
    back = cf.tl.refine(fitted, later)
    about = back.uns["cf_refinement"]
    assert about["judged_at"] == 12.0  # the one inner snapshot
    assert about["noise"] > 0
    assert about["judged_noise"] == pytest.approx(
        about["noise"], rel=0.5
    )  # its prediction was spoilt as much
    assert np.isfinite([about["w1_before"], about["w1_after"]]).all()
    assert back.uns["cf_prediction"]["time"] == 20.0
    back.write_h5ad(tmp_path / "a.h5ad")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: cf.tl.trajectories(a, n_rep=2), "stochastic=True"),
        (lambda a: cf.tl.trajectories(a, stochastic=True, n_rep=0), "n_rep"),
        (lambda a: cf.tl.sample(a, time=12.0, n_obs=0), "n_obs"),
        (lambda a: cf.tl.refine(a, make_cells()), "Pass time="),
        (
            lambda a: cf.tl.refine(a, ad.AnnData(np.ones((3, 2))), time=12.0),
            "representation of the fit",
        ),
    ],
)
def test_bad_arguments(fitted, call, message, frozen):
    with frozen(fitted), pytest.raises(InputError, match=message):
        call(fitted)


def test_a_fit_without_a_score_says_how_to_get_one(fitted_as):
    cells = fitted_as("default")
    for call in (
        lambda: cf.tl.trajectories(cells, stochastic=True),
        lambda: cf.tl.predict(cells, time=30.0, stochastic=True),
        lambda: cf.tl.sample(cells, time=12.0, n_obs=3),
        lambda: cf.tl.refine(cells, cells.copy(), time=12.0),
    ):
        with pytest.raises(InputError, match="score=True"):
            call()
