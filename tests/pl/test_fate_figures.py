"""Figures of fates: on a circle, as heat maps, as violins."""

from itertools import permutations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import cellflow as cf
from cellflow.errors import InputError, InputWarning, MissingKeyError
from cellflow.pl._circle import circle_order, corners_of, shared
from cellflow.pl._fates_circular import project
from cellflow.pl._fates_violin import density_between
from legible import require_inside, require_legible, words

pytestmark = pytest.mark.usefixtures("long_steps")


@pytest.fixture(scope="module")
def known(fitted_as):
    """An ensemble with three fates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cf.Flow, "step", property(lambda flow: flow.clock.unit / 3))
        adata = fitted_as("ensemble")
        x = adata.obsm["X_pca"]
        kinds = np.select([x[:, 2] > 0.5, x[:, 3] > 0], ["upper", "right"], "lower")
        adata.obs["kind"] = pd.Categorical(kinds)
        cf.tl.fates(adata, "kind")
        return adata


@pytest.fixture
def adata(known):
    return known.copy()


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def many(adata, k, *, undecided=0.1):
    """The same cells with `k` fates, of which neighbours on a circle share cells."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0.0, 2.0 * np.pi, adata.n_obs)
    centre = 2.0 * np.pi * np.arange(k) / k
    p = np.exp(8.0 * (np.cos(angle[:, None] - centre) - 1.0))
    p *= (1.0 - undecided) / p.sum(axis=1, keepdims=True)
    shuffled = rng.permutation(k)
    names = np.array([f"cell type {number}" for number in shuffled] + ["undecided"], dtype=object)
    adata.obsm["lineages_fwd"] = np.column_stack([p[:, shuffled], np.full(adata.n_obs, undecided)])
    adata.obsm["cf_fates_sd"] = np.zeros((adata.n_obs, k + 1))
    about = adata.uns["cellflow"]["fates"]
    about["names"] = names
    about["n_members"] = 1
    return adata


# The circle ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [3, 5, 7])
def test_the_order_of_a_few_fates_is_the_best_of_all(k):
    half = np.random.default_rng(k).uniform(size=(k, k))
    similarity = half + half.T

    def total(order):
        return sum(similarity[order[i], order[i - 1]] for i in range(k))

    found = circle_order(similarity).tolist()
    assert sorted(found) == list(range(k))
    assert found[0] == 0
    assert k < 3 or found[1] < found[-1]
    np.testing.assert_allclose(total(found), max(map(total, permutations(range(k)))))


@pytest.mark.parametrize("k", [6, 14, 40])
def test_fates_that_share_cells_are_neighbours(k):
    """Of a ring, the order is that of the ring, for exact and for improved orders."""
    angle = 2.0 * np.pi * np.arange(k) / k
    p = np.exp(10.0 * np.cos(np.linspace(0.0, 2.0 * np.pi, 500)[:, None] - angle))
    shuffled = np.random.default_rng(k).permutation(k)
    found = shuffled[circle_order(shared(p[:, shuffled], np.ones(500)))]
    steps = np.diff(np.append(found, found[0])) % k
    assert set(steps) in ({1}, {k - 1})


def test_cells_are_at_the_mean_of_the_corners_and_undecided_ones_in_the_centre():
    p = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.3, 0.4]])
    found = project(p, ["a", "b", "c"], np.ones(4))
    np.testing.assert_allclose(np.linalg.norm(found.corners, axis=1), 1.0)
    np.testing.assert_allclose(found.xy[0], found.corners[0])
    np.testing.assert_allclose(found.xy[1], 0.0)
    np.testing.assert_allclose(found.xy[2], found.corners[:2].mean(axis=0))
    np.testing.assert_allclose(found.xy[3], p[3] @ found.corners)
    np.testing.assert_allclose(found.corners[0], [0.0, 1.0], atol=1e-15)


