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
