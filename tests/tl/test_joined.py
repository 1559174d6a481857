"""Predictions beside the cells that they were made from: times in every form, conditions, labels,
embeddings; joined, written, drawn, and fitted again.
"""

import datetime as dt
import warnings

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from cellflow.recipes import fm, i_cfm

import cellflow as cf
from cellflow.adapter.time_column import time_column
from cellflow.adapter.times import parse_times
from cellflow.adapter.units import TimeUnit
from cellflow.errors import InputError, InputWarning, MissingKeyError
from cellflow.training import Training
from conftest import make_cells, quick_recipe

BRIEF = Training(steps=20, batch_size=64, record_every=10)
HOURS = np.repeat([0.0, 12.0, 48.0], 30)
START = pd.Timestamp("2024-03-01 06:00")

#: Columns of the times 0, 12 and 48 h: the column, a time that is asked for, its number in the
#: unit of the fit, and what stands in the column of the prediction.
COLUMNS = {
    "float": (HOURS, 30.0, 30.0, 30.0),
    "float32": (HOURS.astype(np.float32), 30.5, 30.5, 30.5),
    "int": (HOURS.astype(int), 30, 30.0, 30),
    "int, a fraction": (HOURS.astype(int), 30.5, 30.5, 30.5),
    "nullable int": (pd.array(HOURS.astype(int), dtype="Int64"), 30, 30.0, 30),
    "categorical of numbers": (pd.Categorical(HOURS.astype(int)), 30, 30.0, 30),
    "categorical of numbers, a fraction": (pd.Categorical(HOURS.astype(int)), 30.5, 30.5, 30.5),
    "stages": (
        pd.Categorical([f"E{8 + h / 24}" for h in HOURS]), "E8.75", 8.75, "E8.75",
    ),
    "ordered stages": (
        pd.Categorical([f"E{8 + h / 24}" for h in HOURS], ordered=True), "E8.75", 8.75, "E8.75",
    ),
    "days": ([f"day {h / 24:g}" for h in HOURS], "day 1.25", 1.25, "day 1.25"),
    "days asked in hours": ([f"day {h / 24:g}" for h in HOURS], "30h", 1.25, "day 1.25"),
    "a known day": ([f"day {h / 24:g}" for h in HOURS], "12h", 0.5, "day 0.5"),
    "hours": (pd.array([f"{h:g}h" for h in HOURS], dtype="string"), "day 1.25", 30.0, "30h"),
    "mixed units": (
        np.where(HOURS < 20, [f"{h:g}h" for h in HOURS], "2 days"), "day 1.25", 30.0, "30h",
    ),
    "time points": ([f"t{h:g}" for h in HOURS], "t30", 30.0, "t30"),
    "numbers as text": ([f"{h:g}" for h in HOURS], 30.25, 30.25, "30.25"),
    "durations": (
        pd.to_timedelta(HOURS, unit="h"), "day 1.25", 1.25, pd.Timedelta(hours=30),
    ),
    "durations, a duration": (
        pd.to_timedelta(HOURS, unit="h"), dt.timedelta(hours=30), 1.25, pd.Timedelta(hours=30),
    ),
    "dates": (
        START + pd.to_timedelta(HOURS, unit="h"), "day 1.25", 1.25, START + pd.Timedelta(hours=30),
    ),
    "dates of a zone": (
        (START + pd.to_timedelta(HOURS, unit="h")).tz_localize("UTC"), "day 1.25", 1.25,
        (START + pd.Timedelta(hours=30)).tz_localize("UTC"),
    ),
}  # fmt: skip
#: What an h5ad cannot hold, in measured cells neither.
NOT_IN_FILES = {"durations", "durations, a duration", "dates", "dates of a zone"}


def timed(name):
    """Cells with the times of a case, and how many hours its unit of time has."""
    column, *_ = COLUMNS[name]
    adata = make_cells()
    adata.obs["when"] = pd.Series(column, index=adata.obs_names)
    adata.obs["kind"] = pd.Categorical(np.where(adata.obsm["X_pca"][:, 1] > 0, "b", "a"))
    adata.uns["kind_colors"] = np.array(["#112233", "#445566"], dtype=object)
    return adata


