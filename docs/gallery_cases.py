"""What the gallery shows.

A function below is one picture: its name is that of the file, its docstring the caption, its body
the code that the page shows.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cellflow as cf

#: What is shown, by the name of the fit (`docs/gallery_fits.py`).
_CELLS = {
    "myoblasts": "human myoblasts (Trapnell et al. 2014)",
    "worm": "neurons of the worm (Packer et al. 2019)",
    "eb": "embryoid bodies (Moon et al. 2019)",
    "progenitors": "simulated progenitors, which come with the package",
    "experiment": "a simulated experiment with two conditions",
}


@dataclass(frozen=True)
class Picture:
    """A function that draws, of which fit, and for which function of `cf.pl`."""

    draw: Callable[[Any], object]
    fit: str
    call: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.draw.__name__

    @property
    def suffix(self) -> str:
        """Kind of the file."""
        return ".gif" if self.call == "cf.pl.animation" else ".png"

    @property
    def caption(self) -> str:
        """First sentences, from the docstring."""
        return " ".join((self.draw.__doc__ or "").split())

    @property
    def cells(self) -> str:
        """Which cells are shown."""
        return _CELLS[self.fit]

    @property
    def code(self) -> str:
        """The body of the function."""
        source = textwrap.dedent(inspect.getsource(self.draw))
        body = source.split('"""', 2)[2]
        return textwrap.dedent(body).strip("\n").replace("return ", "").strip()


_ALL: list[Picture] = []


def of(fit: str, call: str) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
    """Register the function below as a picture of this fit, by this function of `cf.pl`."""

    def register(draw: Callable[[Any], object]) -> Callable[[Any], object]:
        _ALL.append(Picture(draw, fit, f"cf.pl.{call}"))
        return draw

    return register


def by_call() -> dict[str, list[Picture]]:
    """All pictures, by the function that draws them, in the order of this file."""
    groups: dict[str, list[Picture]] = {}
    for picture in _ALL:
        groups.setdefault(picture.call, []).append(picture)
    return groups


@of("worm", "stream")
def stream_worm(adata: Any) -> object:
    """Velocities of 1,805 neurons as streamlines, with the names of the types on the data."""
    return cf.pl.stream(adata, basis="umap", color="cell_type", legend_loc="on data")


@of("myoblasts", "stream")
def stream_myoblasts(adata: Any) -> object:
    """From 0 to 72 hours."""
    return cf.pl.stream(adata, basis="umap", color="hours")


@of("eb", "stream")
def stream_eb(adata: Any) -> object:
    """16,819 cells over 27 days."""
    return cf.pl.stream(adata, basis="umap", color="day")


@of("myoblasts", "trajectories")
def trajectories_myoblasts(adata: Any) -> object:
    """Paths of sixty cells from the first time to the last."""
    return cf.pl.trajectories(adata, basis="umap")


@of("worm", "trajectories")
def trajectories_worm(adata: Any) -> object:
    """Paths of neurons; they fade where there are no cells."""
    return cf.pl.trajectories(adata, basis="umap")


@of("myoblasts", "animation")
def animation_myoblasts(adata: Any) -> object:
    """Cells that move along their trajectories, as a gif."""
    return cf.pl.animation(
        adata, "animation_myoblasts.gif", basis="umap", n_cells=150, n_frames=24, dpi=80
    )


@of("myoblasts", "population")
def population_myoblasts(adata: Any) -> object:
    """Cells predicted at 48 hours over the measured ones, with contours of both."""
    predicted = cf.tl.predict(adata, time=48)
    return cf.pl.population(adata, predicted, basis="umap")


@of("worm", "population")
def population_worm(adata: Any) -> object:
    """Measured and predicted neurons at 400 minutes, side by side."""
    predicted = cf.tl.predict(adata, time=400)
    return cf.pl.population(adata, predicted, basis="umap", kind="side by side")


@of("myoblasts", "holdout")
def holdout_myoblasts(adata: Any) -> object:
    """Distance of predictions to hidden snapshots, beside baselines and the noise floor."""
    return cf.pl.holdout(adata)


@of("progenitors", "calibration")
def calibration_progenitors(adata: Any) -> object:
    """Fate probabilities beside what became of clones."""
    return cf.pl.calibration(adata)


@of("myoblasts", "loss")
def loss_myoblasts(adata: Any) -> object:
    """The loss of training, and that on pairs that were kept out."""
    return cf.pl.loss(adata)


@of("worm", "plan")
def plan_worm(adata: Any) -> object:
    """Which types the mass of each type goes to, over three times."""
    return cf.pl.plan(adata, "cell_type")


@of("progenitors", "plan")
def plan_progenitors(adata: Any) -> object:
    """Mass of cell types that grow at different rates."""
    return cf.pl.plan(adata, "cell_type")


