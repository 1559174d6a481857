"""Pictures: they take and return Axes, say what they show, and change nothing else."""

import subprocess
import sys
from collections.abc import Callable

import anndata as ad
import dask.array as da
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure

import cellflow as cf
from cellflow.adapter.fingerprint import fingerprint
from cellflow.errors import InputError, MissingKeyError
from conftest import ARCHIVE
from plotted import N, fitted


def predicted(adata: ad.AnnData, n: int = 30) -> ad.AnnData:
    obs = pd.DataFrame(index=[f"p{i}" for i in range(n)])
    return ad.AnnData(obs=obs, obsm={"X_pca": adata.obsm["X_pca"][N : N + n] + 0.5})


PICTURES: dict[str, Callable[[ad.AnnData, Axes | None], Axes]] = {
    "drivers": lambda adata, ax: cf.pl.drivers(adata, "left", show="score", n_genes=5, ax=ax),
    "fates": lambda adata, ax: cf.pl.fates(adata, "left", ax=ax),
    "density": lambda adata, ax: cf.pl.density(adata, ax=ax),
    "grid": lambda adata, ax: cf.pl.grid(adata, ax=ax),
    "growth": lambda adata, ax: cf.pl.growth(adata, ax=ax),
    "jacobian": lambda adata, ax: cf.pl.jacobian(adata, ax=ax),
    "landscape": lambda adata, ax: cf.pl.landscape(adata, time=24, ax=ax),
    "loss": lambda adata, ax: cf.pl.loss(adata, ax=ax),
    "perturbation": lambda adata, ax: cf.pl.perturbation(adata, "MYH3=0", ax=ax),
    "population": lambda adata, ax: cf.pl.population(adata, predicted(adata), time=24.0, ax=ax),
    "population_umap": lambda adata, ax: cf.pl.population(
        adata, predicted(adata), time=36.0, basis="umap", ax=ax
    ),
    "quiver": lambda adata, ax: cf.pl.quiver(adata, ax=ax),
    "screen": lambda adata, ax: cf.pl.screen(adata, "left", ax=ax),
    "stream": lambda adata, ax: cf.pl.stream(adata, ax=ax),
    "stream_groups": lambda adata, ax: cf.pl.stream(adata, basis="X_pca", color="kind", ax=ax),
    "trajectories": lambda adata, ax: cf.pl.trajectories(adata, n_cells=9, ax=ax),
    "trajectories_umap": lambda adata, ax: cf.pl.trajectories(
        adata, basis="umap", n_cells=9, ax=ax
    ),
    "trends": lambda adata, ax: cf.pl.trends(adata, "MYH3", ax=ax),
}

#: Tested in files of their own.
ELSEWHERE = {"animation", "calibration", "comparison", "holdout", "plan"}


@pytest.fixture
def axes() -> Axes:
    """An Axes that pyplot knows nothing of."""
    return Figure(layout="constrained").add_subplot()


def words(ax: Axes) -> str:
    """Everything that is written in the figure of an Axes."""
    ax.figure.draw_without_rendering()
    return "\n".join(t.get_text() for t in ax.figure.findobj(mpl.text.Text))


def test_every_picture_is_tested() -> None:
    assert {name.partition("_")[0] for name in PICTURES} == set(cf.pl.__all__) - ELSEWHERE


@pytest.mark.parametrize("name", PICTURES)
def test_given_axes_are_used_and_nothing_else_changes(
    name: str, axes: Axes, frozen: Callable
) -> None:
    from matplotlib import pyplot as plt

    adata, settings, figures = fitted(), mpl.rcParams.copy(), plt.get_fignums()
    adata.uns["kind_colors"] = ["#123456", "#abcdef"]
    with frozen(adata):
        assert PICTURES[name](adata, axes) is axes
        axes.figure.draw_without_rendering()
    assert axes.has_data()
    assert mpl.rcParams.copy() == settings
    assert plt.get_fignums() == figures


@pytest.mark.parametrize("name", PICTURES)
def test_what_stands_beside_the_data_does_not_cover_it(name: str, axes: Axes) -> None:
    ax = PICTURES[name](fitted(), axes)
    ax.figure.draw_without_rendering()
    data = ax.get_window_extent()
    beside = [other for other in ax.figure.axes if other is not ax and other not in ax.child_axes]
    boxes = [other.get_tightbbox() for other in beside] + (
        [ax.get_legend().get_window_extent()] if ax.get_legend() else []
    )
    assert boxes
    assert all(box.x0 >= data.x1 - 1.0 for box in boxes)
    assert all(box.x1 <= ax.figure.bbox.x1 + 1.0 for box in boxes)