@pytest.fixture(autouse=True)
def _dates(recwarn):
    """Dates are reported by every fit; that is tested elsewhere."""
    warnings.filterwarnings("ignore", message=".*holds dates")
    warnings.filterwarnings("ignore", message=".*mixes labels")


@pytest.mark.parametrize("join", ["inner", "outer"])
@pytest.mark.parametrize("case", COLUMNS)
def test_a_prediction_joins_its_source_and_is_fitted_again(case, join, tmp_path):
    _, asked, number, written = COLUMNS[case]
    adata = timed(case)
    cf.tl.flow(adata, "when", method=i_cfm(training=BRIEF))
    later = cf.tl.predict(adata, time=asked, n_obs=20, cluster_key="kind")
    assert (later.obs["when"].astype(object) == written).all()
    np.testing.assert_allclose(later.obs["cf_predicted_time"], number)
    joined = ad.concat([adata, later], join=join)
    assert joined.n_obs == 110
    if case not in NOT_IN_FILES:
        joined.write_h5ad(tmp_path / "a.h5ad")
        joined.write_zarr(tmp_path / "a.zarr")
        joined = ad.read_h5ad(tmp_path / "a.h5ad")
    with pytest.warns(InputWarning, match=r"True for 20 of 110 cells.* are taken as measured"):
        cf.tl.flow(joined, "when", method=i_cfm(training=BRIEF))
    assert len(cf.get.flow(joined).times) == len({*adata.obs["cf_time"], number})
    in_hours = joined.obs["cf_time"] / np.ptp(adata.obs["cf_time"]) * np.ptp(HOURS)
    if case.startswith(("durations", "dates")):  # their unit is chosen by the typical gap
        in_hours = joined.obs["cf_time"] / joined.obs["cf_time"].iloc[:90].max() * 48.0
    expected = (number - adata.obs["cf_time"].min()) / np.ptp(adata.obs["cf_time"]) * 48.0
    shift = in_hours.iloc[:90].min()
    np.testing.assert_allclose(in_hours.iloc[90:] - shift, expected, rtol=1e-6)
    assert joined.obs["cf_predicted"].tolist() == [False] * 90 + [True] * 20


def _read(value, unit):
    """The number that one value of a column stands for, dates from the first."""
    if isinstance(value, pd.Timestamp):
        value = value - START.tz_localize(value.tz)
    return unit.number("time", value)


@pytest.mark.parametrize("case", COLUMNS)
def test_times_in_the_form_of_a_column_are_read_back(case):
    column = pd.Series(COLUMNS[case][0])
    parsed = parse_times(column)
    unit = TimeUnit.of(parsed.unit, parsed.zero, "when")
    known = np.unique(parsed.values)
    same = pd.Series(time_column(column, parsed.values, unit, known)).astype(object)
    assert same.tolist() == column[[0, 30, 60]].astype(object).tolist()
    at = np.array([0.1, 8.75, parsed.values.max() + 1.3, -0.5, 1 / 3, 1e-7])
    written = pd.Series(time_column(column, parsed.values, unit, at)).astype(object)
    rtol = 1e-6 if case == "float32" else 1e-12
    atol = 1e-14 if "durations" in case or "dates" in case else 0.0  # nanoseconds
    np.testing.assert_allclose([_read(v, unit) for v in written], at, rtol=rtol, atol=atol)


def test_categories_keep_their_order_or_are_ordered_by_time():
    column = pd.Series(pd.Categorical(["day 2", "day 10"], categories=["day 10", "day 2", "x"]))
    known = np.array([2.0, 10.0])
    unit = TimeUnit("days")
    same = time_column(column, known, unit, np.array([10.0, 10.0]))
    assert same.categories.tolist() == ["day 10", "day 2", "x"]
    new = time_column(column, known, unit, np.array([11.5, 3.0]))
    assert new.categories.tolist() == ["day 2", "day 3", "day 10", "day 11.5"]
    assert new.tolist() == ["day 11.5", "day 3"]


