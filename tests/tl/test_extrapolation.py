"""Times outside the observed ones: marked nearby, refused farther out, by all calls."""

import json
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.errors import InputError, IntegrationWarning

pytestmark = pytest.mark.usefixtures("long_steps")


# The fit knows 0, 12 and 48 hours: a mean interval is 24 hours.
LATER = {
    "predict": lambda a, t, **how: cf.tl.predict(a, time=t, **how),
    "predict draws": lambda a, t, **how: cf.tl.predict(a, time=t, n_obs=7, **how),
    "predict stochastic": lambda a, t, **how: cf.tl.predict(
        a, time=t, stochastic=True, n_obs=5, **how
    ),
    "predict from one": lambda a, t, **how: cf.tl.predict(a, time=t, source=12.0, **how),
    "push": lambda a, t, **how: cf.tl.push(a, [1, 80], time=t, **how),
    "push all": lambda a, t, **how: cf.tl.push(a[::9], time=t, **how),
    "trajectories": lambda a, t, **how: cf.tl.trajectories(a, times=[0.0, t], **how),
    "paths": lambda a, t, **how: cf.tl.simulate(a, times=[t, 20.0], cells=[1], **how),
    "diffusion": lambda a, t, **how: cf.tl.simulate(
        a, times=[t], cells=[80], stochastic=True, n_rep=2, **how
    ),
}
EARLIER = {name: LATER[name] for name in ("predict", "paths")} | {
    "pull": lambda a, t, **how: cf.tl.pull(a, [1], time=t, **how),
}
NEAR = [(name, LATER, 60.0) for name in LATER] + [(name, EARLIER, -5.0) for name in EARLIER]
FAR = (
    [(name, LATER, 72.5) for name in LATER]
    + [(name, EARLIER, -24.5) for name in EARLIER]
    + [("predict", LATER, 96.0)]
)


def _marked(adata, answer):
    """Whether an answer is called extrapolated."""
    if answer is None:
        record = adata.uns["cellflow"]
        return bool(record["trajectory_extrapolated"].any())
    if "extrapolated" in answer.obs:
        return bool(answer.obs["extrapolated"].any())
    return answer.uns["cf_prediction"]["extrapolated"]


@pytest.mark.parametrize(("call", "calls", "time"), NEAR)
def test_near_the_answer_is_marked_and_said_where_the_call_is(fitted, call, calls, time):
    with pytest.warns(
        IntegrationWarning, match=f"Time {time:g} lies outside the observed times, 0 to 48"
    ) as said:
        answer = calls[call](fitted, time)
    assert len(said) == 1
    assert "times as far from the cells' mean" in str(said[0].message)
    assert _marked(fitted, answer)


@pytest.mark.parametrize(("call", "calls", "time"), NEAR[::3])
def test_where_warnings_are_errors_nothing_is_written(fitted, call, calls, time, frozen):
    with frozen(fitted), pytest.raises(IntegrationWarning):
        calls[call](fitted, time)


@pytest.mark.parametrize(("call", "calls", "time"), FAR)
def test_far_it_is_refused_unless_asked_for(fitted, call, calls, time, frozen):
    with (
        frozen(fitted),
        pytest.raises(
            InputError, match=r"outside the observed times, 0 to 48, by .* pass extrapolate=True"
        ),
    ):
        calls[call](fitted, time)
    with pytest.warns(IntegrationWarning):
        answer = calls[call](fitted, time, extrapolate=True)
    assert _marked(fitted, answer)


@pytest.mark.parametrize("time", [0.0, 20.0, 48.0])
@pytest.mark.parametrize("call", ["predict", "push all", "paths"])
def test_inside_nothing_is_said(fitted, call, time):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = LATER[call](fitted, time)
    assert not _marked(fitted, answer)


def test_the_mark_of_trajectories_is_of_the_last_call(fitted):
    with pytest.warns(IntegrationWarning):
        cf.tl.trajectories(fitted, times=[-5.0, 0.0, 48.0, 60.0])
    assert fitted.uns["cellflow"]["trajectory_extrapolated"].tolist() == [True, False, False, True]
    cf.tl.trajectories(fitted, times=[0.0, 48.0])
    assert fitted.uns["cellflow"]["trajectory_extrapolated"].tolist() == [False, False]