def test_a_new_figure_works_without_a_display() -> None:
    code = (
        "import anndata as ad, cellflow as cf\n"
        f"adata = ad.read_h5ad({str(ARCHIVE / 'fit_0_1_0.h5ad')!r})\n"
        "ax = cf.pl.loss(adata); ax.figure.canvas.draw(); print(type(ax).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": ""},
    )
    assert (done.returncode, done.stdout.strip()) == (0, "Axes"), done.stderr


def test_rates_are_called_relative_unless_the_sizes_are_known() -> None:
    adata = fitted()
    params = adata.uns["cellflow"]["params"]
    split = {"mass_key": "size", "condition_key": ["drug"], "time_unit": "s"}
    for show, more, name in (
        ("rate", {}, "relative growth rate per h"),
        ("rate", {"mass_key": "size"}, "growth rate per h"),
        ("low", {"time_unit": "minutes"}, "least relative growth per minute"),
        ("high", {"time_unit": ""}, "largest relative growth per unit of time"),
        ("rate", split, "relative growth rate per s"),
    ):
        adata.uns["cellflow"]["params"] = params | more
        ax = cf.pl.growth(adata, show=show, ax=Figure().add_subplot())
        assert name in words(ax).split("\n")


def test_growth_has_colours_around_zero_and_names_its_unit(axes: Axes) -> None:
    adata = fitted()
    adata.obs.loc["cell3", "cf_growth"] = np.nan
    clims = []
    for show in ("rate", "low", "high"):
        ax = cf.pl.growth(adata, basis="pca", show=show, ax=Figure().add_subplot())
        drawn = ax.collections[-1]
        clims.append(drawn.get_clim())
        assert "per h" in words(ax)
    assert len(set(clims)) == 1
    assert clims[0][0] == -clims[0][1] < 0
    assert len(cf.pl.growth(adata, ax=axes).collections[-1].get_offsets()) == 3 * N - 1
    with pytest.raises(InputError, match="show='mean'"):
        cf.pl.growth(adata, show="mean")
    adata.obs["cf_growth_low"] = np.nan
    with pytest.raises(InputError, match="no finite rate"):
        cf.pl.growth(adata, show="low")
    del adata.obs["cf_growth"]
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.growth"):
        cf.pl.growth(adata)


def test_fates_have_colours_from_zero_to_one_and_the_name_of_the_fate(axes: Axes) -> None:
    adata = fitted()
    ax = cf.pl.fates(adata, "left", basis="pca", ax=axes)
    drawn = ax.collections[-1]
    assert drawn.get_clim() == (0.0, 1.0)
    np.testing.assert_allclose(np.sort(drawn.get_array()), adata.obsm["lineages_fwd"][:, 0])
    assert "probability of the fate left" in words(ax)
    with pytest.raises(InputError, match="fate='right' is none of"):
        cf.pl.fates(adata, "right")
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.ancestors"):
        cf.pl.fates(adata, "left", backward=True)


# What the pictures say ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stream", "trajectories"])
def test_time_has_its_unit_and_ticks_where_cells_were_sampled(name: str, axes: Axes) -> None:
    PICTURES[name](fitted(), axes)
    bar = axes.figure.axes[-1]
    axes.figure.draw_without_rendering()
    assert bar.get_ylabel() == "hours (h)"
    assert [t.get_text() for t in bar.get_yticklabels()] == ["0", "24", "48"]


def test_populations_are_named_with_their_times_and_sizes(axes: Axes) -> None:
    said = words(PICTURES["population"](fitted(), axes))
    assert "predicted, 24 h (n = 30)" in said
    assert "observed, 24 h (n = 40)" in said
    assert "before, 0 h (n = 40)" in said
    assert "after, 48 h (n = 40)" in said


def test_times_without_a_unit_are_named_with_their_column(axes: Axes) -> None:
    """A column of numbers says its unit by its name at most."""
    adata = fitted()
    adata.uns["cellflow"]["params"]["time_unit"] = ""
    said = words(PICTURES["population"](adata, axes))
    for clue in (
        "predicted, hours 24 (",
        "observed, hours 24 (",
        "before, hours 0 (",
        "after, hours 48 (",
    ):
        assert clue in said