# Several times -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _fits():
    adata = make_cells()
    adata.obs["kind"] = pd.Categorical(np.where(adata.obsm["X_pca"][:, 1] > 0, "b", "a"))
    adata.uns["kind_colors"] = np.array(["#112233", "#445566"], dtype=object)
    adata.obs["arm"] = np.where(np.arange(90) % 2, "treated", "control")
    adata.obs["dose"] = np.where(np.arange(90) % 2, 2.5, 0.0)
    plain = cf.tl.flow(adata, "hours", method=quick_recipe(), score=True, copy=True)
    cf.tl.flow(plain, "hours", method=fm(training=BRIEF), key_added="made")
    conditional = cf.tl.flow(
        adata, "hours", method=i_cfm(training=BRIEF), condition_key=["arm", "dose"], copy=True
    )
    return {"plain": plain, "conditional": conditional}


@pytest.fixture
def plain(_fits):
    return _fits["plain"].copy()


@pytest.fixture
def conditional(_fits):
    return _fits["conditional"].copy()


SEVERAL = {
    "predict": lambda a, t: cf.tl.predict(a, time=t),
    "predict some": lambda a, t: cf.tl.predict(a, time=t, n_obs=12, stochastic=True),
    "push": lambda a, t: cf.tl.push(a, [2, 5], time=t),
    "push all": lambda a, t: cf.tl.push(a, time=t),
    "pull": lambda a, t: cf.tl.pull(a, time=t),
    "sample": lambda a, t: cf.tl.sample(a, time=t, n_obs=5, n_steps=1),
    "generate": lambda a, t: cf.tl.generate(a, time=t, n_obs=6, key="made"),
}


@pytest.mark.parametrize("call", SEVERAL)
def test_several_times_are_the_calls_of_each(plain, call):
    answer = SEVERAL[call]
    both = answer(plain, [30.0, "20"])
    parts = [answer(plain, 30.0), answer(plain, 20.0)]
    np.testing.assert_array_equal(both.X, np.concatenate([part.X for part in parts]))
    for name in set(both.obs) - {"weight"}:
        assert both.obs[name].tolist() == [v for part in parts for v in part.obs[name]]
    name = next(name for name in both.uns if name.startswith(("cf_", "made_")))
    assert both.uns[name]["time"].tolist() == [30.0, 20.0]
    assert parts[0].uns[name]["time"] == 30.0
    assert both.obs_names.is_unique


def test_a_list_of_times_has_a_time_and_names_each_once(plain, frozen):
    with frozen(plain), pytest.raises(InputError, match=r"time=\[\] holds no time"):
        cf.tl.predict(plain, time=[])
    one = cf.tl.predict(plain, time=[30.0])
    assert one.n_obs == cf.tl.predict(plain, time=30.0).n_obs
    with frozen(plain), pytest.raises(InputError, match="names the time 30 more than once"):
        cf.tl.predict(plain, time=[30.0, 20.0, "30"])
    assert one.uns["cf_prediction"]["time"].tolist() == [30.0]
    with frozen(plain), pytest.raises(InputError, match="Time 300 lies outside"):
        cf.tl.predict(plain, time=[30.0, 300.0])


def test_a_question_to_predicted_cells_says_that_they_are_predicted(fitted_as, tmp_path):
    """Without `cf_time_inferred` they were never cells of the fit; without them it is answered."""
    adata = fitted_as("default")
    later = cf.tl.predict(adata, time=30.0)
    joined = ad.concat([adata, later], join="outer", uns_merge="first")
    expected = (
        rf"no value for {later.n_obs} of {joined.n_obs} cells \(first: '{later.obs_names[0]}'\),"
        rf" {later.n_obs} of them predicted cells \(adata.obs\['cf_predicted'\]\)"
    )
    with pytest.raises(InputError, match=expected) as raised:
        cf.tl.velocity(joined)
    assert "adata[~adata.obs['cf_time'].isna()].copy()" in str(raised.value)
    joined.write_h5ad(tmp_path / "joined.h5ad")
    with pytest.raises(InputError, match=expected):
        cf.tl.velocity(ad.read_h5ad(tmp_path / "joined.h5ad"))
    cf.tl.velocity(joined[~joined.obs["cf_time"].isna()].copy())


def test_a_question_to_cells_of_another_file_says_so(fitted_as):
    adata = fitted_as("default")
    other = adata[:5].copy()
    other.obs_names = [f"other{k}" for k in range(5)]
    for name in ("cf_time", "cf_time_inferred", "cf_predicted"):
        del other.obs[name]
    joined = ad.concat([adata, other], join="outer", uns_merge="first")
    expected = "no value for 5 of 95 cells .first: 'other0'., cells of another AnnData"
    with pytest.raises(InputError, match=expected):
        cf.tl.velocity(joined)


