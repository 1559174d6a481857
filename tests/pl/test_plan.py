"""Mass from label to label: the table conserves what was measured, and the figure is the table."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle

import cellflow as cf
from cellflow.errors import InputError, MissingKeyError
from cellflow.pl._sankey import Sankey, spread_out
from conftest import quick_recipe
from legible import require_legible

N = 30


def first_ten(adata):
    return np.arange(adata.n_obs) < 10


def labelled(adata, *, missing=()):
    """Labels by place, so that a plan has to turn some into others; `"late"` is not at first."""
    side = np.where(adata.obsm["X_pca"][:, 1] > 0, "up", "down")
    side[(adata.obsm["X_pca"][:, 2] > 0.3) & (adata.obs["hours"] > 0)] = "late"
    adata.obs["side"] = pd.Categorical(side, ["up", "late", "down", "nowhere"])
    adata.obs.loc[adata.obs_names[list(missing)], "side"] = np.nan
    return adata


@pytest.fixture
def adata(fitted_as):
    return labelled(fitted_as("default"))


def measured(adata, time, label):
    here = adata.obs["hours"] == time
    return (adata.obs.loc[here, "side"] == label).mean()


def drawn(ax, kind, what):
    return {p.get_gid(): p for p in ax.patches if isinstance(p, kind) and p.get_gid()[:4] == what}


@pytest.mark.parametrize("kind", ["default", "growth", "conditions", "ensemble", "sf2m"])
def test_rows_of_the_table_conserve_mass(fitted_as, kind):
    adata = labelled(fitted_as(kind))
    table = cf.get.plan(adata, "side")
    assert set(table["from_time"]) == {0.0, 12.0}
    timed = adata.obs["hours"].notna()
    for (start, end), rows in table.groupby(["from_time", "time"]):
        for side, time, mass in (("source", start, "mass_before"), ("target", end, "mass_after")):
            found = rows.groupby(side, observed=True)[mass].sum()
            here = adata.obs[timed & (adata.obs["hours"] == time)]
            expected = here["side"].value_counts(normalize=True)
            expected = expected[expected > 0]
            assert set(found.index) == set(expected.index)
            np.testing.assert_allclose(found[expected.index], expected, atol=1e-7)
        np.testing.assert_allclose(rows.groupby("source", observed=True)["to_share"].sum(), 1.0)
        np.testing.assert_allclose(rows.groupby("target", observed=True)["from_share"].sum(), 1.0)
    balanced = np.allclose(table["mass_before"], table["mass_after"], atol=1e-6)
    assert balanced == (kind in {"default", "sf2m", "conditions"})
    assert ("conserve mass" in table.attrs["words"]) == balanced


def test_a_label_without_cells_at_a_time_has_no_flow_and_no_node(adata):
    ax, table = cf.pl.plan(adata, "side", ax=Figure().add_subplot())
    assert "late" not in set(table.loc[table["from_time"] == 0, "source"])
    assert "nowhere" not in {*table["source"], *table["target"]}
    nodes = drawn(ax, Rectangle, "node")
    assert "node 0 late" not in nodes
    assert "node 1 late" in nodes


def test_sizes_of_the_population_are_those_of_the_masses(cells):
    """A culture that doubles, with one label: one band that is twice as wide at its end."""
    cells.obs["culture"] = np.where(cells.obs["hours"] == 0, 1.5, 3.0)
    cells.obs["kind"] = "one"
    cf.tl.flow(cells, "hours", mass_key="culture", growth="learn", method=quick_recipe())
    table = cf.get.plan(cells, "kind")
    np.testing.assert_allclose(table[["mass_before", "mass_after"]], [[1.5, 3.0], [3.0, 3.0]])
    ax, _ = cf.pl.plan(cells, "kind", ax=Figure().add_subplot())
    y = drawn(ax, PathPatch, "flow")["flow 0 one to one"].get_path().vertices[:, 1]
    assert (y[0] - y[-2], y[3] - y[4]) == pytest.approx((1.5, 3.0))


def test_shares_of_conditions_are_a_choice_of_the_experiment(fitted_as):
    """Masses before and after differ then, and both are those that were measured."""
    adata = labelled(fitted_as("conditions"))
    adata = adata[
        (adata.obs["drug"] == "none") | (adata.obs["hours"] > 0) | first_ten(adata)
    ].copy()
    table = cf.get.plan(adata, "drug")
    first = table[table["from_time"] == 0]
    assert list(zip(first["source"], first["target"], strict=True)) == [
        ("none", "none"),
        ("some", "some"),
    ]
    np.testing.assert_allclose(first["mass_before"], [20 / 25, 5 / 25])
    np.testing.assert_allclose(first["mass_after"], [0.5, 0.5])


def test_bars_and_bands_are_the_table(adata):
    ax, table = cf.pl.plan(adata, "side", threshold=0.0, ax=Figure().add_subplot())
    for name, node in drawn(ax, Rectangle, "node").items():
        k, label = name.split()[1:]
        assert node.get_height() == pytest.approx(measured(adata, [0, 12, 48][int(k)], label))
    bands = drawn(ax, PathPatch, "flow")
    assert len(bands) == len(table)
    for row in table.itertuples():
        k = [0.0, 12.0].index(row.from_time)
        y = bands[f"flow {k} {row.source} to {row.target}"].get_path().vertices[:, 1]
        assert y[0] - y[-2] == pytest.approx(row.mass_before)
        assert y[3] - y[4] == pytest.approx(row.mass_after)
        node = drawn(ax, Rectangle, "node")[f"node {k} {row.source}"]
        assert node.get_y() - 1e-9 <= y[-2] <= y[0] <= node.get_y() + node.get_height() + 1e-9
        node = drawn(ax, Rectangle, "node")[f"node {k + 1} {row.target}"]
        assert node.get_y() - 1e-9 <= y[4] <= y[3] <= node.get_y() + node.get_height() + 1e-9
    assert "all of the mass is drawn" in ax.get_title(loc="left")


def test_bands_of_one_node_do_not_overlap(adata):
    ax, table = cf.pl.plan(adata, "side", threshold=0.0, ax=Figure().add_subplot())
    bands = drawn(ax, PathPatch, "flow")
    for (start, source), rows in table.groupby(["from_time", "source"], observed=True):
        k = [0.0, 12.0].index(start)
        names = [f"flow {k} {source} to {target}" for target in rows["target"]]
        ends = sorted(tuple(bands[n].get_path().vertices[[-2, 0], 1]) for n in names)
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(ends))


def test_what_is_below_the_threshold_is_left_out_and_said(adata):
    ax, table = cf.pl.plan(adata, "side", threshold=0.2, title="Sides", ax=Figure().add_subplot())
    big = table[table[["mass_before", "mass_after"]].max(axis=1) >= 0.2]
    assert 0 < len(drawn(ax, PathPatch, "flow")) == len(big) < len(table)
    share = 1 - big.groupby("from_time")["mass_before"].sum()
    said = " ".join(ax.get_title(loc="left").split())
    assert said.startswith("Sides")
    assert f"at most {share.max():.1%} of the mass" in said


def test_colours_are_those_of_the_labels(adata):
    adata.uns["side_colors"] = ["#111111", "#222222", "#333333", "#444444"]
    ax, _ = cf.pl.plan(adata, "side", ax=Figure().add_subplot())
    shade = {n.split()[-1]: n_.get_facecolor() for n, n_ in drawn(ax, Rectangle, "node").items()}
    assert {k: mpl.colors.to_hex(v) for k, v in shade.items()} == {
        "up": "#111111",
        "late": "#222222",
        "down": "#333333",
    }
    band = drawn(ax, PathPatch, "flow")["flow 0 down to up"]
    assert mpl.colors.to_hex(band.get_facecolor()) == "#333333"


def test_cells_without_a_label_are_a_label_of_their_own(fitted_as):
    adata = labelled(fitted_as("default"), missing=range(5))
    table = cf.get.plan(adata, "side")
    assert table.loc[table["source"] == "not given", "mass_before"].sum() == pytest.approx(5 / N)
    _, drawn_table = cf.pl.plan(adata, "side", ax=Figure().add_subplot())
    pd.testing.assert_frame_equal(table, drawn_table)


def test_snapshots_between_two_times_are_passed_through(adata):
    table = cf.get.plan(adata, "side", times=[0, 48])
    assert set(zip(table["from_time"], table["time"], strict=True)) == {(0.0, 48.0)}
    later = table.groupby("target", observed=True)["mass_after"].sum()
    np.testing.assert_allclose(later, [measured(adata, 48, name) for name in later.index])


def test_numbers_as_labels_have_their_order(adata):
    adata.obs["number"] = np.resize([2, 10, 1], adata.n_obs)
    ax, table = cf.pl.plan(adata, "number", ax=Figure().add_subplot())
    assert list(table["source"].cat.categories) == ["1", "2", "10"]
    nodes = drawn(ax, Rectangle, "node")
    assert nodes["node 0 1"].get_y() > nodes["node 0 2"].get_y() > nodes["node 0 10"].get_y()


def test_names_stand_beside_the_figure_and_apart_from_each_other(adata):
    from matplotlib import pyplot as plt

    names = [f"a type with number {k:02}" for k in range(24)]
    adata.obs["many"] = pd.Categorical(np.resize(names, adata.n_obs))
    ax, _ = cf.pl.plan(adata, "many", threshold=0.0)
    require_legible(ax.figure)
    names = [t.get_gid() for t in ax.texts if t.get_gid()]
    assert len(names) == 48
    assert "of the mass" in ax.figure.get_suptitle()
    plt.close(ax.figure)


def test_labels_that_appear_in_between_have_a_name_there_and_rare_ones_are_counted(adata):
    hours = adata.obs["hours"].to_numpy()
    adata.obs["side"] = np.where(hours == 12, np.resize(["x", "y"], len(hours)), "z")
    ax, _ = cf.pl.plan(adata, "side", threshold=0.0, ax=Figure().add_subplot())
    assert {t.get_gid() for t in ax.texts if t.get_gid()} == {
        "name 0 z",
        "name 1 x",
        "name 1 y",
        "name 2 z",
    }


def test_of_more_labels_than_names_fit_the_largest_have_one():
    mass = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 0.0, 2.0, 3.0]])
    flows = np.zeros((1, 4, 4))
    what = Sankey(list("abcd"), mass, flows, flows, {}, most=2)
    np.testing.assert_array_equal(what.named, [[1, 1, 0, 0], [0, 0, 1, 1]])
    assert what.n_unnamed == 0
    assert Sankey(list("abcd"), mass[:, :3], flows, flows, {}, most=1).n_unnamed == 1


def test_places_are_the_nearest_that_are_apart():
    np.testing.assert_allclose(spread_out(np.array([3.0, 1.0, 2.0]), 0.5), [3.0, 1.0, 2.0])
    np.testing.assert_allclose(spread_out(np.array([1.0, 1.0]), 0.5), [1.25, 0.75])
    found = spread_out(np.array([0.0, 0.1, 5.0, 0.05]), 1.0)
    assert found[2] == 5.0
    np.testing.assert_allclose(np.sort(found)[:3], np.array([-0.95, 0.05, 1.05]))
    assert (np.argsort(found) == [0, 3, 1, 2]).all()


BAD = {
    "no column": (
        {"groupby": "sides"},
        MissingKeyError,
        "groupby= one of them .did you mean 'side'",
    ),
    "fractions": ({"groupby": "fraction"}, InputError, "groupby=, or make groups"),
    "one time": ({"times": [0]}, InputError, r"times=\[0\]; expected at least two of \[0.0, 12"),
    "text": ({"times": "0"}, InputError, "times='0'; expected at least two"),
    "another time": ({"times": [0, 13]}, InputError, r"no cells were measured at \[13.0\]"),
    "backwards": ({"times": [12, 0]}, InputError, "they do not increase"),
    "no fit": ({"key": "other"}, InputError, "holds no fit"),
    "a taken name": ({"groupby": "taken"}, InputError, "'no partner'.*rename"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("call", [cf.get.plan, cf.pl.plan])
def test_P2_what_cannot_be_asked_is_named_and_leaves_no_figure(adata, case, call, frozen):
    from matplotlib import pyplot as plt

    adata.obs["fraction"] = 0.5
    adata.obs["taken"] = "no partner"
    how, kind, said = BAD[case]
    figures = plt.get_fignums()
    with frozen(adata), pytest.raises(kind, match=said):
        call(adata, **({"groupby": "side"} | how))
    assert plt.get_fignums() == figures


def test_P2_thresholds_and_fits_that_pair_nothing(fitted_as):
    adata = labelled(fitted_as("default"))
    with pytest.raises(InputError, match="threshold=2"):
        cf.pl.plan(adata, "side", threshold=2)
    adata = labelled(fitted_as("fm"))
    with pytest.raises(InputError, match="generates cells from noise"):
        cf.get.plan(adata, "side")