def test_a_time_that_nobody_measured_has_no_observed_cloud(axes: Axes) -> None:
    said = words(PICTURES["population_umap"](fitted(), axes))
    assert "predicted, 36 h" in said
    assert "observed" not in said


def test_the_predicted_cloud_is_drawn_where_it_is(axes: Axes) -> None:
    adata = fitted()
    PICTURES["population"](adata, axes)
    drawn = next(c for c in axes.collections if str(c.get_label()).startswith("predicted"))
    np.testing.assert_allclose(
        drawn.get_offsets(), predicted(adata).obsm["X_pca"][:, :2], rtol=1e-6
    )


def test_paths_pass_through_their_cells_and_come_from_every_snapshot(axes: Axes) -> None:
    adata = fitted()
    cf.pl.trajectories(adata, n_cells=9, ax=axes)
    lines, dots = axes.collections[1], axes.collections[2]
    ends = np.array(lines.get_segments()).reshape(9, 6, 2, 2)
    distance = np.abs(ends[:, :, 0] - np.asarray(dots.get_offsets())[:, None, :]).sum(-1).min(1)
    last = np.abs(ends[:, -1, 1] - np.asarray(dots.get_offsets())).sum(-1)
    assert np.minimum(distance, last).max() < 1e-5
    assert np.unique(np.asarray(dots.get_array()), return_counts=True)[1].tolist() == [3, 3, 3]


def test_streamlines_run_with_the_flow(axes: Axes) -> None:
    cf.pl.stream(fitted(), basis="pca", ax=axes)
    lines = next(c for c in axes.collections if isinstance(c, mpl.collections.LineCollection))
    steps = np.array([np.ptp(s, axis=0) for s in lines.get_segments()])
    assert steps[:, 0].sum() > 100 * steps[:, 1].sum()


def test_loss_is_what_was_recorded(axes: Axes) -> None:
    cf.pl.loss(fitted(), ax=axes)
    training, held_out = axes.lines
    np.testing.assert_array_equal(training.get_xydata(), [[10, 2], [20, 1]])
    np.testing.assert_array_equal(held_out.get_xydata(), [[20, 1]])


# Colours ------------------------------------------------------------------------------------------


def test_colours_of_groups_are_the_users_where_there_are_any(axes: Axes) -> None:
    adata = fitted()
    adata.uns["kind_colors"] = ["#123456", "#abcdef"]
    cf.pl.stream(adata, color="kind", ax=axes)
    shades = {
        str(c.get_label()): to_hex(c.get_facecolor()[0])
        for c in axes.collections
        if str(c.get_label()) in {"up", "down"}
    }
    assert shades == {"down": "#123456", "up": "#abcdef"}


USABLE = {
    "nothing": None,
    "an empty list": [],
    "a dictionary": {"up": "#abcdef", "down": "#123456"},
    "one with more": {"up": "#abcdef", "down": "#123456", "other": "no colour"},
    "an array of text": np.array(["#123456", "#abcdef"], dtype=object),
    "a tuple with more": ("#123456", "#abcdef", "no colour"),
    "a Series": pd.Series(["#123456", "#abcdef"]),
    "numbers": np.array([[0x12, 0x34, 0x56], [0xAB, 0xCD, 0xEF]]) / 255,
    "with transparency": [(0x12 / 255, 0x34 / 255, 0x56 / 255, 1.0), "#abcdefff"],
}


@pytest.mark.parametrize("given", USABLE)
def test_every_usual_form_of_colours_is_understood(given: str, axes: Axes) -> None:
    adata = fitted()
    adata.uns["kind_colors"] = USABLE[given]
    cf.pl.stream(adata, color="kind", ax=axes)
    shades = {
        str(c.get_label()): to_hex(c.get_facecolor()[0])
        for c in axes.collections
        if c.get_label() in {"up", "down"}
    }
    ours = given in {"nothing", "an empty list"}
    assert shades == (
        {"down": "#1f77b4", "up": "#ff7f0e"} if ours else {"down": "#123456", "up": "#abcdef"}
    )


def test_colours_of_categories_without_cells_are_not_looked_at(axes: Axes) -> None:
    adata = fitted()
    adata.obs["kind"] = adata.obs["kind"].cat.add_categories(["zero"])
    adata.uns["kind_colors"] = {"up": "#abcdef", "down": "#123456"}
    cf.pl.stream(adata, color="kind", ax=axes)
    assert {str(c.get_label()) for c in axes.collections} >= {"up", "down"}


