"""Cells along their trajectories: where they are in each picture, and the file."""

import os
import stat

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

import cellflow as cf
from cellflow.analysis.drawn_paths import DrawnPaths
from cellflow.errors import InputError, InputTypeError, MissingKeyError, OutputError, SetupError
from cellflow.pl._film import film_of, trails


@pytest.fixture
def adata(fitted_as):
    adata = fitted_as("default")
    cf.tl.trajectories(adata, n_times=5)
    adata.obs["side"] = np.where(adata.obsm["X_pca"][:, 1] > 0, "up", "down")
    return adata


def dots(made, frame):
    """Places of the moving cells in a picture."""
    made._func(frame)
    ax = made._fig.axes[0]
    made._draw_was_started = True
    return np.asarray(ax.collections[1].get_offsets())


def test_cells_are_on_their_trajectories(adata):
    made = cf.pl.animation(adata, n_cells=90, n_frames=5, ax=Figure().add_subplot())
    paths = cf.get.trajectories(adata)[:, :, :2]
    for frame in range(5):
        found = dots(made, frame)
        expected = paths[:, frame]
        gap = np.abs(found[:, None] - expected[None]).sum(axis=2).min(axis=1)
        assert gap.max() < 1e-4
    assert "48" in made._fig.axes[0].get_title(loc="left")


def test_pictures_between_two_places_are_between_them_and_over_a_gap_at_one_of_them():
    places = np.array([[[0.0, 0.0], [2.0, 4.0], [10.0, 0.0]]])
    lines = DrawnPaths(places, np.array([0.0, 1.0, 3.0]), np.array([[True, False]]))
    at = np.array([0.0, 0.5, 1.0, 1.5, 2.5, 3.0])
    found = film_of(lines, at)
    expected = [[0, 0], [1, 2], [2, 4], [2, 4], [10, 0], [10, 0]]
    np.testing.assert_allclose(found.xy[:, 0], expected)
    # The line behind a cell never crosses the gap.
    line = trails(found, 5, 5)[0]
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    assert np.nanmax(steps, initial=0.0) < 3
    assert np.isnan(line[:4]).all()
    np.testing.assert_allclose(trails(found, 2, 5)[0], expected[:3])
    np.testing.assert_allclose(trails(found, 1, 0)[0], expected[1:2])


def test_on_an_embedding_cells_are_on_the_drawn_paths(adata):
    made = cf.pl.animation(adata, basis="umap", n_cells=9, n_frames=9, ax=Figure().add_subplot())
    umap = adata.obsm["X_umap"]
    for frame in range(9):
        found = dots(made, frame)
        assert (found >= umap.min(axis=0) - 0.5).all()
        assert (found <= umap.max(axis=0) + 0.5).all()


def test_colours_are_those_of_the_groups(adata):
    adata.uns["side_colors"] = ["#ff0000", "#0000ff"]
    ax = Figure().add_subplot()
    made = cf.pl.animation(adata, color="side", n_cells=90, n_frames=2, ax=ax)
    dots(made, 1)
    shades = ax.collections[1].get_facecolor()
    assert {tuple(s[:3]) for s in shades} == {(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)}
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["down", "up"]


def test_a_gif_has_its_pictures_and_leaves_no_figure(adata, tmp_path, frozen):
    figures = plt.get_fignums()
    adata.uns["side_colors"] = ["#ff0000", "#0000ff"]
    with frozen(adata):
        path = cf.pl.animation(
            adata, tmp_path / "cells.gif", basis="umap", color="side", n_frames=4, dpi=40
        )
    assert path == tmp_path / "cells.gif"
    with Image.open(path) as image:
        assert image.n_frames == 4
    assert list(tmp_path.iterdir()) == [path]
    assert plt.get_fignums() == figures


def fake_ffmpeg(folder):
    """A program of this name, which writes the frames that it reads into its last argument."""
    program = folder / "ffmpeg"
    program.write_text('#!/bin/sh\nfor last; do :; done\ncat > "$last"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(os.name != "posix", reason="the program is a shell script")
def test_an_mp4_needs_ffmpeg(adata, tmp_path, monkeypatch, frozen):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    figures = plt.get_fignums()
    with frozen(adata), pytest.raises(SetupError, match=r"no ffmpeg was found.*'\.gif'"):
        cf.pl.animation(adata, tmp_path / "cells.mp4")
    assert plt.get_fignums() == figures
    assert not list(tmp_path.iterdir())
    (tmp_path / "bin").mkdir()
    fake_ffmpeg(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    path = cf.pl.animation(adata, tmp_path / "cells.mp4", n_frames=2, dpi=20)
    assert path.stat().st_size > 0


BAD = {
    "another ending": ({"path": "cells.avi"}, InputError, r"ends in '\.avi'; expected one of"),
    "no folder": ({"path": "nowhere/cells.gif"}, OutputError, "nowhere"),
    "no path": ({"path": 3}, InputTypeError, "path"),
    "one picture": ({"n_frames": 1}, InputError, "n_frames=1"),
    "no speed": ({"fps": 0}, InputError, "fps=0"),
    "no cells": ({"n_cells": 0}, InputError, "n_cells=0"),
    "no basis": ({"basis": "tsne"}, MissingKeyError, "tsne"),
    "no colour": ({"color": "sides"}, MissingKeyError, "did you mean 'side'"),
}


@pytest.mark.parametrize("case", BAD)
def test_P2_what_cannot_be_animated_is_named_and_leaves_nothing(
    adata, case, tmp_path, frozen, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    how, kind, said = BAD[case]
    figures = plt.get_fignums()
    with frozen(adata), pytest.raises(kind, match=said):
        cf.pl.animation(adata, **how)
    assert plt.get_fignums() == figures
    assert not list(tmp_path.iterdir())


def test_missing_trajectories_are_named(fitted_as):
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.trajectories"):
        cf.pl.animation(fitted_as("default"))
