"""Figures of hold-outs, calibration, comparisons and training: marks are the stored tables."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import cellflow as cf
from cellflow.errors import InputError, MissingKeyError
from cellflow.evaluation.comparison import quantile
from cellflow.synthetic import Experiment, GrowingFork
from conftest import make_cells, quick_recipe
from legible import require_legible


@pytest.fixture(autouse=True)
def closed():
    yield
    from matplotlib import pyplot as plt

    plt.close("all")


def marks(ax, label):
    """Places of the marks of a series."""
    return next(line.get_xydata() for line in ax.lines if line.get_label() == label)


# Hold-outs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged():
    adata = make_cells(120)
    adata.obs["hours"] = np.repeat([0.0, 12.0, 30.0, 48.0], 30)
    cf.bench.holdout(adata, "hours", methods=quick_recipe(), metrics=("w1", "energy"))
    return adata


def test_a_hold_out_is_its_table(judged):
    left, right = cf.pl.holdout(judged)
    table = judged.uns["cf_holdout"]["table"]
    for ax, name in ((left, "w1_half"), (right, "energy_half")):
        rows = table[(table["method"] == "OT interpolation")]
        found = marks(ax, "OT interpolation")
        np.testing.assert_allclose(found[:, 1], rows.sort_values("time")[name])
        model = table[(table["kind"] == "model") & (table["protocol"] == "two-sided")]
        label = f"{model['method'].iloc[0]}, two-sided"
        np.testing.assert_allclose(marks(ax, label)[:, 1], model.sort_values("time")[name])
        floor = table[table["kind"] == "floor"].sort_values("time")[name]
        lines = [x.get_ydata() for x in ax.lines if len(np.unique(x.get_ydata())) == 1]
        assert {round(float(v), 6) for v in floor} <= {
            round(float(y[0]), 6) for y in lines if len(y)
        }
        assert [t.get_text() for t in ax.get_xticklabels()] == ["12", "30"]
    require_legible(left.figure)


def test_a_verdict_on_a_given_axes_is_its_first_sentence_inside_the_figure(judged):
    from matplotlib import pyplot as plt

    _, grid = plt.subplots(2, 2, figsize=(14, 10))
    ax = cf.pl.holdout(judged, metrics="w1_half", ax=grid[0, 1])
    said = " ".join(ax.get_title(loc="left").split())
    whole = " ".join(judged.uns["cf_holdout"]["verdict"].split())
    assert whole.startswith(said)
    assert said.endswith(".")
    require_legible(ax.figure)
    assert ax.get_tightbbox().y0 > grid[1, 1].get_position().transformed(ax.figure.transFigure).y1


def test_the_interval_of_a_hold_out_is_that_of_the_verdict(judged):
    """A model is outside of its band exactly where its gain is beyond chance."""
    adata = judged.copy()
    adata.uns["cf_holdout"] = dict(judged.uns["cf_holdout"])
    for scale in (0.01, 1.0, 100.0):
        found = judged.uns["cf_holdout"]["comparisons"].copy()
        found["error"] *= scale
        adata.uns["cf_holdout"]["comparisons"] = found
        ax = cf.pl.holdout(adata, metrics="w1_half")
        found = found[(found["protocol"] == "two-sided") & (found["measure"] == "w1")]
        label = next(x.get_label() for x in ax.lines if "two-sided" in str(x.get_label()))
        bands = next(c for c in ax.collections if c.get_alpha() == 0.25 and len(c.get_paths()) == 2)
        segments = [x[:, 1] for x in bands.get_segments()]
        rows = found.sort_values("time").itertuples()
        for (low, high), row, dot in zip(segments, rows, marks(ax, label)[:, 1], strict=True):
            half = quantile(row.freedom) * row.error
            assert (low, high) == pytest.approx((max(row.base - half, 0.0), row.base + half))
            assert (low <= dot <= high) == (abs(row.gain) <= half)
        # No bar around a model reaches values that a distance cannot have.
        assert min(low for low, _ in segments) >= 0.0
        assert (min(low for low, _ in segments) == 0.0) == (scale == 100.0)
        require_legible(ax.figure)
    ax = cf.pl.holdout(judged, metrics="w1")
    table = judged.uns["cf_holdout"]["table"]
    rows = table[(table["kind"] == "model") & (table["protocol"] == "two-sided")]
    bars = next(c for c in ax.collections if len(c.get_segments()) == 2)
    np.testing.assert_allclose(
        [s[:, 1] for s in bars.get_segments()], rows.sort_values("time")[["w1_low", "w1_high"]]
    )


def test_the_verdict_is_the_title_and_can_be_replaced(judged):
    left, _ = cf.pl.holdout(judged)
    said = " ".join(left.figure.get_suptitle().split())
    assert said == " ".join(str(judged.uns["cf_holdout"]["verdict"]).split())
    ax = cf.pl.holdout(judged, metrics="w1", ax=Figure(layout="constrained").add_subplot())
    assert said.startswith(" ".join(ax.get_title(loc="left").split()))
    ax = cf.pl.holdout(judged, metrics="w1", title="Mine", ax=Figure().add_subplot())
    assert ax.get_title(loc="left") == "Mine"
    assert cf.pl.holdout(judged, metrics="w1", title="").figure.get_suptitle() == ""


def test_all_protocols_can_be_drawn_and_differ_by_shape(judged):
    ax = cf.pl.holdout(judged, metrics="w1", protocols=["P1", "P2", "two-sided"])
    models = [
        line
        for line in ax.lines
        if ", P" in str(line.get_label()) or "sided" in str(line.get_label())
    ]
    assert len({line.get_marker() for line in models}) == len(models) == 3
    places = np.concatenate(
        [line.get_xdata() for line in ax.lines if line.get_marker() not in {"None", "|"}]
    )
    assert len(np.unique(np.round(places, 9))) == len(places)
    require_legible(ax.figure)


def test_a_time_without_a_value_says_so(judged):
    adata = judged.copy()
    adata.uns["cf_holdout"] = dict(judged.uns["cf_holdout"])
    table = adata.uns["cf_holdout"]["table"].copy()
    table.loc[(table["kind"] == "model") & (table["time"] == 12), "w1_half"] = np.nan
    adata.uns["cf_holdout"]["table"] = table
    ax = cf.pl.holdout(adata, metrics="w1_half")
    said = [t for t in ax.texts if t.get_text() == "no value"]
    assert [t.xy[0] for t in said] == [0]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"metrics": "w3"}, "metrics='w3'; expected some of"),
        ({"metrics": []}, r"metrics=\[\]; expected some of"),
        ({"metrics": "c2st"}, "which the table has"),
        ({"protocols": "P3"}, "protocols='P3'; expected some of"),
        ({"key": "cf_holdou"}, r"benchmarks are at \['cf_holdout'\]; pass key="),
        ({"ax": Figure().add_subplot()}, "2 metrics have a panel each"),
    ],
)
def test_P2_hold_outs_that_cannot_be_drawn(judged, how, said, frozen):
    from matplotlib import pyplot as plt

    with frozen(judged), pytest.raises(InputError, match=said):
        cf.pl.holdout(judged, **how)
    assert plt.get_fignums() == []


# Calibration --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibrated(fitted_as):
    adata = fitted_as("default")
    adata.obs["type"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    adata.obs["clone"] = adata.obs["type"] + (np.arange(adata.n_obs) % 15).astype(str)
    cf.tl.fates(adata, "type")
    cf.tl.calibrate(adata, lineage_key="clone")
    return adata


def test_a_reliability_diagram_is_its_table_with_the_numbers_of_cells(calibrated):
    every = cf.pl.calibration(calibrated, fate=["most probable", "a"])
    table = cf.get.calibration(calibrated)
    for ax, name in zip(every, ("most probable", "a"), strict=True):
        for stage in ("before", "after"):
            rows = table[(table["fate"] == name) & (table["stage"] == stage)]
            found = marks(ax, f"{stage} calibration")
            np.testing.assert_allclose(found, rows[["predicted", "observed"]])
        counts = sorted(t.get_text() for t in ax.texts if t.get_text() != "cells")
        rows = table[table["fate"] == name]
        assert counts == sorted(f"{n:,}" for n in rows["n_cells"])
        heights = {round(p.get_height(), 9) for p in ax.patches}
        scale = 0.17 / rows["n_cells"].max()
        assert heights == {round(scale * n, 9) for n in rows["n_cells"]}
        errors = [e for e in table.attrs["errors"] if e["fate"] == name]
        assert all(f"{e['ece']:.3f} {e['stage']}" in ax.get_title(loc="left") for e in errors)
    require_legible(every[0].figure)


def test_stages_differ_without_colour(calibrated):
    ax = cf.pl.calibration(calibrated)
    lines = {str(line.get_label()): line for line in ax.lines}
    before, after = lines["before calibration"], lines["after calibration"]
    assert before.get_marker() != after.get_marker()
    assert before.get_markerfacecolor() == "white" != after.get_markerfacecolor()


def test_composition_has_a_panel_for_each_earlier_snapshot(calibrated):
    adata = calibrated.copy()
    cf.tl.calibrate(adata, by="composition")
    every = cf.pl.calibration(adata)
    table = cf.get.calibration(adata)
    counts = table.groupby("time")["n_cells"].first()
    assert [ax.get_title(loc="left") for ax in every] == [
        f"from time {time} (n = {counts[time]})" for time in (0, 12)
    ]
    for ax, time in zip(every, (0, 12), strict=True):
        rows = table[(table["time"] == time) & (table["stage"] == "before")]
        np.testing.assert_allclose(marks(ax, "measured at the end")[:, 0], rows["observed"])
        np.testing.assert_allclose(marks(ax, "before calibration")[:, 0], rows["predicted"])
        assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    require_legible(every[0].figure)
    one = cf.pl.calibration(adata, fate="b")
    assert [t.get_text() for t in one[0].get_yticklabels()] == ["b"]


def test_P2_calibrations_that_cannot_be_drawn(calibrated, fitted_as, frozen):
    with frozen(calibrated), pytest.raises(InputError, match=r"fate='c'; expected some of .*'a'"):
        cf.pl.calibration(calibrated, fate="c")
    with pytest.raises(InputError, match="2 fates have a panel each"):
        cf.pl.calibration(calibrated, fate=["a", "b"], ax=Figure().add_subplot())
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.calibrate"):
        cf.pl.calibration(fitted_as("default"))


# Comparisons of conditions ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared():
    systems = {"control": GrowingFork(), "treated": GrowingFork(lost="B")}
    made = Experiment(systems, n_samples=3, shift=0.1)
    adata = cf.datasets.simulate(made, n_obs=25, times=[0.0, 1.0, 2.0, 3.0], random_state=0)
    how = {"condition_key": "condition", "sample_key": "sample", "method": quick_recipe()}
    cf.tl.flow(adata, "time", use_rep="X_state", **how)
    cf.tl.compare(adata, "condition", groupby="cell_type", n_perm=99)
    return adata


def effects_of(ax):
    """Places of all points that have a value: filled ones, hollow ones."""
    points = [x for x in ax.lines if x.get_marker() in "os^D" and len(x.get_xdata())]
    return np.concatenate([p.get_xydata() for p in points])


def test_effects_by_group_are_the_table_with_p_values(compared):
    ax = cf.pl.comparison(compared, quantity="fate")
    rows = cf.get.comparison(compared).query("quantity == 'fate'")
    found = effects_of(ax)
    found = found[np.argsort(found[:, 1])]
    np.testing.assert_allclose(found[:, 0], rows["effect"])
    names = [f"{g} to {f}" for g, f in zip(rows["group"], rows["fate"], strict=True)]
    assert [t.get_text() for t in ax.get_yticklabels()] == names
    bars = [s for c in ax.collections for s in c.get_segments()]
    np.testing.assert_allclose([s[:, 0] for s in bars], rows[["low", "high"]])
    assert len([t for t in ax.texts if t.get_text().startswith("p ")]) == len(rows)
    assert "treated less control" in ax.get_xlabel()
    assert "12 against 12 samples" in ax.get_title(loc="left")
    require_legible(ax.figure)


def test_filled_effects_are_those_that_are_significant(compared):
    for alpha, none_filled in ((0.0, True), (1.0, False)):
        ax = cf.pl.comparison(compared, quantity="speed", alpha=alpha, ax=Figure().add_subplot())
        points = [x for x in ax.lines if x.get_marker() == "o" and len(x.get_xdata())]
        assert {p.get_markerfacecolor() == "white" for p in points} == {none_filled}


def test_effects_over_time_and_distances(compared):
    speed, distance = cf.pl.comparison(compared, quantity=["speed", "distance"], over="time")
    table = cf.get.comparison(compared)
    rows = table[(table["quantity"] == "speed") & table["time"].notna()]
    np.testing.assert_allclose(np.sort(effects_of(speed)[:, 1]), np.sort(rows["effect"]))
    rows = table[table["quantity"] == "distance"]
    np.testing.assert_allclose(distance.lines[0].get_ydata(), rows["reference_value"])
    np.testing.assert_allclose(distance.lines[1].get_ydata(), rows["condition_value"])
    when = table[table["quantity"] == "divergence"].iloc[0]
    ends = [tuple(x.get_xdata()) for x in distance.lines if x.get_linewidth() == 3.0]
    assert (when["low"], when["high"]) in ends
    require_legible(speed.figure)


def test_all_quantities_are_drawn_below_the_words(compared):
    every = cf.pl.comparison(compared)
    assert [ax.get_title(loc="left").split()[0] for ax in every] == ["speed", "fate", "distance"]
    said = " ".join(every[0].figure.get_suptitle().split())
    assert said == cf.get.comparison(compared).attrs["words"]
    require_legible(every[0].figure)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"quantity": "growth"}, "quantity='growth'; expected some of .'speed', 'fate'"),
        ({"over": "times"}, "over='times'; expected one of"),
        ({"alpha": 2}, "alpha=2"),
        ({"ax": Figure().add_subplot()}, "3 quantities have a panel each"),
    ],
)
def test_P2_comparisons_that_cannot_be_drawn(compared, how, said, frozen):
    from matplotlib import pyplot as plt

    with frozen(compared), pytest.raises(InputError, match=said):
        cf.pl.comparison(compared, **how)
    assert plt.get_fignums() == []


# Training -----------------------------------------------------------------------------------------


def test_every_head_has_a_curve(fitted_as):
    adata = fitted_as("ensemble")
    ax = cf.pl.loss(adata)
    history = adata.uns["cellflow"]["history"]
    lines = {str(line.get_label()): line for line in ax.lines}
    assert {"velocity", "score", "growth", "training pairs, all heads"} <= set(lines)
    for name in ("velocity", "score", "growth"):
        np.testing.assert_array_equal(lines[name].get_ydata(), history[f"loss_{name}"])
    styles = {lines[name].get_linestyle() for name in ("velocity", "score", "growth")}
    assert len(styles) == 3
    parts = sum(np.asarray(history[f"loss_{n}"]) for n in ("velocity", "score", "growth"))
    np.testing.assert_allclose(parts, history["loss"], rtol=1e-5)
    require_legible(ax.figure)