@pytest.mark.parametrize(
    "name", ["$\\bad$", "_hidden", "", "x" * 200, "a\x00b", "two\nlines", "a\udcffb", "naïve αβ"]
)
def test_groups_of_any_name_are_in_the_legend(name: str, axes: Axes) -> None:
    adata = fitted()
    adata.obs["kind"] = np.where(adata.obs["kind"] == "up", name, "down")
    cf.pl.stream(adata, color="kind", ax=axes)
    axes.figure.draw_without_rendering()
    assert len(axes.get_legend().get_texts()) == 2
    assert axes.get_legend().get_window_extent().x1 <= axes.figure.bbox.x1 + 1.0


def test_of_two_hundred_groups_the_largest_are_named(axes: Axes) -> None:
    adata = fitted()
    adata.obs["many"] = [f"g{min(i, 99):03}" for i in range(adata.n_obs)]
    cf.pl.stream(adata, color="many", ax=axes)
    axes.figure.draw_without_rendering()
    said = [t.get_text() for t in axes.get_legend().get_texts()]
    assert len(said) == 3 * 18
    assert "g099" in said
    assert said[-1] == "and 47 more"
    assert (
        sum(
            len(c.get_offsets())
            for c in axes.collections
            if not isinstance(c, mpl.collections.LineCollection)
        )
        >= 3 * N
    )
    assert axes.get_legend().get_window_extent().x1 <= axes.figure.bbox.x1 + 1.0


def test_many_groups_of_long_names_leave_room_for_the_cells() -> None:
    """Warnings are errors here, matplotlib's about an Axes without space included."""
    from matplotlib import pyplot as plt

    adata = fitted()
    adata.obs["many"] = [
        f"a rather long name of the cell type with number {i:03}" for i in range(adata.n_obs)
    ]
    ax = cf.pl.stream(adata, color="many")
    ax.figure.canvas.draw()
    assert ax.get_window_extent().width > 0.3 * ax.figure.bbox.width
    box = ax.get_legend().get_window_extent()
    assert box.y0 >= 0
    assert box.x1 <= ax.figure.bbox.x1
    assert [t.get_text() for t in ax.get_legend().get_texts()][-1] == "and 85 more"
    plt.close(ax.figure)


@pytest.mark.parametrize(
    "container",
    [sp.csr_matrix, sp.csc_array, da.from_array, np.asfortranarray, np.ma.masked_invalid],
)
def test_a_gene_is_the_same_from_any_container(container: Callable, axes: Axes) -> None:
    adata = fitted()
    expected = adata.X[:, 1].copy()
    adata.X = container(adata.X)
    cf.pl.stream(adata, color="TNNT1", ax=axes)
    shown = next(
        c for c in axes.collections if c.get_array() is not None and len(c.get_offsets()) == 3 * N
    )
    apart = np.asarray(shown.get_offsets())[:, None] - adata.obsm["X_umap"][None]
    rows = np.abs(apart).sum(axis=2).argmin(axis=1)
    assert sorted(rows) == list(range(3 * N))
    np.testing.assert_array_equal(np.asarray(shown.get_array()), expected[rows])


@pytest.mark.parametrize("n", [2, 8, 30])
def test_groups_have_colours_of_their_own(n: int, axes: Axes) -> None:
    adata = fitted()
    adata.obs["many"] = pd.Categorical([f"g{i % n}" for i in range(adata.n_obs)])
    cf.pl.stream(adata, color="many", ax=axes)
    assert (
        len(
            {
                to_hex(c.get_facecolor()[0])
                for c in axes.collections
                if str(c.get_label()).startswith("g")
            }
        )
        == n
    )


def test_missing_values_are_grey_and_said_so(axes: Axes) -> None:
    adata = fitted()
    adata.obs.loc[adata.obs_names[:5], "kind"] = np.nan
    cf.pl.stream(adata, color="kind", ax=axes)
    grey = next(c for c in axes.collections if c.get_label() == "not given")
    assert len(grey.get_offsets()) == 5


def test_cells_without_a_time_are_grey(axes: Axes) -> None:
    adata = fitted()
    adata.obs["cf_time_inferred"] = np.arange(adata.n_obs) < 7
    cf.pl.stream(adata, ax=axes)
    assert len(axes.collections[0].get_offsets()) == 7
    np.testing.assert_allclose(axes.collections[0].get_facecolor()[0][:3], to_rgba("#dcdcdc")[:3])