# Conditions --------------------------------------------------------------------------------------


def test_each_predicted_cell_has_the_condition_it_moved_in(conditional):
    later = cf.tl.predict(conditional, time=30.0)
    sources = conditional.obs.loc[later.obs["source_cell"]]
    assert later.obs["arm"].tolist() == sources["arm"].tolist()
    assert later.obs["dose"].tolist() == sources["dose"].tolist()
    assert later.obs["dose"].dtype == np.float64
    asked = {"arm": "treated", "dose": 1.25}
    changed = cf.tl.push(conditional, [0, 1], time=20.0, condition=asked)
    assert changed.obs["arm"].tolist() == ["treated", "treated"]
    np.testing.assert_allclose(changed.obs["dose"], 1.25, rtol=1e-6)
    joined = ad.concat([conditional, later])
    with pytest.warns(InputWarning, match="are taken as measured"):
        cf.tl.flow(joined, "hours", method=i_cfm(training=BRIEF), condition_key=["arm", "dose"])


def test_categories_of_conditions_stay_and_bring_their_colours(plain):
    plain.obs["arm"] = plain.obs["arm"].astype("category")
    plain.uns["arm_colors"] = np.array(["#000000", "#ffffff"], dtype=object)
    plain.obs["batch"] = pd.Categorical(np.arange(90) % 3)
    cf.tl.flow(plain, "hours", method=i_cfm(training=BRIEF), condition_key=["arm", "batch"])
    later = cf.tl.predict(plain, time=30.0, n_obs=9)
    sources = plain.obs.loc[later.obs["source_cell"]]
    for name in ("arm", "batch"):
        assert later.obs[name].dtype == plain.obs[name].dtype
        assert later.obs[name].tolist() == sources[name].tolist()
    assert later.uns["arm_colors"].tolist() == ["#000000", "#ffffff"]
    assert "batch_colors" not in later.uns


