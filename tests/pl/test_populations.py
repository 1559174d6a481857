"""Predicted populations: which times are drawn, where, and what the contours hold."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import cellflow as cf
from cellflow.errors import InputError
from cellflow.pl._clouds import Cloud, contour_lines, level_of
from conftest import quick_recipe
from legible import require_legible


@pytest.fixture
def adata(fitted_as):
    return fitted_as("default")


@pytest.fixture
def several(adata):
    """A prediction of two times, which says its times."""
    made = {t: cf.tl.predict(adata, time=t, n_obs=40) for t in (12.0, 30.0)}
    for time, cells in made.items():
        cells.obs["hours"] = time
    return ad.concat(list(made.values()), index_unique="-")


def clouds(ax):
    """Numbers of points by label of the cloud, without what follows a comma."""
    return {
        str(c.get_label()).partition(",")[0]: len(c.get_offsets())
        for c in ax.collections
        if not str(c.get_label()).startswith("_") and len(c.get_offsets())
    }


def test_the_time_of_a_prediction_is_its_own(adata):
    """What `cf.tl.predict` returns says its time; the same is drawn where it is named."""
    later = cf.tl.predict(adata, time=30.0, n_obs=40)
    ax = cf.pl.population(adata, later, ax=Figure().add_subplot())
    assert clouds(ax) == {"predicted": 40, "before": 30, "after": 30}
    named = cf.pl.population(adata, later, time="30", ax=Figure().add_subplot())
    assert clouds(named) == clouds(ax)
    with pytest.raises(InputError, match=r"time=\[24.0\].*are of the times \[30.0\]"):
        cf.pl.population(adata, later, time=24)


def test_a_prediction_without_a_time_needs_one(adata):
    bare = ad.AnnData(obsm={"X_pca": adata.obsm["X_pca"][:20]})
    with pytest.raises(InputError, match=r"no time in obs\['hours'\].*pass time="):
        cf.pl.population(adata, bare)
    with pytest.raises(InputError, match="no time in obs"):
        cf.pl.population(adata, bare, time=[12, 30])
    assert clouds(cf.pl.population(adata, bare, time=12, ax=Figure().add_subplot())) == {
        "predicted": 20,
        "observed": 30,
        "before": 30,
        "after": 30,
    }


COLUMNS = {
    "labels": lambda t: f"{t:g}h",
    "stages": lambda t: f"E{t / 24 + 6:g}",
    "durations": lambda t: pd.Timedelta(hours=t),
    "dates": lambda t: pd.Timestamp("2026-03-01") + pd.Timedelta(hours=t),
    "periods": lambda t: pd.Period(pd.Timestamp("2026-03-01") + pd.Timedelta(hours=t), freq="h"),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.filterwarnings("ignore::cellflow.errors.InputWarning")  # a file cannot hold dates
def test_times_of_a_prediction_are_read_as_those_of_the_cells(cells, kind):
    """The column of a prediction is of the kind of the column that the fit read."""
    labels = [COLUMNS[kind](t) for t in cells.obs["hours"]]
    cells.obs["hours"] = pd.Series(labels, index=cells.obs_names)
    cf.tl.flow(cells, "hours", method=quick_recipe())
    made = ad.AnnData(obsm={"X_pca": cells.obsm["X_pca"][:40]})
    made.obs["hours"] = [COLUMNS[kind](30.0)] * 25 + [COLUMNS[kind](12.0)] * 15
    every = cf.pl.population(cells, made)
    assert [clouds(ax) for ax in every] == [
        {"predicted": 15, "observed": 30},
        {"predicted": 25, "before": 30, "after": 30},
    ]


def test_each_of_several_times_has_a_panel(adata, several):
    every = cf.pl.population(adata, several)
    assert [ax.get_title(loc="left") for ax in every] == ["hours 12", "hours 30"]
    assert clouds(every[0]) == {"predicted": 40, "observed": 30}
    assert clouds(every[1]) == {"predicted": 40, "before": 30, "after": 30}
    limits = {(*ax.get_xlim(), *ax.get_ylim()) for ax in every}
    assert len(limits) == 1
    one = cf.pl.population(adata, several, time=30, ax=Figure().add_subplot())
    assert clouds(one)["predicted"] == 40
    with pytest.raises(InputError, match="ax= is one Axes, but 2 populations"):
        cf.pl.population(adata, several, ax=Figure().add_subplot())


def test_side_by_side_has_observed_cells_above_predicted_ones(adata, several):
    every = cf.pl.population(adata, several, kind="side by side")
    assert [set(clouds(ax)) for ax in every] == [
        {"observed"},
        {"before", "after"},
        {"predicted"},
        {"predicted"},
    ]
    assert "n = 40" in every[2].get_title(loc="left")
    assert every[0].get_position().y0 > every[2].get_position().y0
    pair = cf.pl.population(adata, several, time=12, kind="side by side")
    assert [set(clouds(ax)) for ax in pair] == [{"observed"}, {"predicted"}]
    assert pair[0].get_position().x0 < pair[1].get_position().x0


def test_text_of_several_panels_is_inside_the_figure_and_apart(adata, several):
    for kind in ("overlay", "side by side"):
        every = cf.pl.population(adata, several, kind=kind, title="A title", basis="umap")
        figure = every[0].figure
        require_legible(figure)


def test_an_embedding_of_the_prediction_is_used_and_else_the_neighbours(adata, several):
    own = several.copy()
    own.obsm["X_umap"] = np.tile([3.0, -2.0], (own.n_obs, 1))
    ax = cf.pl.population(adata, own, time=12, basis="umap", ax=Figure().add_subplot())
    drawn = next(c for c in ax.collections if str(c.get_label()).startswith("predicted"))
    np.testing.assert_array_equal(drawn.get_offsets(), [[3.0, -2.0]] * 40)
    ax = cf.pl.population(adata, several, time=12, basis="umap", ax=Figure().add_subplot())
    drawn = next(c for c in ax.collections if str(c.get_label()).startswith("predicted"))
    umap = adata.obsm["X_umap"]
    assert (drawn.get_offsets() >= umap.min(axis=0)).all()
    assert (drawn.get_offsets() <= umap.max(axis=0)).all()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_contours_hold_their_share_of_the_cells(share):
    """Of a Gaussian, the region of share p is the disc of radius sqrt(-2 log(1 - p))."""
    rng = np.random.default_rng(0)
    cloud = Cloud("predicted", 0.0, rng.normal(size=(20_000, 2)), None, "#000000")
    gx, gy, density = contour_lines(cloud)
    inside = density >= level_of(density, share)
    assert density[inside].sum() / density.sum() == pytest.approx(share, abs=0.01)
    radius = np.sqrt(inside.sum() * (gx[1] - gx[0]) * (gy[1] - gy[0]) / np.pi)
    assert radius == pytest.approx(np.sqrt(-2 * np.log(1 - share)), rel=0.06)


def test_contours_are_by_weight():
    """Cells of one lobe that weigh nothing are outside of every contour."""
    rng = np.random.default_rng(0)
    lobes = np.concatenate([rng.normal(-3, 0.3, (500, 2)), rng.normal(3, 0.3, (500, 2))])
    weight = np.repeat([1.0, 0.0], 500)
    cloud = Cloud("predicted", 0.0, lobes, weight, "#000000")
    gx, gy, density = contour_lines(cloud)
    rows, columns = np.nonzero(density >= level_of(density, 0.9))
    assert gx[columns].max() < 0 > gy[rows].max()


def test_contours_are_closed_and_inside_the_map(adata, several):
    """Every line ends where it begins, and none reaches the edge."""
    ax = cf.pl.population(adata, several, time=30, contours=(0.3, 0.99), ax=Figure().add_subplot())
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    lines = [p for c in ax.collections if c.get_gid() for p in c.get_paths()]
    polygons = [q for path in lines for q in path.to_polygons(closed_only=False)]
    assert len(polygons) >= 2
    for polygon in polygons:
        np.testing.assert_allclose(polygon[0], polygon[-1])
        assert (polygon > [x0, y0]).all()
        assert (polygon < [x1, y1]).all()


def test_styles_of_lines_differ_without_colour(adata, several):
    ax = cf.pl.population(adata, several, time=12, contours=(0.5,), ax=Figure().add_subplot())
    lines = {c.get_gid(): c.get_linestyle() for c in ax.collections if c.get_gid()}
    assert set(lines) == {"contours observed", "contours predicted"}
    assert lines["contours observed"] != lines["contours predicted"]
    none = cf.pl.population(adata, several, time=12, contours=None, ax=Figure().add_subplot())
    assert not [c for c in none.collections if c.get_gid()]


BAD = {
    "kind": ({"kind": "beside"}, "kind='beside'; expected one of"),
    "a share": ({"contours": (1.5,)}, "contours=1.5; expected a finite number"),
    "one number": ({"contours": 0.5}, "contours=0.5; expected shares"),
    "no time": ({"time": []}, r"time=\[\]; expected one time"),
    "two panels": ({"kind": "side by side", "time": 12, "ax": True}, "2 populations have a panel"),
}


@pytest.mark.parametrize("case", BAD)
def test_P2_bad_arguments_leave_no_figure(adata, several, case, frozen):
    from matplotlib import pyplot as plt

    how, said = BAD[case]
    how = how | ({"ax": Figure().add_subplot()} if "ax" in how else {})
    figures = plt.get_fignums()
    with frozen(adata), pytest.raises(InputError, match=said):
        cf.pl.population(adata, several, **how)
    assert plt.get_fignums() == figures