@pytest.mark.parametrize("color", ["score", "MYH3", "hours", "kind"])
def test_columns_and_genes_can_be_asked_for(color: str, axes: Axes) -> None:
    assert color in words(cf.pl.stream(fitted(), color=color, ax=axes))


# What is missing is said before anything is drawn -------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "key", "picture", "said"),
    [
        ("uns", "cellflow", "stream", r"cf\.tl\.flow"),
        ("uns", "cellflow", "loss", r"cf\.tl\.flow"),
        (
            "obsm",
            "velocity_umap",
            "stream",
            r"velocity_pca.*cf\.tl\.velocity\(adata, basis='umap'\)",
        ),
        ("obsm", "cf_trajectory", "trajectories", r"cf\.tl\.trajectories"),
        ("obsm", "X_umap", "trajectories_umap", "umap"),
        ("obs", "cf_log_density", "density", r"cf\.tl\.log_density"),
        ("obs", "cf_potential", "landscape", r"cf\.tl\.potential"),
    ],
)
def test_a_missing_key_names_what_writes_it(
    slot: str, key: str, picture: str, said: str, axes: Axes
) -> None:
    adata = fitted()
    del getattr(adata, slot)[key]
    with pytest.raises(MissingKeyError, match=said):
        PICTURES[picture](adata, axes)
    assert not axes.has_data()


def test_a_misspelt_colour_is_corrected(axes: Axes) -> None:
    with pytest.raises(MissingKeyError, match="did you mean 'kind'"):
        cf.pl.stream(fitted(), color="knd", ax=axes)


BAD = {
    "no AnnData": (lambda a: cf.pl.loss(a.X), "is of type ndarray"),
    "no predicted AnnData": (lambda a: cf.pl.population(a, a.X, time=24.0), "is of type ndarray"),
    "no Axes": (
        lambda a: cf.pl.stream(a, ax=np.array([1])),
        "ax= is of type ndarray; expected one Axes",
    ),
    "no colour": (lambda a: cf.pl.stream(a, color=[]), r"color=\[\] names no panel"),
    "an Axes for several panels": (
        lambda a: cf.pl.stream(a, color=["kind", "score"], ax=Figure().add_subplot()),
        "ax= is one Axes, but there are 2 panels",
    ),
    "one title for two panels": (
        lambda a: cf.pl.stream(a, color=["kind", "score"], title="both"),
        "title='both'; expected a list of 2",
    ),
    "a place of the legend": (
        lambda a: cf.pl.stream(a, color="kind", legend_loc="upper"),
        "legend_loc='upper'; expected one of",
    ),
    "no size": (lambda a: cf.pl.stream(a, size=0), "size=0; expected a finite number above 0"),
    "no palette": (
        lambda a: cf.pl.stream(a, color="kind", palette="tab21"),
        "palette='tab21' is no colormap of matplotlib .did you mean 'tab20'",
    ),
    "a palette that is too short": (
        lambda a: cf.pl.stream(a, color="kind", palette=["red"]),
        "palette= has 1 colours.*each of the 2 categories",
    ),
    "a palette without a category": (
        lambda a: cf.pl.stream(a, color="kind", palette={"up": "red"}),
        r"palette= has no colour for \['down'\]",
    ),
    "a number as basis": (lambda a: cf.pl.stream(a, basis=3), "basis|No 3 in adata.obsm"),
    "a list of bases": (
        lambda a: cf.pl.stream(a, basis=["umap"]),
        "basis|No .'umap'. in adata.obsm",
    ),
    "an array as basis": (lambda a: cf.pl.stream(a, basis=a.X), "basis|in adata.obsm"),
    "a number as basis of paths": (
        lambda a: cf.pl.trajectories(a, basis=3),
        "basis|No 3 in adata.obsm",
    ),
    "a number as basis of a population": (
        lambda a: cf.pl.population(a, predicted(a), time=24.0, basis=3),
        "basis|No 3 in adata.obsm",
    ),
    "no such colour": (
        lambda a: cf.pl.stream(a, color="nope"),
        "neither a column of adata.obs nor a gene",
    ),
    "a number as colour": (lambda a: cf.pl.stream(a, color=3), "color|neither"),
    "no such component": (
        lambda a: cf.pl.stream(a, basis="pca", components="1,9"),
        "9 is not there.*1 to 3 of 'pca'",
    ),
    "component zero": (
        lambda a: cf.pl.trajectories(a, components=(0, 1)),
        "0 is not there.*counted from 1",
    ),
    "one component": (
        lambda a: cf.pl.population(a, predicted(a), time=24.0, components="1"),
        "expected two numbers",
    ),
    "a polar Axes": (
        lambda a: cf.pl.stream(a, ax=Figure().add_subplot(projection="polar")),
        "projection 'polar'",
    ),
    "an Axes in space": (
        lambda a: cf.pl.stream(a, ax=Figure().add_subplot(projection="3d")),
        "projection '3d'",
    ),
    "no cells": (lambda a: cf.pl.trajectories(a, n_cells=0), "n_cells=0"),
    "half a cell": (lambda a: cf.pl.trajectories(a, n_cells=2.5), "n_cells=2.5"),
    "no time": (
        lambda a: cf.pl.population(a, predicted(a), time=np.nan),
        "time=nan; expected a finite number",
    ),
    "no density": (
        lambda a: cf.pl.stream(a, density=0),
        "density=0; expected a finite number above 0",
    ),
    "a landscape of every snapshot on one Axes": (
        lambda a: cf.pl.landscape(a, ax=Figure().add_subplot()),
        "ax= is one Axes, but there are 3 panels",
    ),
    "no landscape of that time": (
        lambda a: cf.pl.landscape(a, time=25),
        r"time=25: no cell of adata has a potential.*\[0.0, 24.0, 48.0\]",
    ),
    "no lines": (lambda a: cf.pl.landscape(a, contours=0), "contours=0"),
    "no density at any time": (lambda a: cf.pl.density(a, time=[]), r"time=\[\] names no panel"),
    "a share above one": (lambda a: cf.pl.density(a, time=24, contours=[1.5]), "contours=1.5"),
    "no arrows": (lambda a: cf.pl.quiver(a, n_cells=0), "n_cells=0"),
    "no grid": (lambda a: cf.pl.grid(a, n_grid=0), "n_grid=0"),
    "no length": (lambda a: cf.pl.grid(a, length=0), "length=0"),
    "no kernel": (lambda a: cf.pl.stream(a, smoothing="a"), "smoothing='a'"),
}


