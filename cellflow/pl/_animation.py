"""Cells that move along their trajectories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.components import Components
from cellflow.adapter.paths import read_paths
from cellflow.core._arguments import check_arguments
from cellflow.core._files import temporary_name
from cellflow.core._numbers import as_count
from cellflow.core._paths import as_path, check_writable, output_errors
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.errors import InputError, SetupError
from cellflow.pl._axes import beside, canvas, embedding_axes, map_size
from cellflow.pl._chosen import spread_rows
from cellflow.pl._colours import read_colours
from cellflow.pl._film import animate, film_of
from cellflow.pl._maps import remember_colours
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

__all__ = ["animation"]

#: Formats by the ending of a file, and what writes them.
_WRITERS = {".gif": "pillow", ".mp4": "ffmpeg"}


@guarded
def animation(
    adata: AnnData,
    path: str | os.PathLike[str] | None = None,
    *,
    basis: str | None = None,
    components: Components = None,
    color: str | None = None,
    n_cells: int = 300,
    n_frames: int = 60,
    fps: int = 12,
    trail: int = 6,
    dpi: int = 100,
    title: str | None = None,
    random_state: RandomState = 0,
    key: str = "cellflow",
    ax: Axes | None = None,
) -> FuncAnimation | Path:
    """Animate cells that move along their trajectories from the first time to the last.

    All cells that are followed are shown at every time, wherever they were measured: those of late
    snapshots are pulled back to where they came from. In an embedding a path leads through the
    cells nearest to it, as in `cf.pl.trajectories`; over a gap a cell jumps, without a line.

    Parameters
    ----------
    adata
        Cells with the trajectories that `cf.tl.trajectories` wrote.
    path
        A file that ends in `.gif`, or in `.mp4` where `ffmpeg` is installed. None returns the
        animation: in a notebook, `IPython.display.HTML(animation.to_jshtml())` plays it.
    basis
        An embedding; the representation of the model by default.
    components
        Which two of its components, as `"1,2"` or `(1, 2)`; see `cf.pl.stream`.
    color
        A column of `obs` or a gene, at the time when a cell was measured; that time by default.
    n_cells
        Number of cells, the same from each snapshot as far as possible.
    n_frames, fps
        Number of pictures, at least two, and how many of them are shown in a second.
    trail
        Pictures that the line behind a cell reaches back; 0 for no lines.
    dpi
        Dots per inch of the file.
    title
        Text above the time.
    random_state
        Seed of the choice of cells.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    `matplotlib.animation.FuncAnimation`, which has to be kept as long as it is shown; or the path
    of the file.

    Raises
    ------
    MissingKeyError
        No fit, no trajectories, or no such embedding, column or gene.
    InputError
        Numbers that are too small, components that do not exist, another ending of the file. No
        figure and no file is made then.
    SetupError
        An `.mp4` without `ffmpeg`.
    OutputError
        The file cannot be written; an existing one stays as it was.

    Examples
    --------
    >>> cf.tl.trajectories(adata, n_times=5)
    >>> _ = cf.pl.animation(adata, "cells.gif", basis="umap", n_cells=20, n_frames=3)
    """
    check_arguments(animation, locals())
    from cellflow.analysis.drawn_paths import DrawnPaths, Surroundings, drawn_paths, reach_of

    n_frames = as_count("n_frames", n_frames, least=2)
    fps = as_count("fps", fps)
    trail = as_count("trail", trail, least=0)
    dpi = as_count("dpi", dpi)
    n_cells = as_count("n_cells", n_cells)
    target = None if path is None else _target(path)
    fitted = PlottedFit(adata, key)
    name, positions, plane = fitted.coordinates(basis, components)
    states = read_paths(adata, fitted.keys, fitted.record, fitted.cells, samples=False)
    colours = read_colours(adata, color, fitted)
    rows = spread_rows(fitted.times, fitted.snapshots, n_cells, random_state)
    times = np.asarray(fitted.record["trajectory_times"], dtype=np.float64)
    xy = plane.of(positions)
    paths = np.asarray(states[rows], dtype=np.float64)
    if name == fitted.basis:
        joined = np.ones((len(rows), len(times) - 1), dtype=bool)
        lines = DrawnPaths(plane.of(paths), times, joined)
    else:
        lines = drawn_paths(
            paths, times, rows, Surroundings(fitted.x, xy, fitted.times), reach_of(xy)
        )
    film = film_of(lines, np.linspace(times[0], times[-1], n_frames))
    with canvas(ax, **map_size(xy, **beside(colours), above=0.3)) as drawn_on:
        embedding_axes(drawn_on, plane)
        made = animate(drawn_on, film, rows, colours, fitted, xy, trail=trail, fps=fps, title=title)
        if target is None:
            remember_colours(adata, [colours])
            return made
        _save(made, target, fps=fps, dpi=dpi)
    remember_colours(adata, [colours])
    if ax is None:
        from matplotlib import pyplot as plt

        plt.close(drawn_on.figure)  # type: ignore[arg-type] # a figure of its own
    return target


def _target(path: str | os.PathLike[str]) -> Path:
    """The file, if it can be written."""
    from matplotlib.animation import writers

    given = as_path(path)
    ending = given.suffix
    if ending not in _WRITERS:
        msg = f"path={str(given)!r} ends in {ending!r}; expected one of {list(_WRITERS)}."
        raise InputError(msg)
    if not writers.is_available(_WRITERS[ending]):
        msg = (
            f"path={str(given)!r}: no {_WRITERS[ending]} was found, which writes {ending} files."
            " Install it (for example with `conda install ffmpeg` or `apt install ffmpeg`), or pass"
            " a path that ends in '.gif'."
        )
        raise SetupError(msg)
    return check_writable(given, suffix=ending)


def _save(made: FuncAnimation, target: Path, *, fps: int, dpi: int) -> None:
    """Write a file as a whole: beside its place, then into it."""
    with temporary_name(target.parent) as folder, output_errors(target):
        folder.mkdir()
        made.save(folder / target.name, writer=_WRITERS[target.suffix], fps=fps, dpi=dpi)
        (folder / target.name).replace(target)