def test_growth_is_recorded(fitted):
    with pytest.warns(IntegrationWarning):
        later = cf.tl.predict(fitted, time=100.0, extrapolate=True)
    x, states = fitted.obsm["X_pca"], later.obsm["X_pca"]
    expected = (
        np.linalg.norm(states - x.mean(0), axis=1).mean()
        / np.linalg.norm(x - x.mean(0), axis=1).mean()
    )
    assert later.uns["cf_prediction"]["growth"] == pytest.approx(expected, rel=1e-4)
    assert "growth" not in cf.tl.predict(fitted, time=20.0).uns["cf_prediction"]


# Subsets: the cells there are end before the fit does ---------------------------------------------

SUBSETS = {
    "after the last": ([0.0, 12.0], 20.0, "earlier"),
    "at a time of the fit": ([0.0, 12.0], 36.0, "earlier"),
    "before the first": ([12.0, 48.0], 6.0, "later"),
    "at the first of the fit": ([12.0, 48.0], 0.0, "later"),
    "one snapshot, after": ([12.0], 30.0, "earlier"),
    "one snapshot, before": ([12.0], 6.0, "later"),
    "the last, before": ([48.0], 40.0, "later"),
    "the first, after": ([0.0], 24.0, "earlier"),
    "beyond the fit": ([0.0, 12.0], 36.0, "earlier"),
    "just after": ([0.0, 12.0], 12.01, "earlier"),
}


def _of(fitted, times):
    return fitted[fitted.obs["hours"].isin(times).to_numpy()].copy()


@pytest.mark.parametrize("name", SUBSETS)
def test_a_prediction_outside_a_subset_is_called_what_it_is(fitted, name):
    times, time, side = SUBSETS[name]
    subset = _of(fitted, times)
    with pytest.warns(
        IntegrationWarning, match=f"outside the observed times, {times[0]:g} to {times[-1]:g}"
    ):
        later = cf.tl.predict(subset, time=time)
    note = later.uns["cf_prediction"]
    assert (note["extrapolated"], note["source"]) == (True, side)


@pytest.mark.parametrize(
    ("times", "time"), [([0.0, 12.0], 48.0), ([0.0], 30.0), ([48.0], 20.0), ([12.0, 48.0], -20.0)]
)
def test_far_outside_a_subset_it_is_refused(fitted, times, time, frozen):
    subset = _of(fitted, times)
    with (
        frozen(subset),
        pytest.raises(
            InputError, match=r"extrapolate=True; the descendants of chosen cells are cf\.tl\.push"
        ),
    ):
        cf.tl.predict(subset, time=time)
    with pytest.warns(IntegrationWarning):
        assert cf.tl.predict(subset, time=time, extrapolate=True).n_obs == subset.obs["hours"].isin(
            [times[-1], times[0]]
        ).sum() / len(times)


def test_chosen_cells_of_a_subset_move_to_every_time_of_the_fit(fitted):
    """A field is known at the times of its fit, whichever cells are asked."""
    subset = _of(fitted, [0.0])
    assert not cf.tl.push(subset, time=48.0).uns["cf_prediction"]["extrapolated"]
    cf.tl.trajectories(subset, n_times=3)


@pytest.mark.parametrize(
    ("time", "side"), [(0.0, "later"), (48.0, "earlier"), (12.0, "both"), (30.0, "both")]
)
def test_sides_are_those_that_were_used(fitted, time, side):
    assert cf.tl.predict(fitted, time=time).uns["cf_prediction"]["source"] == side


def test_one_snapshot_at_its_own_time(fitted, frozen):
    subset = _of(fitted, [12.0])
    with (
        frozen(subset),
        pytest.raises(InputError, match=r"only snapshot is at time 12 itself.* source=12"),
    ):
        cf.tl.predict(subset, time=12.0)
    as_they_are = cf.tl.predict(subset, time=12.0, source=12.0)
    timed = subset[~subset.obs["cf_time_inferred"].to_numpy()]
    np.testing.assert_allclose(as_they_are.obsm["X_pca"], timed.obsm["X_pca"], atol=1e-5)


# Conditions: that of a drug ends earlier ----------------------------------------------------------