@pytest.mark.parametrize("case", BAD)
def test_P2_bad_arguments_are_named_and_change_nothing(case: str, frozen: Callable) -> None:
    from matplotlib import pyplot as plt

    call, message = BAD[case]
    adata, figures = fitted(), plt.get_fignums()
    with frozen(adata), pytest.raises(InputError, match=message):
        call(adata)
    assert plt.get_fignums() == figures


def without(slot: str, key: str | None = None) -> Callable[[ad.AnnData], None]:
    def change(adata: ad.AnnData) -> None:
        if key is None:
            setattr(adata, slot, None)
        else:
            del getattr(adata, slot)[key]

    return change


def with_(
    slot: str, key: str, value: Callable[[ad.AnnData], object]
) -> Callable[[ad.AnnData], None]:
    def change(adata: ad.AnnData) -> None:
        getattr(adata, slot)[key] = value(adata)

    return change


def unmeasured(adata: ad.AnnData) -> None:
    """A fit that none of these cells took part in with a time of its own."""
    times = adata.obs["cf_time"].to_numpy()
    adata.obs["cf_time_inferred"] = True
    known = fingerprint(adata.obs_names.to_numpy(), adata.obsm["X_pca"], times, times >= 0)
    adata.uns["cellflow"] = adata.uns["cellflow"] | {"fingerprint": known}


