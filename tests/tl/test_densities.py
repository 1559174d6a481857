"""Densities on an AnnData: what is read, what is written, when they refuse."""

from functools import partial

import anndata as ad
import numpy as np
import pytest

import cellflow as cf
from cellflow import densities
from cellflow.adapter.fitted import read_fitted
from cellflow.analysis.conformal import Reference
from cellflow.analysis.density import EvolvingDensity
from cellflow.densities import NSF, Conditioned, GaussianMixture, NormalizingFlow
from cellflow.errors import InputError, InputWarning, MissingKeyError, ModelFileError
from conftest import make_cells, quick_recipe

SMALL = partial(NSF, transforms=1, hidden=(8,))


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Short trainings and long steps: how well the densities are learned is tested elsewhere."""
    short = partial(densities.MaximumLikelihood, steps=20, record_every=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(densities, "MaximumLikelihood", short)
        patch.setattr(cf.Flow, "step", property(lambda flow: flow.clock.unit / 3))
        yield


@pytest.fixture(scope="module")
def _asked(_quick):
    """A fit with its log-densities; the source is a mixture, which is fitted in no time."""
    adata = make_cells()
    adata.obs.loc[adata.obs_names[7::40], "hours"] = np.nan
    cf.tl.flow(adata, "hours", method=quick_recipe())
    cf.tl.log_density(adata, source="gmm")
    return adata


@pytest.fixture
def asked(_asked):
    return _asked.copy()


# Densities of the snapshots -----------------------------------------------------------------------


def test_a_density_for_each_snapshot(cells):
    assert cf.tl.density(cells, "hours", method="gmm") is None
    found = cf.get.density(cells)
    assert list(found) == [0.0, 12.0, 48.0]
    for time, density in found.items():
        assert isinstance(density, GaussianMixture)
        here = (cells.obs["hours"] == time).to_numpy()
        expected = density.log_prob(cells.obsm["X_pca"][here])
        np.testing.assert_array_equal(cells.obs["cf_snapshot_log_density"][here], expected)
    record = cells.uns["cf_densities"]
    assert (record["params"]["method"], record["params"]["pooled"]) == ("GaussianMixture", False)
    assert record["written"].tolist() == ["obs/cf_snapshot_log_density"]


def test_a_cell_without_a_time_is_asked_of_the_nearest_snapshot(cells):
    cells.obs.loc["cell2", "hours"] = np.nan
    cf.tl.density(cells, "hours", method="kde")
    found = cf.get.density(cells)
    answer = cells.obs["cf_snapshot_log_density"]["cell2"]
    asked_of = [d.log_prob(cells.obsm["X_pca"][[2]])[0] for d in found.values()]
    assert answer in asked_of
    assert np.isfinite(cells.obs["cf_snapshot_log_density"]).all()


def test_one_density_conditional_on_time(cells):
    cells.obs.loc["cell2", "hours"] = np.nan
    cf.tl.density(cells, "hours", method=SMALL, pooled=True)
    found = cf.get.density(cells)
    assert list(found) == [0.0, 12.0, 48.0]
    x, timed = cells.obsm["X_pca"], cells.obs["hours"].notna()
    for time, density in found.items():
        assert isinstance(density, Conditioned)
        here = (cells.obs["hours"] == time).to_numpy()
        # The last bit may depend on the place of a row in its chunk.
        np.testing.assert_allclose(
            cells.obs["cf_snapshot_log_density"][here], density.log_prob(x[here]), rtol=1e-14
        )
    inferred = cells.obs["cf_snapshot_log_density"][~timed].to_numpy()
    assert inferred not in found[0.0].log_prob(x[~timed])
    conditional = found[0.0].density
    assert isinstance(conditional, NormalizingFlow)
    curve = [conditional.log_prob(x[2:3], np.array([t]))[0] for t in np.linspace(0, 48, 49)]
    assert min(curve) <= inferred[0] <= max(curve)


def test_densities_survive_a_file_and_a_fit_beside_them(cells, fitted, tmp_path):
    cf.tl.density(fitted, "hours", method=SMALL, n_dims=2)
    cf.tl.flow(fitted, "hours", method=quick_recipe())
    fitted.write_h5ad(tmp_path / "a.h5ad")
    again, before = cf.get.density(ad.read_h5ad(tmp_path / "a.h5ad")), cf.get.density(fitted)
    x = fitted.obsm["X_pca"][:, :2]
    for time in before:
        np.testing.assert_array_equal(again[time].log_prob(x), before[time].log_prob(x))
    assert before[0.0].dim == 2


def test_keys_seeds_copies(cells, frozen):
    with frozen(cells):
        one, two, other = (
            cf.tl.density(cells, "hours", method=SMALL, key_added=k, random_state=s, copy=True)
            for k, s in (("cellflow", 1), ("mine", 1), ("mine", 2))
        )
    first, second = one.obs["cf_snapshot_log_density"], two.obs["mine_snapshot_log_density"]
    np.testing.assert_array_equal(first, second)
    assert (second != other.obs["mine_snapshot_log_density"]).any()
    assert list(two.uns) == ["mine_densities"]
    assert list(cf.get.density(two, key="mine")) == [0.0, 12.0, 48.0]


def test_written_anew_but_not_over_others(cells, frozen):
    cf.tl.density(cells, "hours", method="gmm")
    cf.tl.density(cells, "hours", method="kde")
    assert cells.uns["cf_densities"]["params"]["method"] == "KernelDensity"
    cells.uns["cf_densities"] = {"mine": 1}
    with frozen(cells), pytest.raises(InputError, match="overwrite=True"):
        cf.tl.density(cells, "hours", method="gmm")
    cf.tl.density(cells, "hours", method="gmm", overwrite=True)


def test_weights_count(cells):
    heavy = cells.obsm["X_pca"][:, 1] > np.median(cells.obsm["X_pca"][:, 1])
    cells.obs["weight"] = np.where(heavy, 1.0, 1e-3)
    cf.tl.density(cells, "hours", method="kde", weight_key="weight", copy=False)
    drawn = cf.get.density(cells)[0.0].sample(400, np.random.default_rng(0))
    cf.tl.density(cells, "hours", method="kde")
    plain = cf.get.density(cells)[0.0].sample(400, np.random.default_rng(0))
    assert drawn[:, 1].mean() > plain[:, 1].mean() + 0.1


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"time_key": "hour"}, MissingKeyError, "did you mean 'hours'"),
        ({"method": "nfs"}, InputError, "did you mean 'nsf'"),
        ({"method": "gmm", "pooled": True}, InputError, r"pooled=True with method='gmm'"),
        ({"threads": 0}, InputError, "threads=0"),
        ({"random_state": "x"}, InputError, "no seed"),
        ({"key_added": "a/b"}, InputError, r"'a/b' cannot be a key_added"),
    ],
)
def test_bad_arguments(cells, frozen, arguments, error, words):
    with frozen(cells), pytest.raises(error, match=words):
        cf.tl.density(cells, **{"time_key": "hours", **arguments})


def test_snapshots_that_have_no_density(cells, frozen):
    few = cells[25:].copy()
    with (
        frozen(few),
        pytest.raises(
            InputError, match=r"snapshot at time 0 has no density of its own: x has 5 cells .* 10"
        ),
    ):
        cf.tl.density(few, "hours")
    cells.obsm["X_pca"][30:60, 1] = 3.0
    with (
        frozen(cells),
        pytest.raises(InputError, match=r"snapshot at time 12 .* Column 1 of x is 3 in every cell"),
    ):
        cf.tl.density(cells, "hours")


def test_nothing_to_get(cells):
    with pytest.raises(
        MissingKeyError, match=r"uns\['cf_densities'\] holds no densities\. .*cf\.tl\.density"
    ):
        cf.get.density(cells)


def test_flipped_bits_are_noticed(cells):
    cf.tl.density(cells, "hours", method="gmm")
    model = cells.uns["cf_densities"]["densities"]["12.0"]
    model["arrays"]["mean"] = model["arrays"]["mean"] + 1e-3
    with pytest.raises(
        ModelFileError,
        match=r"\['densities'\]\['12\.0'\] is damaged: .* fit again with cf\.tl\.density",
    ):
        cf.get.density(cells)


# The density of the dynamics ----------------------------------------------------------------------


def test_each_cell_at_its_own_time(asked):
    assert asked.obs["cf_log_density"].dtype == np.float64
    assert asked.obs["cf_ood"].dtype == bool
    fitted = read_fitted(asked, "cellflow")
    density = EvolvingDensity.fitted(fitted.flow, fitted.cells.snapshots()[0], source="gmm")
    some = [3, 7, 40, 47, 85]
    expected = density.log_prob(fitted.x[some], fitted.starts[some])
    np.testing.assert_allclose(asked.obs["cf_log_density"].iloc[some], expected, rtol=1e-9)
    assert {"obs/cf_log_density", "obs/cf_ood", "obs/cf_ood_p"} <= set(
        asked.uns["cellflow"]["written"].tolist()
    )


def test_each_cell_beside_the_others_of_its_time(asked):
    cf.tl.log_density(asked, source="gmm", alpha=0.1)
    x = asked.obsm["X_pca"]
    for time in (0.0, 12.0, 48.0):
        here = (asked.obs["hours"] == time).to_numpy()
        np.testing.assert_array_equal(
            asked.obs["cf_ood_p"][here], Reference(x[here]).p_values(x[here])
        )
    np.testing.assert_array_equal(asked.obs["cf_ood"], asked.obs["cf_ood_p"] <= 0.1)
    note = asked.uns["cellflow"]["ood"]
    assert note["times"].tolist()[:3] == [0.0, 12.0, 48.0]
    assert np.isnan(note["times"][3])  # cells without a time
    assert note["n_cells"].sum() == 90
    assert note["n_flagged"].sum() == asked.obs["cf_ood"].sum()
    assert (note["n_flagged"][:3] <= 0.1 * note["n_cells"][:3]).all()
    assert note["can_flag"].all()
    assert note["kept"]


def test_too_few_cells_for_a_level_are_said(asked, caplog):
    """Thirty cells cannot tell one in a hundred."""
    with caplog.at_level("INFO", logger="cellflow"):
        cf.tl.log_density(asked, source="gmm", alpha=0.01)
    assert not asked.obs["cf_ood"].any()
    assert not asked.uns["cellflow"]["ood"]["can_flag"].any()
    assert "no cell at time 12 can be flagged at alpha=0.01" in caplog.text


def test_other_cells_and_a_displaced_one(asked, frozen):
    new = asked[::2].copy()
    new.obs_names = [f"new{i}" for i in range(new.n_obs)]
    del new.obs["cf_time"], new.obs["cf_time_inferred"]
    new.obsm["X_pca"][40] += 50.0
    with frozen(new):
        answered = cf.tl.log_density(new, source="kde", alpha=0.05, copy=True)
    assert answered.obs["cf_ood"].iloc[40]
    assert answered.obs["cf_ood_p"].iloc[40] == 1 / (
        answered.uns["cellflow"]["ood"]["n_reference"][2] + 1
    )
    assert answered.obs["cf_log_density"].argmin() == 40
    assert (answered.obs["cf_log_density"] != new.obs["cf_log_density"]).all()


def test_a_refit_removes_what_was_computed(asked):
    cf.tl.age(asked, cells=["cell3"], n_times=3)
    cf.tl.flow(asked, "hours", method=quick_recipe())
    assert not {"cf_log_density", "cf_ood", "cf_ood_p", "cf_age"} & set(asked.obs)
    assert not {"source_density", "ood"} & set(asked.uns["cellflow"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"source": "nfs"}, "did you mean 'nsf'"),
        ({"alpha": 0.0}, "alpha=0"),
        ({"alpha": 1.0}, "alpha=1"),
        ({"alpha": "low"}, "alpha='low'"),
        ({"random_state": -1}, "no seed"),
        ({"key": "celflow"}, "did you mean 'cellflow'"),
    ],
)
def test_bad_questions(fitted, frozen, arguments, words):
    with frozen(fitted), pytest.raises(InputError, match=words):
        cf.tl.log_density(fitted, **{"source": "gmm", **arguments})


def test_cells_that_cannot_be_asked(fitted, frozen):
    later = fitted[(fitted.obs["hours"] != 0).to_numpy()].copy()
    with (
        frozen(later),
        pytest.raises(InputError, match="None of these cells is of the first snapshot, at time 0"),
    ):
        cf.tl.log_density(later)
    fitted.obs_names = ["other" if name == "cell80" else name for name in fitted.obs_names]
    fitted.obs.loc["other", "hours"] = 50.0
    del fitted.obs["cf_time"], fitted.obs["cf_time_inferred"]
    with (
        frozen(fitted),
        pytest.raises(
            InputError, match=r"Time 50 \(1 in all\) lies outside the times of the fit, 0 to 48"
        ),
    ):
        cf.tl.log_density(fitted)


# Ages ---------------------------------------------------------------------------------------------


def test_ages_of_some_cells(asked):
    cf.tl.age(asked, cells=["cell3", "cell70"], times=[48.0, 0.0, 12.0, 24.0])
    ages = asked.obs["cf_age"]
    assert ages.notna().sum() == 2
    assert ages["cell3"] < 24.0 < ages["cell70"]
    assert ages.dropna().between(0.0, 48.0).all()


def test_the_default_grid(asked):
    cf.tl.age(asked, cells=[0, 89], n_times=4)
    assert asked.obs["cf_age"].iloc[0] < asked.obs["cf_age"].iloc[89]


def test_ages_need_no_density(fitted):
    cf.tl.age(fitted, n_times=4)
    hours = fitted.obs["hours"]
    means = fitted.obs["cf_age"][hours.notna()].groupby(hours).mean()
    assert means.is_monotonic_increasing


def test_a_fit_of_an_earlier_version_is_compared_with_the_cells_that_are_there(asked):
    del asked.uns["cellflow"]["reference"]
    before = asked.copy()
    cf.tl.log_density(asked, source="gmm", alpha=0.1)
    assert not asked.uns["cellflow"]["ood"]["kept"]
    np.testing.assert_array_equal(asked.obs["cf_ood_p"], before.obs["cf_ood_p"])
    cf.tl.age(asked, n_times=4)
    assert asked.obs["cf_age"].notna().all()
    other = _others(before)
    other.obs["hours"] = 5.0
    with pytest.raises(
        InputError,
        match=(
            r"\['reference'\] is missing, .* none of these cells has a time of the fit's snapshots"
        ),
    ):
        cf.tl.age(other)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"times": [0.0, 60.0, 12.0]}, r"Time 60 \(1 in all\) lies outside"),
        ({"times": [0.0, np.nan, 12.0]}, "times=nan; expected a finite number"),
        ({"times": [0.0, 12.0, 12.0]}, "at least 3 different"),
        ({"times": ["early", "late", "x"]}, "times='early' is no time; expected a number"),
        ({"n_times": 2}, "n_times=2"),
        ({"cells": []}, "chooses no cell"),
        ({"cells": ["cell_1"]}, "did you mean 'cell1'"),
    ],
)
def test_bad_ages(asked, frozen, arguments, words):
    with frozen(asked), pytest.raises(InputError, match=words):
        cf.tl.age(asked, **arguments)


def test_spoilt_cells_are_noticed(asked):
    stored = asked.uns["cellflow"]["reference"]
    stored["arrays"]["x"] = stored["arrays"]["x"] + 1.0
    for call in (cf.tl.age, cf.tl.log_density):
        with pytest.raises(ModelFileError, match=r"\['reference'\] is damaged: .* cf\.tl\.flow"):
            call(asked)


# Cells that the fit has not seen ------------------------------------------------------------------


def _others(adata, n=60, seed=5):
    """Other cells of the same population."""
    other = make_cells(n=n, seed=0)
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, 4)) * np.linspace(1.0, 0.4, 4)
    centres = {
        t: adata.obsm["X_pca"][(adata.obs["hours"] == t).to_numpy()].mean(axis=0)
        for t in (0.0, 12.0, 48.0)
    }
    other.obsm["X_pca"] = (noise + np.array([centres[t] for t in other.obs["hours"]])).astype(
        np.float32
    )
    other.obs_names = [f"other{i}" for i in range(n)]
    other.uns["cellflow"] = adata.uns["cellflow"]
    return other


def test_a_batch_that_does_not_belong_is_said(asked, frozen):
    cf.tl.log_density(_others(asked), source="gmm", alpha=0.1)  # says nothing
    other = _others(asked)
    other.obsm["X_pca"][:, 2] += 4.0
    with (
        frozen(other),
        pytest.raises(
            InputWarning, match=r"of 20 cells at time 0 are flagged in cf_ood at alpha=0\.1"
        ),
    ):
        cf.tl.log_density(other, source="gmm", alpha=0.1)
    with pytest.warns(InputWarning, match="as a group they are unlike the cells of the fit"):
        cf.tl.log_density(other, source="gmm", alpha=0.1)
    assert other.obs["cf_ood"].mean() > 0.8


def test_between_snapshots_cells_are_compared_with_the_prediction(asked):
    other = _others(asked)
    other.obs["hours"] = other.obs["hours"].replace(12.0, 10.0)
    cf.tl.log_density(other, source="gmm", alpha=0.05)
    note = other.uns["cellflow"]["ood"]
    assert note["measured"].tolist() == [True, False, True]
    other.obsm["X_pca"][25] += 30.0
    cf.tl.log_density(other, source="gmm", alpha=0.05)
    assert other.obs["cf_ood"].iloc[25]
