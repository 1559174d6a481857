"""Maps: colours as scanpy's, panels of one size, legends and names that cover nothing."""

from itertools import combinations
from typing import Any

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

import cellflow as cf
from cellflow.analysis import prediction
from cellflow.errors import InputWarning
from cellflow.pl._image import binned
from cellflow.pl._labels import medians, separated
from cellflow.pl._palettes import diverging
from cellflow.pl._points import drawing_order
from legible import require_legible
from plotted import fitted as plotted_cells

#: What scanpy's own plots warn of with this matplotlib.
SCANPYS = pytest.mark.filterwarnings("ignore:The set_bad function:PendingDeprecationWarning")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def many(n: int, *, name: str = "g{:03}", cells: int = 600) -> ad.AnnData:
    """Cells of `n` categories, each in a place of its own."""
    adata = plotted_cells(n=cells // 3)
    rng = np.random.default_rng(1)
    codes = np.arange(adata.n_obs) % n
    places = rng.uniform(-5, 5, size=(n, 2))
    adata.obsm["X_umap"] = places[codes] + 0.2 * rng.normal(size=(adata.n_obs, 2))
    adata.obs["type"] = pd.Categorical([name.format(k) for k in codes])
    return adata


def inside(figure: mpl.figure.Figure) -> bool:
    """Whether all that is written lies inside of the figure."""
    figure.draw_without_rendering()
    boxes = [
        t.get_window_extent()
        for t in figure.findobj(mpl.text.Text)
        if t.get_text().strip() and t.get_visible()
    ]
    assert len(boxes) > 2
    return all(
        b.x0 >= -1 and b.y0 >= -1 and b.x1 <= figure.bbox.x1 + 1 and b.y1 <= figure.bbox.y1 + 1
        for b in boxes
    )


def shades_of(ax: mpl.axes.Axes) -> dict[str, str]:
    return {
        str(c.get_label()): to_hex(c.get_facecolor()[0])
        for c in ax.collections
        if not str(c.get_label()).startswith("_")
    }


# Colours ------------------------------------------------------------------------------------------


@SCANPYS
@pytest.mark.parametrize("n", [2, 20, 21, 28, 29, 102])
def test_default_colours_are_those_that_scanpy_draws_and_stores(n: int) -> None:
    ours, theirs = many(n), many(n)
    cf.pl.stream(ours, color="type", legend_loc="none")
    with mpl.rc_context({"axes.prop_cycle": mpl.cycler(color=["red"])}):
        sc.pl.umap(theirs, color="type", show=False)
    assert list(ours.uns["type_colors"]) == [c.lower() for c in theirs.uns["type_colors"]]


@SCANPYS
@pytest.mark.parametrize(
    "palette", ["tab20", "viridis", ["#123456", "#abcdef"], {"up": "#abcdef", "down": "#123456"}]
)
def test_a_palette_gives_the_colours_that_scanpy_gives(palette: object) -> None:
    ours, theirs = plotted_cells(), plotted_cells()
    ours.uns["kind_colors"] = ["red", "blue"]
    ax = cf.pl.stream(ours, color="kind", palette=palette)
    sc.pl.umap(theirs, color="kind", palette=palette, show=False)
    expected = [to_hex(c) for c in theirs.uns["kind_colors"]]
    assert ours.uns["kind_colors"] == expected
    assert [shades_of(ax)[name] for name in ("down", "up")] == expected


@SCANPYS
def test_colours_in_uns_are_kept_and_drawn_by_scanpy_too() -> None:
    adata = plotted_cells()
    adata.uns["kind_colors"] = ["#123456", "#abcdef"]
    cf.pl.stream(adata, color="kind")
    assert adata.uns["kind_colors"] == ["#123456", "#abcdef"]
    later = plotted_cells()
    ax = cf.pl.stream(later, color="kind")
    drawn = sc.pl.umap(later, color="kind", show=False)
    theirs = {to_hex(c) for c in drawn.collections[0].get_facecolors()}
    assert theirs == set(shades_of(ax).values())


def test_too_few_colours_in_uns_are_replaced_with_a_warning() -> None:
    adata = plotted_cells()
    adata.uns["kind_colors"] = ["red"]
    with pytest.warns(InputWarning, match=r"kind_colors.*has 1 colours.*has 2 categories"):
        cf.pl.stream(adata, color="kind")
    assert adata.uns["kind_colors"] == ["#1f77b4", "#ff7f0e"]


def test_colours_are_not_written_into_a_view_and_not_after_a_failure() -> None:
    adata = plotted_cells()
    view = adata[:100]
    cf.pl.stream(view, color="kind")
    assert view.is_view
    with pytest.raises(cf.errors.InputError):
        cf.pl.stream(adata, color=["kind", "score"], ax=plt.figure().add_subplot())
    assert "kind_colors" not in adata.uns


def test_eight_colours_for_all_readers() -> None:
    ax = cf.pl.stream(plotted_cells(), color="kind", palette="okabe_ito")
    assert shades_of(ax) == {"down": "#0072b2", "up": "#e69f00"}
    with pytest.raises(cf.errors.InputError, match="has 8 colours for 9 categories"):
        cf.pl.stream(many(9), color="type", palette="okabe_ito")


def test_colours_around_zero_are_seen_in_grey_too() -> None:
    rgb = diverging()(np.linspace(0.0, 1.0, 41))[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lightness = 116.0 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16.0
    assert (np.diff(lightness) > 0.4).all()
    assert lightness[20] - lightness[10] > 15
    assert lightness[30] - lightness[20] > 10
    assert np.ptp(rgb[20]) < 0.02


# What covers what ---------------------------------------------------------------------------------


def test_what_covers_what_does_not_depend_on_the_order_of_the_file() -> None:
    adata = plotted_cells()
    turned = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    dots = [
        cf.pl.stream(a, color=color).collections[0]
        for color in ("kind", "score")
        for a in (adata, turned)
    ]
    for one, other in (dots[:2], dots[2:]):
        np.testing.assert_array_equal(one.get_offsets(), other.get_offsets())
        one.axes.figure.draw_without_rendering()
        other.axes.figure.draw_without_rendering()
        np.testing.assert_array_equal(one.get_facecolors(), other.get_facecolors())


def test_no_category_covers_another_one_as_a_whole() -> None:
    adata = plotted_cells()
    order = drawing_order(adata.obs_names.to_numpy(), adata.obsm["X_umap"])
    rank = np.argsort(order)
    up = (adata.obs["kind"] == "up").to_numpy()
    # The mean rank of n of N cells is (N - 1) / 2, with the standard error N / sqrt(12 n).
    assert abs(rank[up].mean() - 59.5) < 4 * 120 / np.sqrt(12 * up.sum())


def test_cells_without_a_value_lie_below_the_others() -> None:
    adata = plotted_cells()
    adata.obs.loc[adata.obs_names[:5], ["kind", "score"]] = None
    for color in ("kind", "score"):
        ax = cf.pl.stream(adata, color=color)
        grey = next(c for c in ax.collections if len(c.get_offsets()) == 5)
        others = next(c for c in ax.collections if len(c.get_offsets()) == 115)
        assert grey.get_zorder() < others.get_zorder()


# Sizes --------------------------------------------------------------------------------------------


def test_dots_have_the_size_of_all_cells_in_every_panel() -> None:
    adata = many(5, cells=6000)
    adata.obs.loc[adata.obs_names[:3000], "score"] = np.nan
    axes = cf.pl.stream(adata, color=["type", "score", "MYH3"])
    sizes = {float(s) for ax in axes for c in ax.collections[:1] for s in c.get_sizes()}
    assert sizes == {120_000 / 6000}
    ax = cf.pl.stream(adata, color="type", size=3.5)
    assert ax.collections[0].get_sizes().tolist() == [3.5]


def inches(ax: mpl.axes.Axes) -> np.ndarray:
    ax.figure.draw_without_rendering()
    return ax.get_window_extent().size / ax.figure.dpi


@pytest.mark.parametrize("legend_loc", ["right margin", "on data", "none"])
def test_no_legend_changes_the_size_of_a_map(legend_loc: str) -> None:
    few, long = many(3), many(45, name="a rather long name of a type, {:03}")
    alone = inches(cf.pl.stream(few, color="type", legend_loc="none"))
    np.testing.assert_allclose(
        inches(cf.pl.stream(few, color="type", legend_loc=legend_loc)), alone
    )
    ax = cf.pl.stream(long, color="type", legend_loc=legend_loc)
    assert inches(ax)[0] == pytest.approx(5.2, abs=0.3)
    assert inside(ax.figure)


def test_panels_have_one_size_and_do_not_touch() -> None:
    axes = cf.pl.stream(many(45), color=["type", "score", "MYH3", "kind", "hours"])
    assert isinstance(axes, list)
    np.testing.assert_allclose([inches(ax) for ax in axes], [inches(axes[0])] * 5)
    boxes = [ax.get_tightbbox() for ax in axes]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert inside(axes[0].figure)


def test_titles_are_the_users_or_name_what_nothing_else_names() -> None:
    adata = plotted_cells()
    assert cf.pl.stream(adata, color="kind").get_title() == ""
    assert cf.pl.stream(adata, color="kind", legend_loc="on data").get_title() == "kind"
    assert cf.pl.stream(adata, color="score", legend_loc="none").get_title() == "score"
    assert cf.pl.stream(adata, title="mine").get_title() == "mine"
    axes = cf.pl.stream(adata, color=["kind", "score"], title=["a", "b"])
    assert [ax.get_title() for ax in axes] == ["a", "b"]


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [9, 45, 102])
@pytest.mark.parametrize("given_one", [False, True])
def test_names_on_the_data_are_all_there_and_do_not_overlap(n: int, given_one: bool) -> None:
    adata = many(n, name="type {:03}")
    ax = plt.figure(layout="constrained").add_subplot() if given_one else None
    ax = cf.pl.stream(adata, color="type", legend_loc="on data", ax=ax)
    ax.figure.draw_without_rendering()
    texts = [t for t in ax.texts if t.get_text().startswith("type")]
    assert sorted(t.get_text() for t in texts) == [f"type {k:03}" for k in range(n)]
    boxes = [t.get_window_extent() for t in texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert ax.get_legend() is None
    assert inside(ax.figure)


def test_a_name_is_written_at_the_median_of_its_cells() -> None:
    adata = many(4)
    ax = cf.pl.stream(adata, color="type", legend_loc="on data")
    places = {t.get_text(): t.get_position() for t in ax.texts}
    for name in adata.obs["type"].cat.categories:
        middle = np.median(adata.obsm["X_umap"][adata.obs["type"] == name], axis=0)
        np.testing.assert_allclose(places[name], middle, atol=1e-6)


def test_forty_five_names_are_all_in_the_legend() -> None:
    ax = cf.pl.stream(many(45), color="type")
    ax.figure.draw_without_rendering()
    texts = ax.get_legend().get_texts()
    assert [t.get_text() for t in texts] == [f"g{k:03}" for k in range(45)]
    boxes = [t.get_window_extent() for t in texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert min(t.get_fontsize() for t in texts) >= 8


@given(st.integers(1, 30), st.integers(0, 1000))
def test_separated_boxes_never_overlap(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.uniform(1, 30, size=(k, 2))
    area = np.array([[0.0, 0.0], [60.0, 60.0]])
    centres = separated(rng.uniform(0, 60, size=(k, 2)), sizes, area)
    for i, j in combinations(range(k), 2):
        apart = np.abs(centres[i] - centres[j]) - (sizes[i] + sizes[j]) / 2
        assert apart.max() >= -1e-6


def test_one_box_stays_where_it_is() -> None:
    area = np.array([[0.0, 0.0], [60.0, 60.0]])
    np.testing.assert_array_equal(
        separated(np.array([[20.0, 30.0]]), np.array([[5.0, 2.0]]), area), [[20.0, 30.0]]
    )


def test_medians_are_those_of_each_group() -> None:
    xy = np.random.default_rng(0).normal(size=(50, 2))
    codes = np.arange(50) % 4 - 1
    found = medians(xy, codes, 4)
    for k in range(3):
        np.testing.assert_array_equal(found[k], np.median(xy[codes == k], axis=0))
    assert np.isnan(found[3]).all()


# Very many cells ----------------------------------------------------------------------------------


def test_pixels_are_means_of_their_cells() -> None:
    rng = np.random.default_rng(0)
    xy, values = rng.uniform(size=(500, 2)), rng.normal(size=(500, 2))
    found = binned(xy, values, np.array([[0.0, 0.0], [1.0, 1.0]]), (7, 5))
    row, column = (xy[:, 1] * 7).astype(int), (xy[:, 0] * 5).astype(int)
    for i in range(7):
        for j in range(5):
            here = (row == i) & (column == j)
            np.testing.assert_allclose(found[i, j], values[here].mean(axis=0))


def test_two_hundred_thousand_cells_are_an_image_with_the_same_colours() -> None:
    adata = many(3, cells=200_040)
    for color in ("type", "score"):
        ax = cf.pl.growth(adata) if color == "score" else cf.pl.stream(adata, color=color)
        image = ax.images[0]
        assert sum(len(c.get_offsets()) for c in ax.collections) < 100
        low, high = adata.obsm["X_umap"].min(axis=0), adata.obsm["X_umap"].max(axis=0)
        left, right, bottom, top = image.get_extent()
        assert left < low[0] < high[0] < right
        assert bottom < low[1] < high[1] < top
    ax = cf.pl.stream(adata, color="type")
    shown = np.asarray(ax.images[0].get_array())
    pure = {to_hex(c) for c in shown[shown[..., 3] > 0][:, :3]}
    assert pure >= set(shades_of(ax).values())


MAPS = {
    "stream": lambda a: cf.pl.stream(a, color=["kind", "score", "hours"]),
    "stream on data": lambda a: cf.pl.stream(a, color=["kind", "score"], legend_loc="on data"),
    "grid": lambda a: cf.pl.grid(a, color="kind", title="a title of some length"),
    "quiver": lambda a: cf.pl.quiver(a, color="MYH3"),
    "trajectories": lambda a: cf.pl.trajectories(a, basis="umap"),
    "trajectories, coloured": lambda a: cf.pl.trajectories(a, color=["kind", "score"]),
    "growth": cf.pl.growth,
    "density": cf.pl.density,
    "landscape": cf.pl.landscape,
    "landscape, one": lambda a: cf.pl.landscape(a, time=24),
    "fates": cf.pl.fates,
    "forty-five": lambda a: cf.pl.stream(many(45), color=["type", "kind"]),
}


@pytest.mark.parametrize("name", MAPS)
def test_nothing_is_cut_off_and_no_text_covers_another(name: str) -> None:
    drawn = MAPS[name](plotted_cells())
    first = drawn[0] if isinstance(drawn, list) else drawn
    require_legible(first.figure)


def test_maps_of_several_fates_have_their_names_as_titles() -> None:
    axes = cf.pl.fates(plotted_cells())
    assert [ax.get_title() for ax in axes] == ["left", "undecided"]
    for ax in axes:
        drawn = ax.collections[-1]
        assert drawn.get_clim() == (0.0, 1.0)
        assert [bar.get_ylabel() for bar in ax.child_axes] == ["probability of the fate"]


# Arrows and paths ---------------------------------------------------------------------------------


def arrows_of(ax: mpl.axes.Axes) -> mpl.quiver.Quiver:
    return next(c for c in ax.collections if isinstance(c, mpl.quiver.Quiver))


def test_arrows_of_cells_start_at_the_cells_and_have_their_velocity() -> None:
    adata = plotted_cells()
    adata.obsm["velocity_umap"] = np.random.default_rng(0).normal(size=(120, 2))
    drawn = arrows_of(cf.pl.quiver(adata, n_cells=None))
    apart = np.linalg.norm(drawn.XY[:, None] - adata.obsm["X_umap"], axis=2)
    rows = apart.argmin(axis=1)
    assert sorted(rows) == list(range(120))
    np.testing.assert_allclose(apart.min(axis=1), 0.0, atol=1e-6)
    np.testing.assert_allclose(np.c_[drawn.U, drawn.V], adata.obsm["velocity_umap"][rows])
    long = np.percentile(np.hypot(drawn.U, drawn.V), 95) / drawn.scale
    assert long == pytest.approx(0.05 * np.ptp(adata.obsm["X_umap"], axis=0).max(), rel=1e-5)


def test_arrows_of_a_sample_come_from_every_snapshot_whatever_the_order() -> None:
    adata = plotted_cells()
    turned = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    one, other = (arrows_of(cf.pl.quiver(a, n_cells=9)).XY for a in (adata, turned))
    np.testing.assert_array_equal(one, other)
    rows = np.linalg.norm(one[:, None] - adata.obsm["X_umap"], axis=2).argmin(axis=1)
    hours = adata.obs["hours"].to_numpy()[rows]
    assert np.unique(hours, return_counts=True)[1].tolist() == [3, 3, 3]


def test_arrows_of_a_grid_are_means_where_there_are_cells() -> None:
    adata = plotted_cells()
    adata.obsm["velocity_umap"] = np.tile([3.0, -1.0], (120, 1))
    drawn = arrows_of(cf.pl.grid(adata, n_grid=20))
    np.testing.assert_allclose(np.c_[drawn.U, drawn.V], np.tile([3.0, -1.0], (drawn.N, 1)))
    apart = np.linalg.norm(drawn.XY[:, None] - adata.obsm["X_umap"], axis=2).min(axis=1)
    assert apart.max() < 0.06 * np.ptp(adata.obsm["X_umap"], axis=0).max()


def test_arrows_of_no_motion_are_drawn_without_a_length() -> None:
    adata = plotted_cells()
    adata.obsm["velocity_umap"] = np.zeros((120, 2))
    for call in (cf.pl.grid, cf.pl.quiver, cf.pl.stream):
        call(adata).figure.draw_without_rendering()


def test_paths_fade_where_there_are_few_cells() -> None:
    adata = plotted_cells()
    paths = adata.obsm["cf_trajectory"].reshape(120, 7, 3)
    paths[:, 3:, 1] += 50.0
    ax = cf.pl.trajectories(adata, n_cells=20)
    lines = next(c for c in ax.collections if isinstance(c, mpl.collections.LineCollection))
    y = np.array(lines.get_segments())[:, :, 1].mean(axis=1)
    alpha = np.asarray(lines.get_alpha())
    assert alpha[y > 10.0].max() == pytest.approx(0.12)
    assert np.median(alpha[y < 1.0]) > 0.5


def test_paths_over_coloured_cells_are_black() -> None:
    ax = cf.pl.trajectories(plotted_cells(), basis="umap", color="kind")
    lines = next(c for c in ax.collections if isinstance(c, mpl.collections.LineCollection))
    assert {to_hex(c) for c in lines.get_colors()} == {"#262626"}
    assert {t.get_text() for t in ax.get_legend().get_texts()} == {"up", "down"}


# Heights and densities ----------------------------------------------------------------------------


def written(ax: mpl.axes.Axes) -> list[str]:
    return [t.get_text() for t in ax.texts]


def test_a_landscape_says_what_it_does_not_explain() -> None:
    axes = cf.pl.landscape(plotted_cells())
    assert [ax.get_title() for ax in axes] == ["0 h", "24 h", "48 h"]
    assert "5 % of the motion not explained" in written(axes[0])
    assert "12 % of the motion not explained" in written(axes[1])
    assert "share of the motion not explained: not known" in written(axes[2])
    assert inside(axes[0].figure)


def test_a_landscape_has_the_heights_of_its_own_cells() -> None:
    adata = plotted_cells()
    adata.obs.loc[adata.obs["hours"] != 24, "cf_potential"] += 1000.0
    ax = cf.pl.landscape(adata, time=24)
    heights = adata.obs["cf_potential"][adata.obs["hours"] == 24]
    filled = next(c for c in ax.collections if isinstance(c, mpl.contour.QuadContourSet))
    assert filled.levels[0] == pytest.approx(np.percentile(heights, 1), rel=1e-6)
    assert filled.levels[-1] == pytest.approx(np.percentile(heights, 99), rel=1e-6)
    assert len(filled.levels) == 13


def test_landscapes_of_one_figure_have_the_same_colours_for_the_same_heights() -> None:
    adata = plotted_cells()
    adata.obs.loc[adata.obs["hours"] == 48, "cf_potential"] *= 5.0
    heights = adata.obs["cf_potential"]
    ends = np.array([np.percentile(h, [1, 99]) for _, h in heights.groupby(adata.obs["hours"])])
    for ax in cf.pl.landscape(adata):
        filled = next(c for c in ax.collections if isinstance(c, mpl.contour.QuadContourSet))
        assert filled.levels[0] == pytest.approx(ends[:, 0].min(), rel=1e-6)
        assert filled.levels[-1] == pytest.approx(ends[:, 1].max(), rel=1e-6)
        assert filled.get_clim() == (filled.levels[0], filled.levels[-1])


def test_a_potential_of_one_time_for_all_cells_is_one_landscape() -> None:
    adata = plotted_cells()
    adata.uns["cellflow"]["potential"] |= {
        "by_snapshot": False,
        "table": pd.DataFrame(
            {"time": [24.0], "condition": [""], "n_cells": [120], "unexplained": [0.5]}
        ),
    }
    ax = cf.pl.landscape(adata)
    assert "50 % of the motion not explained" in written(ax)
    assert sum(len(c.get_offsets()) == 120 for c in ax.collections) == 2


def test_log_densities_are_coloured_between_their_percentiles() -> None:
    adata = plotted_cells()
    ax = cf.pl.density(adata)
    assert ax.collections[0].get_clim() == pytest.approx(
        tuple(np.percentile(adata.obs["cf_log_density"], [1, 99])), rel=1e-6
    )
    adata.obs["cf_log_density"] = np.nan
    with pytest.raises(cf.errors.InputError, match="holds no finite number"):
        cf.pl.density(adata)


def test_contours_hold_their_shares_of_the_predicted_population(fitted: ad.AnnData) -> None:
    """Of the density in the picture, on the representation and on another embedding."""
    for basis in ("pca", "umap"):
        axes = cf.pl.density(fitted, time=[12, 30.0], basis=basis, contours=(0.5, 0.9))
        assert [ax.get_title()[-8:] for ax in axes] == ["hours 12", "hours 30"]
        later = cf.tl.predict(fitted, time=30)
        lines = [c for c in axes[1].collections if isinstance(c, mpl.contour.QuadContourSet)]
        assert len(lines) == 4
        if basis == "umap":
            continue
        for drawn, share in zip(lines[1::2], (0.9, 0.5), strict=True):
            inner = sum(
                path.contains_points(later.obsm["X_pca"][:, :2]) for path in drawn.get_paths()
            )
            mass = later.obs["weight"].to_numpy()[inner.astype(bool)].sum()
            assert mass == pytest.approx(share, abs=0.03)
        assert inside(axes[0].figure)


def test_a_density_of_very_many_cells_moves_some_of_them_and_holds_its_shares(
    fitted: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = ad.AnnData(
        obs=pd.concat([fitted.obs] * 120, ignore_index=True).rename(index=str),
        obsm={name: np.tile(fitted.obsm[name], (120, 1)) for name in ("X_pca", "X_umap")},
        uns={"cellflow": fitted.uns["cellflow"]},
    )
    moved = []
    predict = prediction.predict

    def counted(*args: Any, **how: Any) -> prediction.Prediction:
        found = predict(*args, **how)
        moved.append(len(found.x))
        return found

    monkeypatch.setattr(prediction, "predict", counted)
    ax = cf.pl.density(large, time=30, basis="pca", contours=(0.5, 0.9))
    again = cf.pl.density(large, time=30, basis="pca", contours=(0.5, 0.9))
    assert moved == [5000, 5000]
    whole = cf.tl.predict(large, time=30, genes=[])
    assert whole.n_obs > 5000
    pictures = [
        [c for c in one.collections if isinstance(c, mpl.contour.QuadContourSet)]
        for one in (ax, again)
    ]
    for drawn, same, share in zip(pictures[0][1::2], pictures[1][1::2], (0.9, 0.5), strict=True):
        assert drawn.levels[0] == same.levels[0]
        inner = sum(path.contains_points(whole.obsm["X_pca"][:, :2]) for path in drawn.get_paths())
        mass = whole.obs["weight"].to_numpy()[inner.astype(bool)].sum()
        assert mass == pytest.approx(share, abs=0.05)


def test_a_density_outside_of_the_fit_is_refused(fitted: ad.AnnData) -> None:
    figures = plt.get_fignums()
    with pytest.raises(cf.errors.InputError, match=r"Time 99 .* the density is not known"):
        cf.pl.density(fitted, time=99)
    assert plt.get_fignums() == figures
