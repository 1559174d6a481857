"""Pictures: they take and return Axes, say what they show, and change nothing else."""

import subprocess
import sys
from collections.abc import Callable

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure

import cellflow as cf
from cellflow.errors import InputError, MissingKeyError

N, TIMES = 40, np.array([0.0, 24.0, 48.0])


def fitted(d: int = 3) -> ad.AnnData:
    """Cells that move right at 1/24 per hour, with everything that the calls of `cf.tl` would have written."""
    rng = np.random.default_rng(0)
    hours = np.repeat(TIMES, N)
    x = rng.normal(scale=0.3, size=(len(hours), d))
    x[:, 0] += hours / 24
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(len(x))])
    obs["hours"], obs["kind"] = hours, pd.Categorical(np.where(x[:, -1] > 0, "up", "down"))
    obs["score"], obs["cf_time"], obs["cf_time_inferred"] = np.arange(len(x), dtype=float), hours, False
    adata = ad.AnnData(
        rng.poisson(2.0, size=(len(x), 2)).astype(np.float32), obs=obs, var=pd.DataFrame(index=["MYH3", "TNNT1"])
    )
    adata.obsm["X_pca"] = x.astype(np.float32)
    adata.obsm["X_umap"] = x[:, [0, -1]] * [2.0, 1.0]
    adata.obsm["velocity_pca"] = np.tile(np.eye(d, dtype=np.float32)[0] / 24, (len(x), 1))
    adata.obsm["velocity_umap"] = np.tile([2.0 / 24, 0.0], (len(x), 1))
    grid = np.linspace(0.0, 48.0, 7)
    adata.obsm["cf_trajectory"] = (x[:, None, :] + (grid - hours[:, None])[:, :, None] / 24 * np.eye(d)[0]).astype(np.float32)
    adata.uns["cellflow"] = {
        "cellflow_version": "0.1.0",
        "params": {"time_key": "hours", "use_rep": "X_pca", "n_dims": d, "time_unit": "h"},
        "trajectory_times": grid,
        "history": {"step": [10.0, 20.0], "loss": [2.0, 1.0], "val_step": [20.0], "val_loss": [1.0]},
    }
    return adata


def predicted(adata: ad.AnnData, n: int = 30) -> ad.AnnData:
    obs = pd.DataFrame(index=[f"p{i}" for i in range(n)])
    return ad.AnnData(obs=obs, obsm={"X_pca": adata.obsm["X_pca"][N : N + n] + 0.5})


PICTURES: dict[str, Callable[[ad.AnnData, Axes | None], Axes]] = {
    "loss": lambda adata, ax: cf.pl.loss(adata, ax=ax),
    "population": lambda adata, ax: cf.pl.population(adata, predicted(adata), time=24.0, ax=ax),
    "population_umap": lambda adata, ax: cf.pl.population(adata, predicted(adata), time=36.0, basis="umap", ax=ax),
    "stream": lambda adata, ax: cf.pl.stream(adata, ax=ax),
    "stream_groups": lambda adata, ax: cf.pl.stream(adata, basis="X_pca", color="kind", ax=ax),
    "trajectories": lambda adata, ax: cf.pl.trajectories(adata, n_cells=9, ax=ax),
    "trajectories_umap": lambda adata, ax: cf.pl.trajectories(adata, basis="umap", n_cells=9, ax=ax),
}


@pytest.fixture
def axes() -> Axes:
    """An Axes that pyplot knows nothing of."""
    return Figure(layout="constrained").add_subplot()


def words(ax: Axes) -> str:
    """Everything that is written in the figure of an Axes."""
    ax.figure.draw_without_rendering()
    return "\n".join(t.get_text() for t in ax.figure.findobj(mpl.text.Text))


def test_every_picture_is_tested() -> None:
    assert {name.partition("_")[0] for name in PICTURES} == set(cf.pl.__all__)


@pytest.mark.parametrize("name", PICTURES)
def test_given_axes_are_used_and_nothing_else_changes(name: str, axes: Axes, frozen: Callable) -> None:
    from matplotlib import pyplot as plt

    adata, settings, figures = fitted(), mpl.rcParams.copy(), plt.get_fignums()
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
    boxes = [other.get_tightbbox() for other in beside] + ([ax.get_legend().get_window_extent()] if ax.get_legend() else [])
    assert boxes
    assert all(box.x0 >= data.x1 - 1.0 for box in boxes)
    assert all(box.x1 <= ax.figure.bbox.x1 + 1.0 for box in boxes)


