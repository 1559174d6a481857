"""The cells in which drivers of a fate are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.adapter.stored_fates import column_again
from cellflow.adapter.units import Time
from cellflow.analysis.fates.cells import FateCells
from cellflow.core._numbers import shown
from cellflow.core._typing import BoolArray, FloatArray, IntArray
from cellflow.errors import InputError
from cellflow.tl._fate_question import FateQuestion
from cellflow.tl._fate_targets import UNDECIDED

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.genes.drivers import DriverQuestion

__all__ = ["Window", "read_window"]

#: Cells of a time, at least.
_LEAST = 20
#: Share of a cell's mass that is undecided, above which it is left out.
_UNDECIDED = 0.5
#: A time until commitment below this share of the mean interval is none.
_COMMITTED = 1e-6


@dataclass(frozen=True, eq=False)
class Window:
    """Cells of a window.

    Parameters
    ----------
    question
        The fate and the cells.
    times
        Of the cells, shape `(T,)`.
    n_cells
        Number of cells at each, shape `(T,)`.
    asked
        Whether the window was given, and not chosen by commitment.
    """

    question: DriverQuestion
    times: FloatArray
    n_cells: IntArray
    asked: bool


def read_window(
    adata: AnnData,
    fitted: Fitted,
    asked: FateQuestion,
    fate: str,
    window: tuple[Time, Time] | None,
) -> Window:
    """Choose cells before the end, and read their probabilities of a fate.

    Raises
    ------
    InputError
        No such fate, one that no cell reaches, or no other; a window outside of the times before
        the end, or without enough cells.
    """
    from cellflow.analysis.genes.drivers import DriverQuestion

    column = asked.number(fate)
    if len(asked.targets.names) < 2:
        msg = (
            f"fate={fate!r} is the only fate of cf.tl.fates. Expected at least two, between which"
            " cells decide: label more cells of the end, or pass at= an earlier one."
        )
        raise InputError(msg)
    probability, lost, degrees = _probabilities(adata, fitted, asked, column)
    cells = asked.cells
    before = (asked.targets.ahead(cells.start) > 0) & ~np.isnan(cells.measured)
    known = before & (cells.weight > 0) & (lost <= _UNDECIDED)
    if window is None:
        kept = known & _uncommitted(adata, fitted)
    else:
        kept = known & _inside(fitted, cells, before, window)
    times, counts = np.unique(cells.start[kept], return_counts=True)
    enough = counts >= _LEAST
    rows: IntArray = np.flatnonzero(kept & np.isin(cells.start, times[enough]))
    _require_cells(cells, rows, window, times, counts, known)
    _require_choice(fate, probability[rows, 0])
    question = DriverQuestion(
        fitted.flow,
        cells,
        asked.targets,
        column,
        probability,
        rows,
        sample=fitted.cells.sample,
        degrees=degrees,
    )
    _require_strata(question)
    return Window(question, times[enough], counts[enough], window is not None)


def _probabilities(
    adata: AnnData, fitted: Fitted, asked: FateQuestion, column: int
) -> tuple[FloatArray, FloatArray, float]:
    """Probabilities of a fate among all fates, `(n, 1 + k)`; the undecided share; degrees."""
    names = asked.stored.names
    parts = [asked.stored.probability]
    k = int(asked.stored.about.get("n_members", 1))
    if k > 1:
        keys = fitted.keys
        again = f"cf.tl.fates(adata, ...{keys.argument})"
        found = column_again(adata, "obsm", keys.members("fates"), again)
        if found.shape != (adata.n_obs, k * len(names)):
            msg = (
                f"adata.obsm[{keys.members('fates')!r}] has shape {found.shape}; expected"
                f" {(adata.n_obs, k * len(names))}. Compute it again: {again}."
            )
            raise InputError(msg)
        parts += list(found.reshape(adata.n_obs, k, len(names)).swapaxes(0, 1))
    each = []
    for part in parts:
        decided = 1.0 - (part[:, -1] if names[-1] == UNDECIDED else 0.0)
        decided = np.broadcast_to(decided, len(part))
        share = np.divide(part[:, column], decided, out=np.zeros(len(part)), where=decided > 0)
        each.append(np.clip(share, 0.0, 1.0))
    lost = parts[0][:, -1] if names[-1] == UNDECIDED else np.zeros(adata.n_obs)
    return np.stack(each, axis=1), lost, float(asked.stored.about.get("degrees", 0.0))


def _uncommitted(adata: AnnData, fitted: Fitted) -> BoolArray:
    """Cells whose commitment lies ahead."""
    again = f"cf.tl.fates(adata, ...{fitted.keys.argument})"
    until = column_again(adata, "obs", fitted.keys.commitment_time, again)
    return np.asarray(np.isnan(until) | (until > _COMMITTED * fitted.flow.clock.unit))


def _inside(
    fitted: Fitted, cells: FateCells, before: BoolArray, window: tuple[Time, Time]
) -> BoolArray:
    """Cells of the times of a window."""
    if isinstance(window, str) or not hasattr(window, "__len__") or len(window) != 2:
        msg = f"window={shown(window)}; expected its first and last time, such as (0, 2)."
        raise InputError(msg)
    first, last = (fitted.time(value, "window") for value in window)
    inside = (cells.start >= first) & (cells.start <= last)
    if first > last or not (inside & before).any():
        known = np.unique(cells.start[before]).tolist()
        msg = (
            f"window={shown(window)} has no cells before the end. Expected the first and the last"
            f" of some of the times {known}."
        )
        raise InputError(msg)
    return np.asarray(inside)


def _require_cells(
    cells: FateCells,
    rows: IntArray,
    window: tuple[Time, Time] | None,
    times: FloatArray,
    counts: IntArray,
    known: BoolArray,
) -> None:
    if len(rows):
        return
    found = {f"{time:g}": int(n) for time, n in zip(times, counts, strict=True)}
    if window is not None:
        msg = (
            f"window={shown(window)}: no time has {_LEAST} cells with a fate, numbers by time:"
            f" {found}. Expected a window with more cells."
        )
        raise InputError(msg)
    every = np.unique(cells.start[known]).tolist()
    msg = (
        f"No time has {_LEAST} cells whose commitment to a fate lies ahead, numbers by time:"
        f" {found}. Cells are committed where they are first seen; pass window=(first, last), some"
        f" of the times {every}, to compare them anyway."
    )
    raise InputError(msg)


def _require_strata(question: DriverQuestion) -> None:
    """Require cells that can be compared within a time, a condition and a sample."""
    if question.strata():
        return
    within = ["time"]
    within += ["condition"] * (question.cells.context is not None)
    within += ["sample"] * (question.sample is not None)
    msg = (
        f"No five cells of the window are of one {' and '.join(within)}, within which they are"
        " compared. Expected more cells: pass another window=, or fit without sample_key= or"
        " condition_key=."
    )
    raise InputError(msg)


def _require_choice(fate: str, probability: FloatArray) -> None:
    """Require cells that differ in their probability."""
    if np.ptp(probability) > 0:
        return
    msg = (
        f"fate={fate!r}: all cells of the window have the same probability of it,"
        f" {probability[0]:.2g}. Expected cells that differ: pass another window=."
    )
    raise InputError(msg)