def test_two_fates_are_the_ends_of_a_line_and_no_two_cells_cover_each_other():
    p = np.array([[1.0, 0.0]] * 20 + [[0.0, 1.0]] * 5 + [[0.25, 0.75]])
    found = project(p, ["a", "b"], np.ones(26))
    np.testing.assert_allclose(found.corners, [[-1.0, 0.0], [1.0, 0.0]], atol=1e-15)
    np.testing.assert_allclose(found.xy[:, 0], p @ [-1.0, 1.0])
    assert len(np.unique(found.xy[:20, 1])) == 20
    assert np.ptp(found.xy[:20, 1]) > np.ptp(found.xy[20:25, 1])


def test_a_circle_shows_all_cells_and_names_in_the_colours_of_the_fates(adata):
    names = cf.get.fates(adata).attrs["names"]
    adata.uns["kind_colors"] = ["#102030", "#405060", "#708090"]
    cf.tl.fates(adata, "kind", copy=True)
    ax = cf.pl.fates(adata, kind="circular")
    ends = [name for name in names if name != "undecided"]
    p = adata.obsm["lineages_fwd"][:, [names.index(name) for name in ends]]
    want = p @ corners_of(circle_order(shared(p, np.ones(adata.n_obs))))
    drawn = np.concatenate([c.get_offsets() for c in ax.collections if len(c.get_offsets()) > 1])
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(want, axis=0), atol=1e-6)
    corners = {to_hex(c.get_facecolors()[0]) for c in ax.collections if len(c.get_offsets()) == 1}
    assert corners == set(adata.uns["kind_colors"])
    assert all(name in words(ax.figure) for name in ends)


@pytest.mark.parametrize("k", [3, 9, 14, 15, 40])
@pytest.mark.parametrize("color", ["hours", "kind"])
def test_names_around_a_circle_can_be_read(adata, k, color):
    ax = cf.pl.fates(many(adata, k), kind="circular", color=color)
    require_legible(ax.figure)
    names = [text for text in ax.texts if text.get_text().startswith("cell type")]
    assert len(names) == k
    edge = ax.transData.transform([[0.0, 0.0], [1.0, 0.0]])
    radius = np.linalg.norm(edge[1] - edge[0])
    for text in names:
        if text.get_rotation() % 90.0 == 0.0:  # others run outwards from the circle
            box = text.get_window_extent()
            corners = np.array(box.get_points()) - edge[0]
            nearest = np.clip(0.0, corners[0], corners[1])
            assert np.linalg.norm(nearest) >= radius - 1.0


def test_groups_on_a_circle_are_medians_with_their_names(adata):
    ax = cf.pl.fates(many(adata, 5), kind="circular", groupby="kind", color="hours")
    said = words(ax.figure)
    assert all(name in said for name in ("lower", "right", "upper"))
    assert len(adata.uns["kind_colors"]) == 3


# Heat maps and violins ----------------------------------------------------------------------------


@pytest.mark.parametrize("groupby", [None, "kind"])
def test_a_heat_map_has_the_means_and_writes_them(adata, groupby):
    ax = cf.pl.fates(adata, kind="heatmap", groupby=groupby)
    table = cf.get.fates(adata, groupby=groupby or "hours", interval=0.9)
    fates = [text.get_text() for text in ax.get_xticklabels()]
    want = table.pivot_table("probability", "group", "fate", observed=True)[fates].to_numpy()
    np.testing.assert_allclose(ax.images[0].get_array(), want)
    assert ax.images[0].get_clim() == (0.0, 1.0)
    numbers = [text.get_text().split("\n") for text in ax.texts]
    assert [each[0] for each in numbers] == [f"{value:.2f}" for value in want.ravel()]
    ends = table.sort_values(["group", "fate"])
    some = next(k for k, each in enumerate(numbers) if len(each) == 2)
    low, high = map(float, numbers[some][1].split("–"))
    row = table[np.isclose(table["probability"], want.ravel()[some])].iloc[0]
    np.testing.assert_allclose([low, high], row[["low", "high"]].astype(float), atol=0.006)
    assert len(ends) == want.size
    require_legible(ax.figure)


