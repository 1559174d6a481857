"""Panels of one figure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING

from cellflow.errors import InputError
from cellflow.pl._axes import canvas
from cellflow.pl._layout import arrange, new_maps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["panels", "require_one", "sized_panels"]


def require_one(ax: Axes | None, n: int, what: str) -> None:
    """Make sure that a given Axes is for one panel.

    Raises
    ------
    InputError
        It is for several; `what` says what there is one panel of, as in `"fates"`.
    """
    if ax is not None and n > 1:
        msg = f"ax= is one Axes, but {n} {what} have a panel each. Expected one of them, or no ax=."
        raise InputError(msg)


@contextmanager
def panels(
    ax: Axes | None,
    n: int,
    *,
    width: float,
    height: float,
    columns: int = 4,
    sharex: bool = False,
    sharey: bool = False,
) -> Iterator[list[Axes]]:
    """Give `ax`, or the `n` Axes of a new figure in rows of `columns`.

    Parameters
    ----------
    ax
        For one panel; see `require_one`.
    n
        Number of panels, at least one.
    width, height
        Of each of them, in inches.
    columns
        In a row, at most.
    sharex, sharey
        Whether panels have the same limits.
    """
    if n == 1:
        with canvas(ax, width=width, height=height) as one:
            yield [one]
        return
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    n_columns = min(n, columns)
    n_rows = ceil(n / n_columns)
    engine = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.08)
    figure, grid = plt.subplots(
        n_rows,
        n_columns,
        figsize=(width * n_columns, height * n_rows),
        layout=engine,
        squeeze=False,
        sharex=sharex,
        sharey=sharey,
    )
    try:
        every = list(grid.flat)
        for unused in every[n:]:
            unused.remove()
        yield every[:n]
    except BaseException:
        plt.close(figure)
        raise


@contextmanager
def sized_panels(
    ax: Axes | None, n: int, *, width: float, height: float, columns: int = 4
) -> Iterator[list[Axes]]:
    """Give `ax`, or `n` Axes of a new figure, each `width` times `height` inches without labels.

    The figure becomes as large as labels and legends need. It is closed if drawing fails.

    Parameters
    ----------
    ax
        For one panel; see `require_one`.
    n
        Number of panels, at least one.
    width, height
        Of each of them, in inches.
    columns
        In a row, at most.
    """
    if ax is not None:
        with canvas(ax) as given:
            yield [given]
        return
    from matplotlib import pyplot as plt

    figure = plt.figure(layout="none")
    try:
        across = min(n, columns)
        made = new_maps(n, across, width, height, figure=figure)
        yield made
        arrange(made, across, width, height)
    except BaseException:
        plt.close(figure)
        raise
