"""Trajectories of single cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.adapter.paths import read_paths
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.pl._axes import FAINT, INK, MAP, canvas, embedding_axes, map_size, scatter, time_bar
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection

__all__ = ["trajectories"]


@guarded
def trajectories(
    adata: AnnData,
    *,
    basis: str | None = None,
    components: Components = None,
    n_cells: int = 60,
    random_state: RandomState = 0,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> Axes:
    """Draw trajectories of single cells over the other cells.

    The colour of a line is the time; a dot marks the cell where it was measured. In the
    representation of the model the lines show two of its dimensions. In another embedding each
    state is drawn at the mean of the cells nearest to it: lines there follow the cells by
    construction, and are no evidence of paths between them.

    Parameters
    ----------
    adata
        Cells with the trajectories that `cf.tl.trajectories` wrote.
    basis
        An embedding; the representation of the model by default.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`; see `cf.pl.stream`.
    n_cells
        Number of cells, the same from each snapshot as far as possible.
    random_state
        Seed of their choice.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes.

    Raises
    ------
    MissingKeyError
        No fit, no trajectories, or no such embedding.
    InputError
        `n_cells` below one, components that do not exist, or no cell whose time was measured. No
        figure is made then.

    Examples
    --------
    >>> cf.tl.trajectories(adata)  # doctest: +SKIP
    >>> cf.pl.trajectories(adata, n_cells=30)  # doctest: +SKIP
    """
    check_arguments(trajectories, locals())
    from cellflow.analysis.embedding import place

    n_cells = as_count("n_cells", n_cells)
    fitted = PlottedFit(adata, key)
    name, positions, plane = fitted.coordinates(basis, components)
    states = read_paths(adata, fitted.keys, fitted.record, fitted.cells, samples=False)
    times = np.asarray(fitted.record["trajectory_times"], dtype=np.float64)
    rows = _spread(fitted.times, fitted.snapshots, n_cells, random_state)
    paths = np.asarray(states[rows], dtype=np.float64)
    xy = plane.of(positions)
    if name == fitted.basis:
        lines = plane.of(paths)
    else:
        placed = place(paths.reshape(-1, paths.shape[2]), fitted.x, xy)
        lines = placed.reshape(len(rows), len(times), 2)
    with canvas(ax, **map_size(xy)) as ax:
        scatter(ax, xy, color=FAINT, alpha=0.7)
        drawn = _draw(ax, lines, times)
        ax.scatter(
            xy[rows, 0],
            xy[rows, 1],
            s=14,
            c=fitted.times[rows],
            cmap=MAP,
            edgecolors=INK,
            linewidths=0.5,
            zorder=3,
            vmin=times.min(),
            vmax=times.max(),
            plotnonfinite=True,
        )
        ax.autoscale_view()
        time_bar(ax, drawn, fitted)
        embedding_axes(ax, plane)
    return ax


def _draw(ax: Axes, lines: FloatArray, times: FloatArray) -> LineCollection:
    """Draw lines `(n, T, 2)` in the colours of their times `(T,)`."""
    from matplotlib.collections import LineCollection

    segments = np.stack([lines[:, :-1], lines[:, 1:]], axis=2).reshape(-1, 2, 2)
    drawn = LineCollection(
        list(segments),
        array=np.tile((times[:-1] + times[1:]) / 2.0, len(lines)),
        cmap=MAP,
        linewidths=1.1,
        alpha=0.9,
        capstyle="round",
        zorder=2,
    )
    drawn.set_clim(times.min(), times.max())
    ax.add_collection(drawn)
    return drawn


def _spread(
    times: np.ndarray, snapshots: np.ndarray, n: int, random_state: RandomState
) -> np.ndarray:
    """Choose `n` rows, the same number from each snapshot as far as possible."""
    rng = stream(as_seed(random_state))
    groups = [rng.permutation(np.flatnonzero(times == t)) for t in snapshots]
    # In turn from each snapshot, until a small one has no more cells.
    turn = np.concatenate([np.arange(len(g)) for g in groups])
    return np.concatenate(groups)[np.argsort(turn, kind="stable")][:n]