@pytest.fixture(scope="module")
def drugged(fitted_as):
    return fitted_as("conditions")


@pytest.mark.parametrize(
    ("time", "side", "far"),
    [(20.0, "earlier", False), (36.0, "earlier", False), (48.0, "earlier", True)],
)
def test_a_condition_that_ends_earlier(drugged, time, side, far):
    ended = drugged[
        ~((drugged.obs["drug"] == "some") & (drugged.obs["hours"] == 48.0)).to_numpy()
    ].copy()
    assert not cf.tl.predict(ended, time=time, condition="none").uns["cf_prediction"][
        "extrapolated"
    ]
    if far:
        with pytest.raises(InputError, match="outside the observed times, 0 to 12"):
            cf.tl.predict(ended, time=time, condition="some")
    with pytest.warns(IntegrationWarning, match="outside the observed times, 0 to 12"):
        later = cf.tl.predict(ended, time=time, condition="some", extrapolate=far)
    note = later.uns["cf_prediction"]
    assert (note["extrapolated"], note["source"], note["condition_measured"]) == (True, side, True)


# Cells whose own time is outside ------------------------------------------------------------------


def _late(fitted, shift):
    """Other cells, of later times."""
    names = [f"new{i}" for i in range(90)]
    hours = fitted.obs["cf_time"].to_numpy() + shift
    new = ad.AnnData(
        fitted.X,
        obs=pd.DataFrame({"hours": hours}, index=names),
        var=fitted.var,
        varm=dict(fitted.varm),
    )
    new.obsm["X_pca"] = fitted.obsm["X_pca"]
    new.uns["cellflow"] = fitted.uns["cellflow"]
    return new


OWN_TIMES = {
    "velocity": lambda a, **how: cf.tl.velocity(a, **how),
    "velocity of genes": lambda a, **how: cf.tl.velocity(a, genes="all", **how),
    "get.velocity": lambda a, **how: cf.get.velocity(a, **how),
    "trajectories": lambda a, **how: cf.tl.simulate(a, times=[0.0, 48.0], cells=[1, 80], **how),
    "pull": lambda a, **how: cf.tl.pull(a, [80], time=40.0, **how),
}


@pytest.mark.parametrize("call", OWN_TIMES)
def test_cells_of_times_that_the_fit_does_not_know(fitted, call, frozen):
    with pytest.warns(IntegrationWarning, match="Time 58 lies outside the observed times, 0 to 48"):
        OWN_TIMES[call](_late(fitted, 10.0))
    later = _late(fitted, 40.0)
    with frozen(later), pytest.raises(InputError, match="Time 88 lies outside the observed times"):
        OWN_TIMES[call](later)
    with pytest.warns(IntegrationWarning):
        OWN_TIMES[call](later, extrapolate=True)


@pytest.mark.parametrize("time", [-0.1, 48.1, 60.0, 1e9])
def test_what_is_known_at_observed_times_only_is_refused_outside(fitted, time, frozen):
    """A score and a density have no answer outside, not even nearby."""
    with (
        frozen(fitted),
        pytest.raises(
            InputError, match="outside the times of the fit, 0 to 48, where the score is not known"
        ),
    ):
        cf.tl.sample(fitted, time=time, n_obs=3)
    other = fitted.copy()  # with a cell that the fit has not seen
    other.obs_names = ["other" if name == "cell80" else name for name in other.obs_names]
    other.obs.loc["other", "hours"] = time
    del other.obs["cf_time"], other.obs["cf_time_inferred"]
    with (
        frozen(other),
        pytest.raises(
            InputError,
            match="outside the times of the fit, 0 to 48, where the density is not known",
        ),
    ):
        cf.tl.log_density(other, source="gmm")


def test_marks_survive_a_file(fitted, tmp_path):
    with pytest.warns(IntegrationWarning):
        later = cf.tl.predict(fitted, time=60.0, n_obs=5)
    later.write_h5ad(tmp_path / "later.h5ad")
    note = ad.read_h5ad(tmp_path / "later.h5ad").uns["cf_prediction"]
    assert json.dumps(bool(note["extrapolated"])) == "true"
    assert float(note["growth"]) == pytest.approx(later.uns["cf_prediction"]["growth"])
