"""A figure on a given Axes stays in the place of this Axes, whatever belongs to it."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

import cellflow as cf
from cellflow.errors import InputWarning
from cellflow.pl._axes import canvas, legend
from cellflow.pl._words import headline
from plotted import fitted


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def predicted(adata):
    cells = adata[adata.obs["hours"] == 24.0].copy()
    del cells.uns["cellflow"]
    return cells


CASES = {
    "stream": lambda a, ax: cf.pl.stream(a, color="kind", ax=ax),
    "stream by time": lambda a, ax: cf.pl.stream(a, ax=ax),
    "grid": lambda a, ax: cf.pl.grid(a, color="a longer name of a column", ax=ax),
    "quiver": lambda a, ax: cf.pl.quiver(a, color="kind", title="Arrows", ax=ax),
    "trajectories": lambda a, ax: cf.pl.trajectories(a, color="kind", ax=ax),
    "growth": lambda a, ax: cf.pl.growth(a, ax=ax),
    "density": lambda a, ax: cf.pl.density(a, ax=ax),
    "landscape": lambda a, ax: cf.pl.landscape(a, time=24.0, ax=ax),
    "fates": lambda a, ax: cf.pl.fates(a, "left", ax=ax),
    "population": lambda a, ax: cf.pl.population(a, predicted(a), time=24.0, title="One", ax=ax),
    "loss": lambda a, ax: cf.pl.loss(a, ax=ax),
    "trends": lambda a, ax: cf.pl.trends(a, "MYH3", ax=ax),
    "drivers": lambda a, ax: cf.pl.drivers(a, "left", show="score", ax=ax),
    "perturbation": lambda a, ax: cf.pl.perturbation(a, "MYH3=0", ax=ax),
    "screen": lambda a, ax: cf.pl.screen(a, "left", ax=ax),
}


def belongings(figure, others):
    """Boxes of all that is drawn, without the Axes that were there before."""
    figure.canvas.draw()
    return [ax.get_tightbbox() for ax in figure.axes if ax not in others]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("place", [0, 3])
def test_neighbours_are_not_covered_nor_moved(case, place):
    adata = fitted()
    adata.obs["a longer name of a column"] = adata.obs["kind"]
    figure, grid = plt.subplots(2, 2, figsize=(10, 8))
    ax = grid.flat[place]
    others = [other for other in grid.flat if other is not ax]
    before = [other.get_position().bounds for other in others]
    CASES[case](adata, ax)
    assert figure.get_size_inches().tolist() == [10.0, 8.0]
    for other, bounds in zip(others, before, strict=True):
        assert other.get_position().bounds == bounds
    for box in belongings(figure, others):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        for other in others:
            edge = other.get_window_extent()
            across = min(box.x1, edge.x1) - max(box.x0, edge.x0)
            up = min(box.y1, edge.y1) - max(box.y0, edge.y0)
            assert min(across, up) <= 1.0


@pytest.mark.parametrize("letters", [4, 12, 18])
@pytest.mark.parametrize("lines", [1, 5])
def test_an_axes_shrinks_as_much_as_its_legend_and_title_need(letters, lines):
    figure, (ax, right) = plt.subplots(1, 2, figsize=(9, 4))
    old = ax.get_position()
    with canvas(ax) as drawn:
        drawn.plot([0, 1], label="m" * letters)
        legend(drawn)
        headline([drawn], "\n".join(["word"] * lines), own=False)
    (box,) = belongings(figure, [right])
    np.testing.assert_allclose(box.x1, old.x1 * figure.bbox.x1, atol=8.0)
    assert box.y1 <= figure.bbox.y1
    assert ax.get_in_layout()


def test_an_axes_keeps_its_size_where_nothing_reaches_beyond():
    _, ax = plt.subplots(figsize=(6, 4))
    old = ax.get_position().bounds
    with canvas(ax) as drawn:
        drawn.plot([0, 1])
    assert ax.get_position().bounds == old


def test_a_layout_of_the_user_is_left_alone():
    figure, (ax, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    with canvas(ax) as drawn:
        drawn.plot([0, 1], label="mmmmmmmm")
        legend(drawn)
    (box,) = belongings(figure, [right])
    assert box.x1 <= right.get_tightbbox().x0
    assert isinstance(figure.get_layout_engine(), mpl.layout_engine.ConstrainedLayoutEngine)


def test_a_place_that_is_too_small_is_said():
    _, grid = plt.subplots(1, 4, figsize=(4, 4))
    with pytest.warns(InputWarning, match="too little for the legend"):
        cf.pl.stream(fitted(), color="kind", ax=grid[0])


# Habits of scanpy ---------------------------------------------------------------------------------

MAPS = ("stream", "grid", "quiver", "growth", "density", "landscape", "fates", "trajectories")


@pytest.mark.parametrize("loc", ["upper right", "lower left", "center", "best", "right"])
def test_a_legend_at_a_place_of_matplotlib_lies_inside_the_map(loc):
    ax = cf.pl.stream(fitted(), color="kind", legend_loc=loc)
    ax.figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    edge = ax.get_window_extent()
    assert edge.x0 <= box.x0
    assert box.x1 <= edge.x1
    assert edge.y0 <= box.y0
    assert box.y1 <= edge.y1


@pytest.mark.parametrize("name", [name for name in MAPS if name != "fates"])
def test_no_place_of_a_legend_is_none(name):
    more = {"time": 24.0} if name == "landscape" else {}
    ax = getattr(cf.pl, name)(fitted(), legend_loc=None, **more)
    assert ax.get_legend() is None
    assert len(ax.figure.axes) == 1
    assert not ax.child_axes


@pytest.mark.parametrize("name", MAPS)
def test_a_map_without_an_embedding_is_the_umap_or_the_representation(name):
    more = {"time": 24.0} if name == "landscape" else {}
    more = {"fate": "left"} if name == "fates" else more
    adata = fitted()

    def axes_of(cells, **basis):
        ax = getattr(cf.pl, name)(cells, **basis, **more)
        return {text.get_text() for text in ax.texts}

    if name != "trajectories":
        assert {"UMAP1", "UMAP2"} <= axes_of(adata)
    del adata.obsm["X_umap"]
    assert {"PC1", "PC2"} <= axes_of(adata)
    assert {"PC1", "PC2"} <= axes_of(adata, basis="pca")