def test_samples_and_weights_of_a_fit_are_carried(plain):
    plain.obs["dish"] = np.where(np.arange(90) % 2, "d1", "d2")
    plain.obs["share"] = 1.0 + (np.arange(90) % 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        cf.tl.flow(
            plain, "hours", method=i_cfm(training=BRIEF), sample_key="dish", weight_key="share"
        )
    later = cf.tl.predict(plain, time=30.0)
    assert later.obs["dish"].tolist() == plain.obs.loc[later.obs["source_cell"], "dish"].tolist()
    np.testing.assert_allclose(later.obs["share"], later.obs["weight"] * later.n_obs)
    joined = ad.concat([plain, later])
    with pytest.warns(InputWarning, match="are taken as measured"):
        cf.tl.flow(
            joined, "hours", method=i_cfm(training=BRIEF), sample_key="dish", weight_key="share"
        )


# Labels ------------------------------------------------------------------------------------------


def test_labels_are_those_of_the_nearest_cells_near_in_time(plain):
    """Cells that have not moved are their own nearest neighbours."""
    here = cf.tl.predict(plain, time=12.0, source=12.0, cluster_key="kind")
    own = plain.obs.loc[here.obs["source_cell"], "kind"]
    assert here.obs["kind"].dtype == plain.obs["kind"].dtype
    far = np.abs(plain[here.obs["source_cell"]].obsm["X_pca"][:, 1]) > 0.5
    assert (here.obs["kind"].to_numpy() == own.to_numpy())[far].all()
    assert here.obs["cf_label_confidence"].between(0.5, 1.0).all()
    assert (here.uns["kind_colors"] == plain.uns["kind_colors"]).all()


def test_cells_far_in_time_do_not_vote():
    """Two snapshots of enough cells in one place, with other labels: the time decides."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2)).astype(np.float32)
    obs = pd.DataFrame({"day": np.repeat([0.0, 1.0, 2.0], 300)})
    obs.index = [f"c{i}" for i in range(900)]
    obs["stage"] = np.repeat(["early", "middle", "late"], 300)
    adata = ad.AnnData(obs=obs, obsm={"X_pca": x})
    cf.tl.flow(adata, "day", method=i_cfm(training=BRIEF))
    for time, expected in [(0.5, {"early", "middle"}), (1.0, {"middle"}), (2.2, {"late"})]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            later = cf.tl.predict(adata, time=time, n_obs=50, cluster_key="stage")
        assert set(later.obs["stage"]) <= expected
        assert np.allclose(later.obs["cf_label_confidence"], 1) == (len(expected) == 1)


@pytest.mark.parametrize(
    ("cluster_key", "error", "words"),
    [
        ("knid", MissingKeyError, "did you mean 'kind'"),
        ("hours", InputError, "is a column that the result fills otherwise"),
        ("weight", InputError, "is a column that the result fills otherwise"),
        ("empty", InputError, "holds no value"),
        ("number", InputError, "holds numbers with fractions"),
    ],
)
def test_labels_that_cannot_be_had(plain, cluster_key, error, words, frozen):
    plain.obs["empty"] = np.nan
    plain.obs["weight"] = "a"
    plain.obs["number"] = np.linspace(0, 1, 90)
    with frozen(plain), pytest.raises(error, match=words):
        cf.tl.push(plain, [0], time=20.0, cluster_key=cluster_key)


def test_cells_without_a_label_do_not_vote(plain):
    plain.obs["kind"] = plain.obs["kind"].where(np.arange(90) % 2 == 0)
    later = cf.tl.predict(plain, time=30.0, cluster_key="kind")
    assert later.obs["kind"].notna().all()


# Embeddings --------------------------------------------------------------------------------------


def test_places_in_embeddings_are_exact_or_flagged(plain):
    x = plain.obsm["X_pca"]
    plain.obsm["X_rotated"] = (x @ np.array([[1, 2], [0, 1], [3, 0], [1, 1]]) + 5).astype(float)
    plain.obsm["X_scvi"] = np.tanh(x).astype(np.float32)
    plain.obsm["X_spatial"] = x[:, :2].copy()
    plain.obsm["other"] = x[:, :2].copy()
    later = cf.tl.predict(plain, time=30.0)
    assert set(later.obsm) == {"X_pca", "X_umap", "X_rotated", "X_scvi"}
    assert sorted(later.uns["cf_prediction"]["placed"]) == ["X_scvi", "X_umap"]
    expected = later.obsm["X_pca"] @ np.array([[1, 2], [0, 1], [3, 0], [1, 1]]) + 5
    np.testing.assert_allclose(later.obsm["X_rotated"], expected, atol=1e-4)
    assert later.obsm["X_scvi"].dtype == np.float32
    low, high = plain.obsm["X_umap"].min(axis=0), plain.obsm["X_umap"].max(axis=0)
    assert ((later.obsm["X_umap"] >= low) & (later.obsm["X_umap"] <= high)).all()
    here = cf.tl.predict(plain, time=12.0, source=12.0)
    apart = here.obsm["X_umap"] - plain[here.obs["source_cell"]].obsm["X_umap"]
    assert np.linalg.norm(apart, axis=1).mean() < 0.3 * np.linalg.norm(high - low)


def test_dimensions_that_the_fit_does_not_use_are_filled(plain):
    cf.tl.flow(plain, "hours", method=i_cfm(training=BRIEF), n_dims=2)
    later = cf.tl.predict(plain, time=30.0)
    assert later.obsm["X_pca"].shape == (60, 4)
    assert "X_pca[:, 2:]" in later.uns["cf_prediction"]["placed"]
    joined = ad.concat([plain, later], join="outer")
    assert np.isfinite(joined.obsm["X_pca"]).all()


# In the hands of other tools ---------------------------------------------------------------------


MADE = {
    "predict": lambda a: cf.tl.predict(a, time=30.0, cluster_key="kind"),
    "push": lambda a: cf.tl.push(a, np.arange(60), time=20.0, cluster_key="kind"),
    "pull": lambda a: cf.tl.pull(a, np.arange(40, 90), time=10.0, cluster_key="kind"),
    "sample": lambda a: cf.tl.sample(a, time=20.0, n_obs=40, n_steps=1, cluster_key="kind"),
    "generate": lambda a: cf.tl.generate(a, time=20.0, n_obs=40, key="made", cluster_key="kind"),
    "translate": lambda a: cf.tl.translate(
        a, "arm", source="control", target="treated", method=quick_recipe(), cluster_key="kind"
    ),
    "refine": lambda a: cf.tl.refine(
        a, cf.tl.predict(a, time=30.0), check=False, cluster_key="kind"
    ),
}


@pytest.mark.filterwarnings("ignore:.*copies of one of")
@pytest.mark.parametrize("call", MADE)
def test_every_answer_goes_into_other_tools(plain, call, tmp_path):
    made = MADE[call](plain)
    assert made.obs["cf_predicted"].all()
    assert set(made.var) <= set(plain.var)
    made.write_h5ad(tmp_path / "made.h5ad")
    made.write_zarr(tmp_path / "made.zarr")
    sc.tl.score_genes(made, ["gene1", "gene2"], ctrl_size=3, n_bins=3)
    (sure,) = (name for name in made.obs if name.endswith("_label_confidence"))
    figure = sc.pl.umap(made, color=["kind", sure], show=False, return_fig=True)
    plt.close(figure)
    joined = ad.concat([plain, made], uns_merge="first")
    assert set(joined.obs["kind"]) == {"a", "b"}
    joined.obs["origin"] = np.where(joined.obs["cf_predicted"], "predicted", "measured")
    sc.tl.rank_genes_groups(joined, "origin", method="wilcoxon")
    if call == "translate":
        return
    with pytest.warns(InputWarning, match="are taken as measured"):
        cf.tl.flow(joined, "hours", method=i_cfm(training=BRIEF))
    cf.tl.velocity(joined, basis="umap")
    assert np.isfinite(joined.obsm["velocity_umap"]).all()


def test_results_of_a_fit_whose_record_was_lost_go_with_the_next(plain):
    cf.tl.growth(
        fitted := cf.tl.flow(plain, "hours", method=quick_recipe(), growth="learn", copy=True)
    )
    later = cf.tl.predict(fitted, time=30.0, n_obs=10)
    joined = ad.concat([fitted, later], join="outer")
    assert "cellflow" not in joined.uns
    assert joined.obs["cf_growth"].isna().sum() == 10
    with pytest.warns(InputWarning, match="are taken as measured"):
        cf.tl.flow(joined, "hours", method=i_cfm(training=BRIEF))
    assert "cf_growth" not in joined.obs
    assert joined.obs["cf_time"].notna().all()


def test_without_a_sign_of_an_earlier_fit_names_of_others_stay(plain, frozen):
    bare = ad.AnnData(plain.X, obs=plain.obs[["hours"]].copy(), obsm=dict(plain.obsm))
    bare.obs["cf_time"] = 1.0
    with frozen(bare), pytest.raises(InputError, match="was not written by cellflow"):
        cf.tl.flow(bare, "hours", method=i_cfm(training=BRIEF))


@pytest.mark.parametrize("values", [["yes"] * 90, np.arange(90), pd.Categorical(["a"] * 90)])
def test_a_mark_of_predictions_that_is_none_is_refused(plain, values, frozen):
    plain.obs["cf_predicted"] = values
    with frozen(plain), pytest.raises(InputError, match=r"obs\['cf_predicted'\] holds other"):
        cf.tl.flow(plain, "hours", method=i_cfm(training=BRIEF))
    assert cf.tl.predict(plain, time=30.0, n_obs=3).n_obs == 3


def test_predictions_among_the_cells_are_reported(plain):
    later = cf.tl.predict(plain, time=[20.0, 30.0], n_obs=7)
    joined = ad.concat([plain, later])
    table = cf.pp.check(joined, "hours")
    row = table[table["key"] == "adata.obs['cf_predicted']"].iloc[0]
    assert "14 of 104 cells, at times 20 (7), 30 (7)" in row["found"]
    assert (cf.pp.check(plain, "hours")["key"] != "adata.obs['cf_predicted']").all()


@pytest.mark.parametrize(("column", "asked"), [("day", "E8.75"), ("when", "day 8.75")])
def test_bare_numbers_take_labels_with_a_warning(column, asked):
    adata = make_cells()
    adata.obs[column] = 8.0 + adata.obs["hours"] / 24.0
    cf.tl.flow(adata, column, method=i_cfm(training=BRIEF))
    with pytest.warns(InputWarning, match=r"was taken as 8\.75"):
        later = cf.tl.predict(adata, time=asked, n_obs=5)
    assert later.obs[column].tolist() == [8.75] * 5