ARROWS = "velocity_umap"
#: What is in the AnnData, the picture that cannot be drawn of it, and what is said.
CONTENTS: dict[str, tuple[Callable[[ad.AnnData], None], str, str]] = {
    "a gene without expression": (without("X"), "gene", "'MYH3' is a gene, but adata.X is None"),
    "no finite number": (
        with_("obs", "score", lambda a: np.nan),
        "score",
        r"obs\['score'\] holds no finite value",
    ),
    "complex numbers": (
        with_("obs", "score", lambda a: np.arange(a.n_obs) * 1j),
        "score",
        "complex128; expected real",
    ),
    "lists in a column": (
        with_("obs", "kind", lambda a: pd.Series([[1]] * a.n_obs, index=a.obs_names)),
        "kind",
        "cannot be read as categories",
    ),
    "one word for colours": (
        with_("uns", "kind_colors", lambda a: "red"),
        "kind",
        r"uns\['kind_colors'\] is 'red'",
    ),
    "a number for colours": (
        with_("uns", "kind_colors", lambda a: 3),
        "kind",
        r"uns\['kind_colors'\] is 3",
    ),
    "a set of colours": (
        with_("uns", "kind_colors", lambda a: {"red"}),
        "kind",
        r"uns\['kind_colors'\] is \{'red'\}",
    ),
    "an array of one word": (
        with_("uns", "kind_colors", lambda a: np.array("red")),
        "kind",
        "kind_colors.*Expected a list",
    ),
    "a word that is no colour": (
        with_("uns", "kind_colors", lambda a: ["red", "no such"]),
        "kind",
        r"uns\['kind_colors'\] has 'no such' for 'up', which is no colour",
    ),
    "None among the colours": (
        with_("uns", "kind_colors", lambda a: ["red", None]),
        "kind",
        "None for 'up'",
    ),
    "a category without a colour": (
        with_("uns", "kind_colors", lambda a: {"up": "red"}),
        "kind",
        r"no colour for \['down'\]",
    ),
    "a category with a wrong one": (
        with_("uns", "kind_colors", lambda a: {"up": "red", "down": 7}),
        "kind",
        "7 for 'down', which is no colour",
    ),
    "arrows of one column": (
        with_("obsm", ARROWS, lambda a: np.ones((a.n_obs, 1))),
        "stream",
        r"velocity_umap.*\(120, 1\)",
    ),
    "arrows with a gap": (
        with_(
            "obsm",
            ARROWS,
            lambda a: np.where(np.arange(a.n_obs)[:, None] == 7, np.nan, np.ones((1, 2))),
        ),
        "stream",
        "velocity_umap.*finite",
    ),
    "arrows of text": (
        with_("obsm", ARROWS, lambda a: np.full((a.n_obs, 2), "a")),
        "stream",
        "velocity_umap.*dtype",
    ),
    "no measured cell, paths": (unmeasured, "trajectories", "No cell .* measured time"),
    "no measured cell, clouds": (unmeasured, "population", "No cell .* measured time"),
    "no measured cell, times": (unmeasured, "stream", "no finite value"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_contents_that_cannot_be_drawn_are_named_and_leave_no_figure(case: str) -> None:
    from matplotlib import pyplot as plt

    change, picture, said = CONTENTS[case]
    adata, figures = fitted(), plt.get_fignums()
    change(adata)
    colour = {"gene": "MYH3", "score": "score", "kind": "kind"}.get(picture)
    with pytest.raises(InputError, match=said):
        PICTURES[picture](adata, None) if colour is None else cf.pl.stream(adata, color=colour)
    assert plt.get_fignums() == figures


def test_a_figure_is_closed_where_drawing_itself_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot as plt

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("matplotlib's own")

    monkeypatch.setattr(Axes, "set_xlabel", fail)
    monkeypatch.setattr(Axes, "set_aspect", fail)
    adata, figures = fitted(), plt.get_fignums()
    for name in PICTURES:
        with pytest.raises(RuntimeError, match="own"):
            PICTURES[name](adata, None)
    assert plt.get_fignums() == figures


def test_defaults_can_be_looked_up() -> None:
    """A guard stands around public calls."""
    assert cf.pl.stream.__kwdefaults__["density"] == 1.2
    assert all(
        "components" in getattr(cf.pl, name).__kwdefaults__
        for name in cf.pl.__all__
        if "basis" in getattr(cf.pl, name).__kwdefaults__
    )


# Columns that are drawn ---------------------------------------------------------------------------


def with_diffusion_map() -> ad.AnnData:
    """Column 0 is nearly constant, as in a diffusion map; each column has its own arrows."""
    adata = fitted()
    x = adata.obsm["X_pca"]
    adata.obsm["X_diffmap"] = np.c_[1.0 + 0.01 * x[:, 2], x[:, 0], x[:, 1], x[:, 2]]
    adata.obsm["velocity_diffmap"] = np.tile([5.0, 1.0, 0.0, -1.0], (len(x), 1))
    return adata


def drawn_at(ax: Axes) -> np.ndarray:
    return np.concatenate(
        [np.asarray(c.get_offsets()) for c in ax.collections if len(c.get_offsets()) == 3 * N]
    )


def in_order(xy: np.ndarray) -> np.ndarray:
    """Rows sorted by their numbers: the order of drawing is not that of the file."""
    return xy[np.lexsort(np.round(xy, 9).T)]


@pytest.mark.parametrize(
    ("components", "columns", "direction"),
    [(None, [1, 2], (1, 0)), ("1,3", [1, 3], (1, -1)), ((3, 2), [3, 2], (-1, 0))],
)
def test_a_diffusion_map_is_drawn_from_component_one_on(
    components: object, columns: list[int], direction: tuple[int, int], axes: Axes
) -> None:
    """Cells and arrows are those of the same columns, which the axes name."""
    adata = with_diffusion_map()
    cf.pl.stream(adata, basis="diffmap", components=components, ax=axes)
    expected = adata.obsm["X_diffmap"][:, columns]
    np.testing.assert_allclose(in_order(drawn_at(axes)), in_order(expected))
    assert [t.get_text() for t in axes.texts if t.get_text()] == [f"DC{c}" for c in columns]
    lines = next(c for c in axes.collections if isinstance(c, mpl.collections.LineCollection))
    steps = np.array([s[-1] - s[0] for s in lines.get_segments()])
    np.testing.assert_allclose(np.sign(np.round(steps, 6)), np.broadcast_to(direction, steps.shape))


@pytest.mark.parametrize("picture", ["trajectories", "population"])
@pytest.mark.parametrize(
    ("basis", "components", "columns"),
    [
        (None, None, [0, 1]),
        (None, "1,3", [0, 2]),
        ("diffmap", None, [1, 2]),
        ("diffmap", [3, 1], [3, 1]),
        ("umap", "2,1", [1, 0]),
    ],
)
def test_components_of_paths_and_populations(
    picture: str, basis: str | None, components: object, columns: list[int], axes: Axes
) -> None:
    adata = with_diffusion_map()
    more = {"predicted": predicted(adata), "time": 24.0} if picture == "population" else {}
    getattr(cf.pl, picture)(adata, basis=basis, components=components, ax=axes, **more)
    expected = adata.obsm[f"X_{basis or 'pca'}"][:, columns]
    np.testing.assert_allclose(in_order(drawn_at(axes)), in_order(expected), rtol=1e-6)
    if picture == "trajectories":
        inside = np.concatenate(axes.collections[1].get_segments())
        low, high = drawn_at(axes).min(axis=0), drawn_at(axes).max(axis=0)
        assert basis is None or ((inside >= low - 1e-6) & (inside <= high + 1e-6)).all()
        if basis is None:
            ends = cf.get.trajectories(adata)[:, :, columns].reshape(-1, 2)
            assert np.abs(inside[:50, None] - ends).sum(-1).min(1).max() < 1e-5


def test_arrows_of_a_diffusion_map_do_not_look_at_its_stationary_state(cells: ad.AnnData) -> None:
    from conftest import quick_recipe

    x = cells.obsm["X_pca"]
    cells.obsm["X_diffmap"] = np.c_[np.ones(len(x)), x[:, :2]]
    cf.tl.flow(cells, "hours", method=quick_recipe())
    cf.tl.velocity(cells, basis="diffmap", genes=[])
    arrows = cells.obsm["velocity_diffmap"].copy()
    cells.obsm["X_diffmap"] = np.c_[np.random.default_rng(0).normal(size=len(x)), x[:, :2]]
    cf.tl.velocity(cells, basis="diffmap", genes=[])
    np.testing.assert_array_equal(cells.obsm["velocity_diffmap"], arrows)
    assert (arrows[:, 0] == 0).all()
    assert np.linalg.norm(arrows[:, 1:], axis=1).min() > 0


@pytest.mark.parametrize("picture", ["stream", "trajectories", "population"])
def test_P2_an_embedding_with_gaps_is_named(picture: str) -> None:
    adata = fitted()
    adata.obsm["X_umap"][4, 0] = np.nan
    more = {"predicted": predicted(adata), "time": 24.0} if picture == "population" else {}
    with pytest.raises(InputError, match=r"X_umap'\] has 1 NaN \(first: cell 'cell4', column 0\)"):
        getattr(cf.pl, picture)(adata, basis="umap", **more)


def test_a_gene_whose_name_repeats_is_an_error() -> None:
    adata = fitted()
    adata.var_names = ["MYH3", "MYH3"]
    with pytest.raises(InputError, match="stand for several entries"):
        cf.pl.stream(adata, color="MYH3")


@pytest.mark.parametrize("picture", ["trajectories", "population"])
def test_one_dimension_is_drawn_on_a_line(picture: str, axes: Axes) -> None:
    PICTURES[picture](fitted(d=1), axes)
    axes.figure.draw_without_rendering()
    assert all(
        (np.asarray(c.get_offsets())[:, 1] == 0).all()
        for c in axes.collections
        if len(c.get_offsets()) > 1
    )