def test_a_new_figure_works_without_a_display() -> None:
    code = (
        "import anndata as ad, numpy as np, pandas as pd, cellflow as cf\n"
        "adata = ad.AnnData(obs=pd.DataFrame(index=['a', 'b']))\n"
        "adata.uns['cellflow'] = {'cellflow_version': '0', 'history': {'step': np.arange(3.0), 'loss': np.ones(3)}}\n"
        "ax = cf.pl.loss(adata); ax.figure.canvas.draw(); print(type(ax).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, env={"PATH": ""}
    )
    assert (done.returncode, done.stdout.strip()) == (0, "Axes"), done.stderr


# What the pictures say ----------------------------------------------------------------------------------------------


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
    for clue in ("predicted, hours 24 (", "observed, hours 24 (", "before, hours 0 (", "after, hours 48 ("):
        assert clue in said


def test_a_time_that_nobody_measured_has_no_observed_cloud(axes: Axes) -> None:
    said = words(PICTURES["population_umap"](fitted(), axes))
    assert "predicted, 36 h" in said
    assert "observed" not in said


def test_the_predicted_cloud_is_drawn_where_it_is(axes: Axes) -> None:
    adata = fitted()
    PICTURES["population"](adata, axes)
    drawn = next(c for c in axes.collections if str(c.get_label()).startswith("predicted"))
    np.testing.assert_allclose(drawn.get_offsets(), predicted(adata).obsm["X_pca"][:, :2], rtol=1e-6)


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


# Colours ------------------------------------------------------------------------------------------------------------


def test_colours_of_groups_are_the_users_where_there_are_any(axes: Axes) -> None:
    adata = fitted()
    adata.uns["kind_colors"] = ["#123456", "#abcdef"]
    cf.pl.stream(adata, color="kind", ax=axes)
    shades = {
        str(c.get_label()): to_hex(c.get_facecolor()[0]) for c in axes.collections if str(c.get_label()) in {"up", "down"}
    }
    assert shades == {"down": "#123456", "up": "#abcdef"}


@pytest.mark.parametrize("n", [2, 8, 30])
def test_groups_have_colours_of_their_own(n: int, axes: Axes) -> None:
    adata = fitted()
    adata.obs["many"] = pd.Categorical([f"g{i % n}" for i in range(adata.n_obs)])
    cf.pl.stream(adata, color="many", ax=axes)
    assert len({to_hex(c.get_facecolor()[0]) for c in axes.collections if str(c.get_label()).startswith("g")}) == n


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


# What is missing is said before anything is drawn -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "key", "picture", "said"),
    [
        ("uns", "cellflow", "stream", r"cf\.tl\.flow"),
        ("uns", "cellflow", "loss", r"cf\.tl\.flow"),
        ("obsm", "velocity_umap", "stream", r"velocity_pca.*cf\.tl\.velocity\(adata, basis='umap'\)"),
        ("obsm", "X_umap", "stream", r"umap.*X_pca"),
        ("obsm", "cf_trajectory", "trajectories", r"cf\.tl\.trajectories"),
        ("obsm", "X_umap", "trajectories_umap", "umap"),
    ],
)
def test_a_missing_key_names_what_writes_it(slot: str, key: str, picture: str, said: str, axes: Axes) -> None:
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
    "no Axes": (lambda a: cf.pl.stream(a, ax=np.array([1])), "ax= is of type ndarray; expected one Axes"),
    "several colours": (lambda a: cf.pl.stream(a, color=["kind"]), "neither a column of adata.obs nor a gene"),
    "no cells": (lambda a: cf.pl.trajectories(a, n_cells=0), "n_cells=0"),
    "half a cell": (lambda a: cf.pl.trajectories(a, n_cells=2.5), "n_cells=2.5"),
    "no time": (lambda a: cf.pl.population(a, predicted(a), time=np.nan), "time=nan; expected a finite number"),
    "no density": (lambda a: cf.pl.stream(a, density=0), "density=0; expected a finite number above 0"),
    "no kernel": (lambda a: cf.pl.stream(a, smoothing="a"), "smoothing='a'"),
}


@pytest.mark.parametrize("case", BAD)
def test_P2_bad_arguments_are_named_and_change_nothing(case: str, frozen: Callable) -> None:
    call, message = BAD[case]
    adata = fitted()
    with frozen(adata), pytest.raises(InputError, match=message):
        call(adata)


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
    assert all((np.asarray(c.get_offsets())[:, 1] == 0).all() for c in axes.collections if len(c.get_offsets()) > 1)