def test_numbers_that_do_not_fit_are_not_written(adata):
    small = Figure(figsize=(2.2, 1.4)).add_subplot()
    with pytest.warns(InputWarning, match="too little for the legend"):
        drawn = cf.pl.fates(many(adata, 20), kind="heatmap", ax=small)
    assert not drawn.texts
    assert cf.pl.fates(many(adata, 4), kind="heatmap").texts


def test_labels_of_times_are_in_the_order_of_the_times(adata):
    stages = {0.0: "E9.5", 12.0: "E10.5", 48.0: "E11.5"}
    label = adata.obs["hours"].map(stages)
    adata.obs["hours"] = pd.Categorical(label)
    rows = cf.pl.fates(adata, kind="violin", fate="upper").get_yticklabels()
    assert [text.get_text() for text in rows] == list(stages.values())


def test_a_density_between_zero_and_one_has_its_mass_there():
    rng = np.random.default_rng(0)
    values = np.clip(rng.beta(0.3, 0.4, size=300), 0.0, 1.0)
    weight = rng.uniform(size=300)
    density = density_between(values, weight)
    np.testing.assert_allclose(np.trapezoid(density, dx=1.0 / 200), 1.0, rtol=2e-3)
    np.testing.assert_allclose(density_between(1.0 - values, weight)[::-1], density, rtol=1e-6)
    np.testing.assert_allclose(density_between(values, 3.0 * weight), density)


def test_violins_have_the_means_the_intervals_and_the_colours_of_the_groups(adata):
    adata.uns["kind_colors"] = ["#102030", "#405060", "#708090"]
    axes = cf.pl.fates(adata, kind="violin", groupby="kind")
    table = cf.get.fates(adata, groupby="kind", interval=0.9)
    for ax, fate in zip(axes, cf.get.fates(adata).attrs["names"], strict=True):
        assert ax.get_title() == fate
        rows = table[table["fate"] == fate]
        np.testing.assert_allclose(ax.collections[-1].get_offsets()[:, 0], rows["probability"])
        bars = [c for c in ax.collections if isinstance(c, mpl.collections.LineCollection)]
        ends = np.array(bars[0].get_segments())[:, :, 0]
        np.testing.assert_allclose(ends, rows[["low", "high"]])
        bodies = [c for c in ax.collections if isinstance(c, mpl.collections.PolyCollection)]
        assert [to_hex(c.get_facecolors()[0]) for c in bodies] == adata.uns["kind_colors"]
        places = np.concatenate([c.get_paths()[0].vertices for c in bodies])
        assert places[:, 0].min() >= 0.0
        assert places[:, 0].max() <= 1.0
    require_legible(axes[0].figure)


@pytest.mark.parametrize(
    "kind", ["bool", "boolean", "int64", "Int64", "float64", "string", "category of bool", "gaps"]
)
@pytest.mark.parametrize("figure", ["violin", "heatmap"])
def test_groups_are_the_same_whatever_the_kind_of_their_column(adata, kind, figure):
    """Two groups as text, and the same two as any other kind of column."""
    late = np.arange(adata.n_obs) % 2 == 0
    adata.obs["text"] = np.where(late, "b", "a")
    column = pd.Series(late, index=adata.obs_names)
    if kind == "category of bool":
        column = column.astype("category")
    elif kind == "gaps":
        column = column.astype("boolean").mask(np.arange(len(late)) < 10)
        adata.obs.loc[column.isna(), "text"] = np.nan
    else:
        column = column.astype(int).astype(kind)
    adata.obs["other"] = column

    def drawn(groupby):
        axes = np.atleast_1d(cf.pl.fates(adata, kind=figure, groupby=groupby))
        if figure == "heatmap":
            values = [c.get_array() for c in [*axes[0].collections, *axes[0].images]]
        else:
            values = [p.vertices for ax in axes for c in ax.collections for p in c.get_paths()]
            values += [c.get_offsets() for ax in axes for c in ax.collections]
        numbers = np.concatenate([np.ravel(v) for v in values if v is not None])
        return len(axes[0].get_yticklabels()), numbers

    for found, expected in zip(drawn("other"), drawn("text"), strict=True):
        np.testing.assert_allclose(found, expected)


