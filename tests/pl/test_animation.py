"""Cells along their trajectories: where they are in each picture, and the file."""

import os
import stat

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

import cellflow as cf
from cellflow.adapter.components import Plane
from cellflow.errors import InputError, InputTypeError, MissingKeyError, OutputError, SetupError
from cellflow.pl._film import _trails, film_of


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


def test_pictures_between_two_states_are_between_them():
    states = np.array([[[0.0, 0.0], [2.0, 4.0], [2.0, 0.0]]])
    found = film_of(
        states, np.array([0.0, 1.0, 3.0]), np.array([0.0, 0.5, 2.0, 3.0]), None,
        Plane((0, 1), ("a", "b")),
    )  # fmt: skip
    np.testing.assert_allclose(found.xy[:, 0], [[0, 0], [1, 2], [2, 2], [2, 0]])


def test_a_state_between_two_lobes_is_drawn_at_a_cell():
    rng = np.random.default_rng(0)
    x = np.linspace(0.0, 1.0, 200)[:, None]
    lobes = np.where(x < 0.5, 0.0, 10.0) * [1.0, 0.0] + 0.02 * rng.normal(size=(200, 2))
    states = np.linspace(0.0, 1.0, 50)[None, :, None]
    times = np.arange(50.0)
    found = film_of(states, times, times, (x, lobes), Plane((0, 1), ("a", "b"))).xy[:, 0]
    nearest = np.linalg.norm(found[:, None] - lobes[None], axis=2).min(axis=1)
    assert nearest.max() < 0.25
    # The line behind a cell breaks where it jumps from one lobe to the other.
    line = _trails(found[:, None], 1.0)[0]
    assert np.isfinite(line[-1]).all()
    assert np.nanmax(np.linalg.norm(np.diff(line, axis=0), axis=1)) < 1.0


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
