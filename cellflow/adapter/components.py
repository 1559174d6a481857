"""Which columns of an embedding a picture shows, and what its axes are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.adapter.bases import basis_of
from cellflow.core._numbers import is_integer
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = ["Components", "Plane", "axis_name", "first_column", "plane_of"]

#: Components to draw: `"1,2"` or `(1, 2)`, counted from one as scanpy does.
Components = str | Sequence[int] | None

_NAMES = {
    "diffmap": "DC",
    "pca": "PC",
    "phate": "PHATE",
    "trimap": "TriMap",
    "tsne": "tSNE",
    "umap": "UMAP",
}


@dataclass(frozen=True)
class Plane:
    """The columns that a picture shows.

    Parameters
    ----------
    columns
        One or two columns; one is drawn on a line.
    axes
        What the two axes are called.
    """

    columns: tuple[int, ...]
    axes: tuple[str, str]

    def of(self, x: FloatArray) -> FloatArray:
        """Coordinates in the picture, `(..., 2)`, of positions in all columns, `(..., d)`."""
        shown = x[..., list(self.columns)]
        if shown.shape[-1] == 2:
            return shown
        return np.concatenate([shown, np.zeros_like(shown)], axis=-1)


def first_column(basis: str) -> int:
    """Column of component 1.

    Column 0 of a diffusion map is its stationary state, which says nothing about where a cell is;
    scanpy counts from the column after it.
    """
    return 1 if basis_of(basis).casefold().startswith("diffmap") else 0


def plane_of(basis: str, width: int, components: Components = None) -> Plane:
    """Find the columns of an embedding to draw, the first two components by default.

    Raises
    ------
    InputError
        Components that are no two of those there are, or an embedding without any.
    """
    first = first_column(basis)
    known = width - first
    if known < 1:
        msg = (
            f"The embedding {basis!r} has {width} columns, and column 0 of a diffusion map is its"
            " stationary state, no component. Expected at least two columns: compute it again with"
            " sc.tl.diffmap(adata)."
        )
        raise InputError(msg)
    chosen = list(range(1, min(known, 2) + 1)) if components is None else _numbers(components)
    if chosen is None or (components is not None and (len(set(chosen)) != 2 or len(chosen) != 2)):
        msg = (
            f"components={components!r}; expected two numbers, such as '1,2' or (1, 2), counted"
            " from 1 as scanpy does."
        )
        raise InputError(msg)
    outside = [c for c in chosen if not 1 <= c <= known]
    if outside:
        note = " (column 0 of a diffusion map is its stationary state, and no component)"
        zero = note if first else ""
        msg = (
            f"components={components!r}: {outside[0]} is not there. Expected two of the components"
            f" 1 to {known} of {basis!r}{zero}, counted from 1 as scanpy does."
        )
        raise InputError(msg)
    name = axis_name(basis)
    axes = [f"{name}{c}" for c in chosen]
    return Plane(tuple(c - 1 + first for c in chosen), (axes[0], axes[1] if len(axes) > 1 else ""))


def _numbers(components: object) -> list[int] | None:
    """Components as whole numbers; None for anything else."""
    if isinstance(components, np.ndarray):
        components = components.tolist()
    if isinstance(components, str):
        parts: list[object] = list(components.split(","))
    elif isinstance(components, list | tuple):
        parts = [
            p
            for entry in components
            for p in (entry.split(",") if isinstance(entry, str) else [entry])
        ]
    else:
        return None
    numbers = []
    for part in parts:
        text = part.strip() if isinstance(part, str) else str(part)
        if not (is_integer(part) or isinstance(part, str)) or not text.isdecimal():
            return None
        numbers.append(int(text))
    return numbers


def axis_name(basis: str) -> str:
    """What scanpy calls the axes of an embedding."""
    name = basis_of(basis)
    if name.casefold().startswith("draw_graph_"):
        return name[len("draw_graph_") :].upper()
    return _NAMES.get(name.casefold(), name)
