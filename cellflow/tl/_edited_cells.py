"""The cells that genes are edited in, and the fates that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.adapter.genes import gene_values, seen_genes
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.adapter.units import Time
from cellflow.analysis.genes.response import Kind
from cellflow.analysis.genes.seen import Seen
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning
from cellflow.tl._edits import Wanted
from cellflow.tl._fate_question import FateQuestion, fate_question
from cellflow.tl._fate_targets import read_targets

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.genes.edit import Edit

__all__ = [
    "edit_of",
    "edited_cells",
    "floors",
    "places",
    "question_until",
    "refined",
    "require_score",
    "seen_among",
    "warn_of_centred",
]

#: Genes whose measured expression is read together.
_GENES = 256


def question_until(adata: AnnData, fitted: Fitted, until: Time | None) -> FateQuestion:
    """The question of `cf.tl.fates`, perhaps with an earlier or later end.

    Raises
    ------
    MissingKeyError
        No fates of this fit.
    InputError
        A time at which no labelled cell was measured.
    """
    question = fate_question(adata, fitted)
    if until is None:
        return question
    end = fitted.time(until, "until")
    cells = question.cells
    known = np.unique(cells.measured[question.targets.labelled & ~np.isnan(cells.measured)])
    if end not in known:
        msg = (
            f"until={shown(until)}: no cell with a label was measured at time {end:g}. Expected"
            f" one of {known.tolist()}, or None for the end of cf.tl.fates,"
            f" {question.targets.at:g}."
        )
        raise InputError(msg)
    names = question.targets.names
    absorb = {names[k]: times for k, times in question.targets.absorb.items()}
    groupby = str(question.stored.about["groupby"])
    targets = read_targets(adata, fitted, groupby, end, list(absorb) or None, backward=False)
    at = {targets.names.index(name): times for name, times in absorb.items()}
    return replace(question, targets=replace(targets, absorb=at))


def edited_cells(
    adata: AnnData,
    fitted: Fitted,
    question: FateQuestion,
    cells: Selection | None,
    time: Time | None,
    most: int,
) -> IntArray:
    """Rows of the cells that are edited, increasing: of one time, before the end.

    Parameters
    ----------
    adata, fitted, question
        The cells, the fit and the fates.
    cells
        Which; all of the time by default.
    time
        Theirs; that of `cells`, or the first time of all, by default.
    most
        So many at most; which are taken does not depend on the order of the cells.

    Raises
    ------
    InputError
        Cells without a time, of several times, or of another time; a time at which no cell was
        measured; a time at or after the end; cells without any weight.
    """
    measured = fitted.cells.time
    known = np.unique(measured[~np.isnan(measured)])
    rows = np.arange(adata.n_obs) if cells is None else np.unique(cell_rows(adata, cells))
    at = float(known[0]) if time is None else fitted.time(time)
    if time is not None and at not in known:
        msg = (
            f"time={shown(time)}: no cell was measured at time {at:g}. Expected one of"
            f" {known.tolist()}."
        )
        raise InputError(msg)
    if cells is None:
        rows = rows[measured == at]
    else:
        at = _time_of(adata, measured[rows], rows, None if time is None else at)
    end = question.targets.at
    if at >= end:
        msg = (
            f"Cells of time {at:g} are at or after the end of the fates, {end:g}. Expected earlier"
            f" cells: pass time= one of {known[known < end].tolist()}, or another until=."
        )
        raise InputError(msg)
    if not question.cells.weight[rows].sum() > 0:
        msg = "All of these cells have the weight 0. Expected cells that the fit counts."
        raise InputError(msg)
    return question.cells.some(rows[question.cells.weight[rows] > 0], most)


def _time_of(adata: AnnData, times: FloatArray, rows: IntArray, at: float | None) -> float:
    """The time that all of some cells were measured at."""
    untimed = np.flatnonzero(np.isnan(times))
    if len(untimed):
        msg = (
            f"Cell {str(adata.obs_names[rows[untimed[0]]])!r} has no time, {len(untimed)} in all."
            " Expected cells that were measured at a time: leave these out of cells=."
        )
        raise InputError(msg)
    at = float(times[0]) if at is None else at
    other = np.flatnonzero(times != at)
    if len(other):
        first = str(adata.obs_names[rows[other[0]]])
        msg = (
            f"Cell {first!r} is of time {times[other[0]]:g}, not {at:g}; {len(other)} of"
            f" {len(rows)} cells are of another time. Expected cells of one time, because genes"
            " vary together as they do among the cells of that time: choose them by time=."
        )
        raise InputError(msg)
    return at


def seen_among(
    adata: AnnData, fitted: Fitted, question: FateQuestion, time: float, kind: Kind
) -> Seen:
    """All genes that can be decoded, among the cells of one time.

    Raises
    ------
    InputError
        No gene that can be decoded, or fewer than two cells of that time.
    """
    genes = seen_genes(adata, fitted)
    full = fitted.flow.decoder
    assert genes.decoder is not None, "genes were found"
    assert full is not None, "genes were found"
    rows = np.flatnonzero((fitted.cells.time == time) & (question.cells.weight > 0))
    weight = question.cells.weight[rows]
    return Seen.among(genes.decoder, full.loadings, fitted.x[rows], weight, kind)


def places(adata: AnnData, seen: Seen, columns: IntArray) -> IntArray:
    """Numbers of some columns among the genes that can be decoded."""
    place = {str(gene): k for k, gene in enumerate(seen.decoder.genes)}
    return np.array([place[str(adata.var_names[c])] for c in columns], dtype=np.int64)


def floors(adata: AnnData, fitted: Fitted, columns: IntArray) -> FloatArray:
    """Least expression that genes can have, `(g,)`: 0, or none where some cell has less."""
    least = [
        gene_values(adata, fitted, columns[start : start + _GENES]).min(axis=0)
        for start in range(0, len(columns), _GENES)
    ]
    return np.where(np.concatenate(least) >= 0, 0.0, -np.inf)


def edit_of(
    adata: AnnData,
    fitted: Fitted,
    seen: Seen,
    genes: IntArray,
    wanted: Mapping[str, Wanted],
    columns: IntArray,
    x: FloatArray,
) -> Edit:
    """Values of the edited genes in cells `(n, d)`.

    Raises
    ------
    InputError
        A value that the gene cannot have, or a shift of one that does not vary.

    Warns
    -----
    InputWarning
        The value 0 where expression is centred.
    """
    floor = floors(adata, fitted, columns)
    chosen = seen.only(genes)
    decoded = chosen.decoded(x)
    values = np.empty(decoded.shape)
    for k, (gene, value) in enumerate(wanted.items()):
        if value.level is not None and value.level < floor[k]:
            msg = (
                f"edits[{gene!r}]={value.level:g}: expression of {gene!r} is never below zero in"
                " the layer of the fit. Expected a value of at least 0."
            )
            raise InputError(msg)
        if value.shift is not None and not chosen.varies[k]:
            msg = (
                f"edits[{gene!r}]={str(value)!r}: {gene!r} does not vary among the cells of that"
                " time, so that a shift in standard deviations is none. Expected a number."
            )
            raise InputError(msg)
        if value.level == 0.0:
            warn_of_centred([gene], floor[[k]])
        values[:, [k]] = value.of(decoded[:, [k]], chosen.sd[[k]], floor[[k]])
    return chosen.edit(values)


def warn_of_centred(genes: Sequence[str], floor: FloatArray) -> None:
    """Warn of genes that get the value 0, where 0 is not absence."""
    centred = [gene for gene, least in zip(genes, floor.tolist(), strict=True) if least < 0]
    if centred:
        msg = (
            f"{len(centred)} genes (first: {centred[0]!r}) get the expression 0.0, and some cell is"
            " measured below that: in centred or scaled expression, 0 is the mean, not absence."
            " Expected a layer in which 0 is absence (layer= of cf.tl.flow), or another value."
        )
        warn(msg, InputWarning)


def require_score(fitted: Fitted) -> None:
    """Require a score that edited cells can be moved back by.

    Raises
    ------
    InputError
        No score, or one of several conditions.
    """
    if "score" not in fitted.flow.heads:
        raise fitted.flow.without_score()
    if fitted.cells.conditions is not None:
        msg = (
            "refine=True of a fit with conditions: one score is that of one condition. Expected"
            " refine=False, or a fit without conditions."
        )
        raise InputError(msg)


def refined(fitted: Fitted, edit: Edit, x: FloatArray, time: float) -> FloatArray:
    """Edited cells that are moved back to where cells live, and have their values again."""
    from cellflow.analysis.refinement import noise_carried
    from cellflow.analysis.refinement import refine as moved_back

    edited = edit.applied(x)
    noise = noise_carried(fitted.flow, edited, time, fitted.cells.snapshots())
    return edit.applied(moved_back(fitted.flow, edited, time, noise=noise))