def test_a_violin_counts_cells_and_its_dot_counts_descendants(adata):
    """One cell with nearly all of the descendants moves the mean, not the distribution."""
    adata.obsm["lineages_fwd"][:] = np.eye(len(adata.obsm["lineages_fwd"].T))[0]
    adata.obsm["lineages_fwd"][0] = np.roll(adata.obsm["lineages_fwd"][1], 1)
    adata.obs["cf_fate_mass"] = np.where(np.arange(adata.n_obs) == 0, 1e9, 1.0)
    adata.obs["all"] = pd.Categorical(["all"] * adata.n_obs)
    first = cf.get.fates(adata).attrs["names"][0]
    ax = cf.pl.fates(adata, first, kind="violin", groupby="all")
    body = next(c for c in ax.collections if isinstance(c, mpl.collections.PolyCollection))
    places = body.get_paths()[0].vertices
    assert places[np.argmax(places[:, 1]), 0] > 0.95
    assert ax.collections[-1].get_offsets()[0, 0] < 0.05


def test_many_groups_and_fates_stay_inside_the_figure(adata):
    adata.obs["cluster"] = pd.Categorical([f"cluster {k % 45}" for k in range(adata.n_obs)])
    cf.pl.fates(many(adata, 30), kind="heatmap", groupby="cluster")
    require_inside(plt.gcf())
    cf.pl.fates(adata, ["cell type 1", "cell type 2"], kind="violin", groupby="cluster")
    require_legible(plt.gcf())


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "circle"}, r"kind='circle'; expected one of .*circular"),
        ({"kind": "heatmap", "color": "kind"}, r"color='kind' with kind='heatmap'.*circular"),
        ({"kind": "violin", "basis": "umap"}, r"basis='umap' with kind='violin'"),
        ({"groupby": "kind"}, r"groupby='kind' with kind='map'"),
        ({"kind": "circular", "fate": "upper"}, r"at least two"),
        ({"kind": "violin", "fate": []}, r"fate=\[\] names no fate"),
        ({"kind": "violin", "fate": "uper"}, r"fate='uper' is none of .*upper"),
        ({"kind": "heatmap", "groupby": "score"}, r"has 90 groups; expected at most"),
        ({"kind": "heatmap", "interval": 2.0}, r"interval"),
    ],
)
def test_what_cannot_be_drawn_is_refused_without_a_figure(adata, arguments, message):
    adata.obs["score"] = np.arange(adata.n_obs, dtype=float)
    before = plt.get_fignums()
    uns = set(adata.uns)
    with pytest.raises(InputError, match=message):
        cf.pl.fates(adata, **arguments)
    assert plt.get_fignums() == before
    assert set(adata.uns) == uns


def test_one_axes_is_for_one_panel(adata):
    ax = Figure().add_subplot()
    with pytest.raises(InputError, match="fates have a panel each"):
        cf.pl.fates(adata, kind="violin", ax=ax)
    with pytest.raises(InputError, match="2 colours have a panel each"):
        cf.pl.fates(adata, kind="circular", color=["kind", "hours"], ax=ax)
    assert cf.pl.fates(adata, "upper", kind="violin", ax=ax) is ax


def test_a_single_flow_has_no_intervals(adata):
    single = many(adata, 3)
    for name in ("cf_fate_mass_members", "cf_fates_members", "cf_fates_se"):
        del single.obsm[name]
    with pytest.raises(InputError, match="interval"):
        cf.pl.fates(single, kind="heatmap", interval=0.9)
    assert not any("–" in text.get_text() for text in cf.pl.fates(single, kind="heatmap").texts)


def test_missing_columns_are_named(adata):
    with pytest.raises(MissingKeyError, match="knd"):
        cf.pl.fates(adata, kind="violin", groupby="knd")
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.ancestors"):
        cf.pl.fates(adata, kind="circular", backward=True)