@of("worm", "growth")
def growth_worm(adata: Any) -> object:
    """Rate of growth of every neuron, relative to the whole."""
    return cf.pl.growth(adata)


@of("progenitors", "growth")
def growth_progenitors(adata: Any) -> object:
    """Rate of growth where sizes of the cultures are known."""
    return cf.pl.growth(adata)


@of("progenitors", "fates")
def fates_progenitors(adata: Any) -> object:
    """Fate probabilities on the map, one panel for each fate."""
    return cf.pl.fates(adata)


@of("progenitors", "fates")
def fates_circle_progenitors(adata: Any) -> object:
    """Each cell between the fates, by its probabilities."""
    return cf.pl.fates(adata, kind="circular", color=["day", "cell_type"])


@of("worm", "fates")
def fates_worm_heatmap(adata: Any) -> object:
    """Mean probabilities of each type."""
    return cf.pl.fates(adata, kind="heatmap", groupby="cell_type")


@of("myoblasts", "fates")
def fates_myoblasts_violin(adata: Any) -> object:
    """Probabilities of single cells, by time."""
    return cf.pl.fates(adata, kind="violin", groupby="hours")


@of("worm", "fates")
def fates_violin_worm(adata: Any) -> object:
    """Four fates over the cell types; dots are means."""
    return cf.pl.fates(adata, ["ADL", "ASG", "AWA", "AWC"], kind="violin", groupby="cell_type")


@of("myoblasts", "trends")
def trends_myoblasts(adata: Any) -> object:
    """Mean expression along the paths to two fates, with 90 % intervals and measured means."""
    return cf.pl.trends(adata)


@of("worm", "trends")
def trends_worm(adata: Any) -> object:
    """Genes in the order of the times at which they are highest on the way to the first fate."""
    return cf.pl.trends(adata, kind="cascade")


@of("myoblasts", "drivers")
def drivers_myoblasts(adata: Any) -> object:
    """Genes that go with a fate before cells are committed to it, by three measures."""
    return cf.pl.drivers(adata, "state 2", n_genes=15)


@of("worm", "drivers")
def drivers_worm(adata: Any) -> object:
    """The same for a neuron of the worm."""
    return cf.pl.drivers(adata, "ADL", n_genes=15)


@of("myoblasts", "jacobian")
def jacobian_myoblasts(adata: Any) -> object:
    """How the drift of genes depends on genes, by cell state."""
    return cf.pl.jacobian(adata)


@of("myoblasts", "jacobian")
def network_myoblasts(adata: Any) -> object:
    """The twelve largest slopes in one state, as arrows."""
    return cf.pl.jacobian(adata, kind="network", group="state 1", n_edges=12)


@of("worm", "jacobian")
def jacobian_worm(adata: Any) -> object:
    """The same for eight genes of the worm, by cell type."""
    return cf.pl.jacobian(adata)


@of("myoblasts", "perturbation")
def perturbation_myoblasts(adata: Any) -> object:
    """A gene set to zero: shares of fates, and what random genes alike do."""
    return cf.pl.perturbation(adata)


@of("myoblasts", "perturbation")
def support_myoblasts(adata: Any) -> object:
    """Whether edited cells stay near measured ones."""
    return cf.pl.perturbation(adata, kind="support")


@of("myoblasts", "screen")
def screen_myoblasts(adata: Any) -> object:
    """Each gene lowered by one standard deviation: first order, and the strongest simulated."""
    return cf.pl.screen(adata, n_genes=12)


@of("myoblasts", "density")
def density_myoblasts(adata: Any) -> object:
    """Log-density of every cell at its own time."""
    return cf.pl.density(adata)


@of("eb", "density")
def density_eb(adata: Any) -> object:
    """The modelled density at three times, in the plane of two components."""
    return cf.pl.density(adata, time=[0, 2, 4], basis="pca")


@of("myoblasts", "landscape")
def landscape_myoblasts(adata: Any) -> object:
    """The potential at each time, with the share of the motion that it does not explain."""
    return cf.pl.landscape(adata)


@of("eb", "landscape")
def landscape_eb(adata: Any) -> object:
    """The same for one time of the embryoid bodies."""
    return cf.pl.landscape(adata, time=2)


@of("experiment", "comparison")
def comparison_experiment(adata: Any) -> object:
    """Effects of a drug with intervals; samples are the replicates."""
    return cf.pl.comparison(adata)


@of("myoblasts", "grid")
def grid_myoblasts(adata: Any) -> object:
    """Mean velocities on a grid, in the plane of two principal components."""
    cf.tl.velocity(adata, basis="pca")
    return cf.pl.grid(adata, basis="pca", color="State", palette="okabe_ito")


@of("worm", "quiver")
def quiver_worm(adata: Any) -> object:
    """One arrow a cell, by type and by time."""
    return cf.pl.quiver(adata, basis="umap", color=["cell_type", "time"])
