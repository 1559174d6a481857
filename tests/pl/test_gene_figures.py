"""Figures of genes: what is drawn is what is stored, and all of it can be read."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import cellflow as cf
from cellflow.errors import InputError, MissingKeyError
from cellflow.pl._jacobian import clustered
from cellflow.pl._trends_cascade import order_of_peaks, scaled
from gene_records import GENES, TIMES
from legible import require_legible, words
from plotted import fitted


@pytest.fixture
def adata():
    return fitted()


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def line_of(ax, label):
    """The curve that is named so in the legend: of its colour and its dashes."""
    handle = next(line for line in ax.lines if line.get_label() == label)
    return next(
        line
        for line in ax.lines
        if len(line.get_xdata()) == len(TIMES)
        and line.get_color() == handle.get_color()
        and line.get_linestyle() == handle.get_linestyle()
    )


FIGURES = {
    "trends": lambda adata: cf.pl.trends(adata)[0],
    "trend": lambda adata: cf.pl.trends(adata, "MYH3"),
    "cascade": lambda adata: cf.pl.trends(adata, kind="cascade")[0],
    "drivers": lambda adata: cf.pl.drivers(adata, "left")[0],
    "driver": lambda adata: cf.pl.drivers(adata, "left", show="score", n_genes=2),
    "jacobian": lambda adata: cf.pl.jacobian(adata),
    "network": lambda adata: cf.pl.jacobian(adata, kind="network"),
    "effects": lambda adata: cf.pl.perturbation(adata)[0],
    "genes": lambda adata: cf.pl.perturbation(adata, "MYH3=0", kind="genes"),
    "support": lambda adata: cf.pl.perturbation(adata, kind="support")[0],
    "screen": lambda adata: cf.pl.screen(adata),
}


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_or_covered(adata, name):
    require_legible(FIGURES[name](adata).figure)


@pytest.mark.parametrize("name", FIGURES)
def test_without_results_no_figure_is_made(adata, name):
    for entry in ("trends", "drivers", "jacobian", "perturbations", "screen"):
        del adata.uns["cellflow"][entry]
    before = plt.get_fignums()
    with pytest.raises(MissingKeyError, match=r"Expected: call cf\.tl\."):
        FIGURES[name](adata)
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda a: cf.pl.trends(a, "MYH4"), r"genes='MYH4' has no trend.*MYH3"),
        (lambda a: cf.pl.trends(a, fate="up"), r"fate='up' has no trend"),
        (lambda a: cf.pl.trends(a, kind="curve"), r"kind='curve'.*curves"),
        (lambda a: cf.pl.trends(a, []), r"0 genes; expected 1 to 100"),
        (lambda a: cf.pl.trends(a, ax=Figure().add_subplot()), r"2 genes have a panel each"),
        (lambda a: cf.pl.drivers(a, "right"), r"fate='right' has no drivers"),
        (lambda a: cf.pl.drivers(a, "left", genes="MYH3"), r"genes='MYH3' has not been tested"),
        (lambda a: cf.pl.drivers(a, "left", show="speed"), r"show='speed'"),
        (lambda a: cf.pl.drivers(a, "left", ax=Figure().add_subplot()), r"4 parts"),
        (lambda a: cf.pl.jacobian(a, group="x"), r"group='x'; expected one of \['all'\]"),
        (lambda a: cf.pl.jacobian(a, order="size"), r"order='size'"),
        (lambda a: cf.pl.perturbation(a, kind="mass"), r"kind='mass'"),
        (lambda a: cf.pl.perturbation(a, ax=Figure().add_subplot()), r"2 perturbations"),
        (lambda a: cf.pl.perturbation(a, alpha=1.0), r"alpha=1"),
        (lambda a: cf.pl.screen(a, "right"), r"fate='right'; expected one of \['left'\]"),
    ],
)
def test_what_cannot_be_drawn_is_refused_without_a_figure(adata, ask, message):
    before = plt.get_fignums()
    with pytest.raises(InputError, match=message):
        ask(adata)
    assert plt.get_fignums() == before


# Trends -------------------------------------------------------------------------------------------


def test_curves_are_the_means_with_their_intervals_and_gaps(adata):
    axes = cf.pl.trends(adata)
    assert [ax.get_title() for ax in axes] == GENES
    table = cf.get.trends(adata)
    for ax, gene in zip(axes, GENES, strict=True):
        drawn = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == len(TIMES)]
        rows = table[table["gene"] == gene]
        want = [rows[rows["fate"] == fate]["mean"] for fate in ("left", "right")]
        np.testing.assert_allclose(np.stack(drawn), np.stack(want))
        band = ax.collections[0].get_paths()[0].vertices
        rows = rows[(rows["fate"] == "left") & rows["supported"]]
        np.testing.assert_allclose(band[:, 1].max(), rows["high"].max())
        np.testing.assert_allclose(band[:, 1].min(), rows["low"].min())


def test_measured_means_are_dots_and_faint_without_support(adata):
    ax = cf.pl.trends(adata, "MYH3", fate="left")
    dots = [line for line in ax.lines if line.get_linestyle() == "None" and len(line.get_xdata())]
    clear, faint = sorted(dots, key=lambda line: -line.get_alpha())
    np.testing.assert_allclose(clear.get_xdata(), [0.0, 24.0])
    np.testing.assert_allclose(clear.get_ydata(), [0.0, 1.0])
    np.testing.assert_allclose(faint.get_xdata(), [48.0])
    assert faint.get_alpha() < 0.5


def test_trends_of_fates_have_their_colours_and_are_told_apart_without_colours(adata):
    adata.uns["cellflow"]["fates"]["names"] = np.array(["left", "right"], dtype=object)
    adata.uns["term_states_fwd_colors"] = ["#102030", "#a0b0c0"]
    ax = cf.pl.trends(adata, "MYH3")
    lines = [line_of(ax, fate) for fate in ("left", "right")]
    assert [to_hex(line.get_color()) for line in lines] == ["#102030", "#a0b0c0"]
    assert len({line.get_linestyle() for line in lines}) == 2


def test_the_time_of_parting_is_marked(adata):
    ax = cf.pl.trends(adata, "MYH3")
    dotted = [line for line in ax.lines if line.get_linestyle() == ":" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in dotted] == [[12.0, 12.0]]
    assert any(list(line.get_xdata()) == [6.0, 18.0] for line in ax.lines)
    assert "trends part" in words(ax.figure)
    # Of a single trend, nothing parts.
    assert "trends part" not in words(cf.pl.trends(adata, "MYH3", fate="left").figure)


def test_a_cascade_is_in_the_order_of_the_peaks_of_the_first_trend(adata):
    axes = cf.pl.trends(adata, kind="cascade")
    assert [ax.get_title() for ax in axes] == ["left", "right"]
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["TNNT1", "MYH3"]
    first = axes[0].collections[0].get_array().reshape(2, len(TIMES))
    second = axes[1].collections[0].get_array().reshape(2, len(TIMES))
    np.testing.assert_allclose(second[0], (1.0 - TIMES / 48.0) / 2.0)
    np.testing.assert_allclose(first[0][:-1], 1.0 - TIMES[:-1] / 48.0)
    assert first.mask[:, -1].all()
    assert not second.mask.any()


def test_scaling_keeps_order_and_ends_at_zero_and_one():
    values = np.random.default_rng(0).normal(size=(2, 5, 7))
    values[0, 2, 3] = np.nan
    values[:, 4] = 3.0
    found = scaled(values)
    assert np.isnan(found[0, 2, 3])
    np.testing.assert_allclose(np.nanmin(found[:, :4], axis=(0, 2)), 0.0, atol=1e-15)
    np.testing.assert_allclose(np.nanmax(found[:, :4], axis=(0, 2)), 1.0)
    np.testing.assert_allclose(found[:, 4], 0.5)
    np.testing.assert_allclose(found[:, :4], scaled(7.0 * values + 2.0)[:, :4])


def test_genes_without_any_value_are_the_last_of_a_cascade():
    values = np.array([[np.nan, np.nan, np.nan], [0.0, 0.5, 1.0], [1.0, 0.5, 0.0]])
    assert order_of_peaks(values).tolist() == [2, 1, 0]


# Drivers and screens ------------------------------------------------------------------------------


def dots_of(ax):
    """Places of all dots from the top, and their faces."""
    places, faces = [], []
    for dots in ax.collections:
        if isinstance(dots, mpl.collections.PathCollection) and len(dots.get_offsets()):
            places.append(np.asarray(dots.get_offsets()))
            faces += [to_hex(face) for face in dots.get_facecolors()]
    places = np.concatenate(places)
    order = np.argsort(places[:, 1])
    return places[order], [faces[k] for k in order]


def test_drivers_are_ranked_and_filled_where_they_are_significant(adata):
    axes = cf.pl.drivers(adata, "left", n_genes=8)
    names = [t.get_text() for t in axes[0].get_yticklabels()]
    assert names == [f"{k}. gene{k}" for k in range(1, 9)]
    table = cf.get.drivers(adata, "left").head(8)
    for ax, part in zip(axes, ("score", "association", "sensitivity", "velocity"), strict=True):
        places, faces = dots_of(ax)
        known = table[table[part].notna()]
        np.testing.assert_allclose(places[:, 0], known[part])
        np.testing.assert_allclose(places[:, 1], known["rank"] - 1)
        assert [face != "#ffffff" for face in faces] == (known["rank"] <= 3).tolist()
    assert "none" in words(axes[2].figure)  # the sensitivity that is not known
    bars = [c for c in axes[1].collections if isinstance(c, mpl.collections.LineCollection)]
    ends = np.array(bars[0].get_segments())[:, :, 0]
    np.testing.assert_allclose(np.ptp(ends, axis=1), 0.2)


def test_the_false_discovery_rate_is_that_asked_for(adata):
    ax = cf.pl.drivers(adata, "left", show="association", fdr=0.6)
    assert "#ffffff" not in dots_of(ax)[1]
    assert "q at most 0.6" in words(ax.figure)


def test_genes_that_are_named_stay_in_the_order_of_their_ranks(adata):
    ax = cf.pl.drivers(adata, "left", show="score", genes=["gene7", "gene2"])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["2. gene2", "7. gene7"]


def test_a_screen_shows_effects_intervals_and_extrapolations(adata):
    ax = cf.pl.screen(adata, n_genes=5)
    places, faces = dots_of(ax)
    np.testing.assert_allclose(places[:, 0], [12.0, -8.0, 6.0, 4.0, -2.0])
    assert [face != "#ffffff" for face in faces] == [True, False, False, False, False]
    assert [t.get_text() for t in ax.get_yticklabels()][-2:] == ["gene3", "(gene4)"]
    bars = [c for c in ax.collections if isinstance(c, mpl.collections.LineCollection)]
    np.testing.assert_allclose(np.ptp(np.array(bars[0].get_segments())[:, :, 0], axis=1), 6.0)
    adata.uns["cellflow"]["screen"]["table"]["q"] = np.nan
    assert "single flow: no q-values" in words(cf.pl.screen(adata).figure)


# Regulation ---------------------------------------------------------------------------------------


def test_a_jacobian_is_drawn_around_zero_with_the_significant_marked(adata):
    ax = cf.pl.jacobian(adata, order="given", value="value")
    image = ax.images[0]
    want = cf.get.jacobian(adata, wide=True).to_numpy()
    np.testing.assert_allclose(image.get_array().filled(np.nan), want)
    assert image.get_clim() == (-1.0, 1.0)
    assert image.get_array().mask.sum() == 1
    dashes, dots = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), [[2.28, -0.28]])
    below = {(int(y), int(x)) for x, y in dashes.get_offsets()}
    assert below == set(zip(*map(np.ndarray.tolist, np.nonzero(want < 0)), strict=True))
    assert "dash: below zero\ndot: q at most 0.1" in words(ax.figure)


def test_clustering_puts_similar_genes_together_and_keeps_one_order(adata):
    ax = cf.pl.jacobian(adata)
    rows = [t.get_text() for t in ax.get_yticklabels()]
    assert rows == [t.get_text() for t in ax.get_xticklabels()]
    assert set(rows[:2]) in ({"a", "c"}, {"b", "d"})
    wide = cf.get.jacobian(adata, wide=True).loc[rows, rows].to_numpy() * 2.0
    np.testing.assert_allclose(ax.images[0].get_array().filled(np.nan), wide)


def test_the_order_of_clusters_does_not_depend_on_the_order_of_the_rows():
    features = np.random.default_rng(1).normal(size=(7, 5))
    shuffled = np.random.default_rng(2).permutation(7)
    first = clustered(features).tolist()
    second = shuffled[clustered(features[shuffled])].tolist()
    assert first in (second, second[::-1])


def test_a_network_has_the_largest_values_of_different_genes(adata):
    ax = cf.pl.jacobian(adata, kind="network", n_edges=4)
    arrows = [p for p in ax.patches if isinstance(p, mpl.patches.FancyArrowPatch)]
    assert len(arrows) == 4
    # a and c, b and d activate each other; these are larger than the repressions.
    assert {to_hex(p.get_edgecolor()) for p in arrows} == {"#d55e00"}
    assert len({tuple(np.round(p.get_path().vertices[0], 2)) for p in arrows}) == 4
    every = cf.pl.jacobian(adata, kind="network", n_edges=100)
    assert sum(isinstance(p, mpl.patches.FancyArrowPatch) for p in every.patches) == 11


def test_too_many_genes_are_no_network(adata):
    table = adata.uns["cellflow"]["jacobian"]["table"]
    wide = [table.assign(regulator=table["regulator"] + str(k)) for k in range(5)]
    adata.uns["cellflow"]["jacobian"]["table"] = pd.concat(wide, ignore_index=True)
    with pytest.raises(InputError, match="network' of 24 genes; expected 2 to 16"):
        cf.pl.jacobian(adata, kind="network")
    assert cf.pl.jacobian(adata).images[0].get_array().shape == (20, 4)


# Perturbations ------------------------------------------------------------------------------------


def test_effects_have_intervals_the_null_and_the_mass(adata):
    first, second = cf.pl.perturbation(adata)
    places, faces = dots_of(first)
    np.testing.assert_allclose(places[:3, 0], [20.0, -10.0, 3.0])
    assert [face != "#ffffff" for face in faces[:3]] == [True, False, False]
    bars = [c for c in first.collections if isinstance(c, mpl.collections.LineCollection)]
    ends = [np.array(bar.get_segments())[:, :, 0] for bar in bars]
    np.testing.assert_allclose(ends[0], [[-6, 6], [-12, 12], [-5, 5]])
    np.testing.assert_allclose(ends[1], [[16, 24], [-14, -6], [-1, 7]])
    said = words(first.figure)
    assert "mass at the end × 2.00" in said
    assert "90% of random genes alike" in said
    assert first.get_title() == "MYH3=0\nextrapolation"
    assert second.get_title() == "TNNT1=+1sd"


def test_support_is_drawn_over_time(adata):
    ax = cf.pl.perturbation(adata, "MYH3=0", kind="support")
    edited = next(line for line in ax.lines if to_hex(line.get_color()) == "#d55e00")
    np.testing.assert_allclose(edited.get_xdata(), [0.0, 24.0, 48.0])
    np.testing.assert_allclose(edited.get_ydata(), [0.8, 0.7, 0.3])
    assert ax.get_ylim()[0] <= 0.0
    assert "hours (h)" in words(ax.figure)


def test_edited_genes_are_arrows_from_before_to_after(adata):
    ax = cf.pl.perturbation(adata, "MYH3=0", kind="genes")
    arrow = ax.texts[0]
    assert (arrow.xyann[0], arrow.xy[0]) == (2.0, 0.5)
    assert "MYH3 (R2 0.80)" in words(ax.figure)


def test_records_of_older_versions_have_no_null(adata):
    table = adata.uns["cellflow"]["perturbations"]["MYH3=0"]["table"]
    adata.uns["cellflow"]["perturbations"]["MYH3=0"]["table"] = table.drop(
        columns=["null_low", "null_high"]
    )
    ax = cf.pl.perturbation(adata, "MYH3=0")
    assert "random genes" not in words(ax.figure)
    np.testing.assert_allclose(dots_of(ax)[0][:3, 0], [20.0, -10.0, 3.0])
