"""Descendants and ancestors of chosen cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import moved_cells
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.adapter.times import Time
from cellflow.analysis.following import follow
from cellflow.analysis.observed import growth
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.errors import InputError, naming_cells

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.conditions import Condition

__all__ = ["pull", "push"]


@guarded
def push(
    adata: AnnData,
    cells: Selection | None = None,
    *,
    time: Time,
    condition: Condition | None = None,
    extrapolate: bool = False,
    genes: Selection | None = None,
    key: str = DEFAULT,
) -> AnnData:
    """Move cells forward to a time: their descendants.

    Parameters
    ----------
    adata
        With a fit.
    cells
        A mask, positions or names; by default all cells that were measured before `time`, or at it.
    time
        Where to: a number in the unit of the fit, or a label such as `"day 3"`; not before the
        cells' own times.
    condition
        Of a fit with conditions: move the cells as if they were of this one, a value for each
        column of `condition_key`. By default each moves in its own.
    extrapolate
        Move cells to any time. By default at most one mean interval between snapshots beyond the
        times of the fit: farther out, the fitted field is arbitrary, and the states that it reaches
        grow without bound.
    genes
        Genes to decode: names, positions or a mask, returned in their order; all by default, none
        with `[]`.
    key
        Where the fit is.

    Returns
    -------
    A new AnnData with one row per given cell, in their order: expression decoded to genes in `X`, how well each can be
    decoded in `var` (`cf_gene_r2` and `velocity_genes`, see `cf.tl.velocity`), states in `obsm`,
    `obs["source_cell", "source_time", "weight"]`, and `uns["cf_prediction"]` with the time and whether it, or a cell's own
    time, is outside those of the fit (`extrapolated`); if so, the `growth`, see `cf.tl.predict`.

    Raises
    ------
    InputError
        No fit, no such cells, cells that were measured later than `time`, or a time more than one
        mean interval outside those of the fit without `extrapolate`.
    IntegrationError
        A state that stops being finite.

    Warns
    -----
    IntegrationWarning
        A time outside the observed ones.
    """
    check_arguments(push, locals())
    return _moved(adata, cells, time, condition, genes, key, "push", extrapolate=extrapolate)


@guarded
def pull(
    adata: AnnData,
    cells: Selection | None = None,
    *,
    time: Time,
    condition: Condition | None = None,
    extrapolate: bool = False,
    genes: Selection | None = None,
    key: str = DEFAULT,
) -> AnnData:
    """Move cells backward to a time: their ancestors; see `push`, with before and after exchanged."""
    check_arguments(pull, locals())
    return _moved(adata, cells, time, condition, genes, key, "pull", extrapolate=extrapolate)


def _moved(
    adata: AnnData,
    cells: Selection | None,
    time: Time,
    condition: Condition | None,
    genes: Selection | None,
    key: str,
    direction: Literal["push", "pull"],
    *,
    extrapolate: bool,
) -> AnnData:
    fitted = read_fitted(adata, key)
    at = fitted.time(time)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    starts = fitted.starts
    wrong = starts > at if direction == "push" else starts < at
    rows = np.flatnonzero(~wrong) if cells is None else cell_rows(adata, cells)
    if cells is not None and len(rows) == 0:
        msg = (
            f"cells={shown(cells)} chooses no cell; pass at least one, or None for all that can be"
            " moved."
        )
        raise InputError(msg)
    if len(rows) == 0 or wrong[rows].any():
        side, other = ("after", "pull") if direction == "push" else ("before", "push")
        first = rows[wrong[rows]][0] if len(rows) else None
        found = (
            "Every cell is"
            if first is None
            else f"Cell {adata.obs_names[first]!r} is of time {starts[first]:g},"
        )
        msg = (
            f"{found} {side} time={at:g}. Expected cells on the other side of it: choose others, or"
            f" use cf.tl.{other}."
        )
        raise InputError(msg)
    times = np.append(starts[rows], at)
    fitted.observed.require_reached(times, extrapolate=extrapolate)
    asked.require_room(len(rows))
    context = fitted.features(condition, rows)
    with naming_cells(adata.obs_names[rows]):
        reached = follow(fitted.flow, fitted.x[rows], starts[rows], np.array([at]), context=context)
    x = reached.x[0]
    obs = {"weight": reached.weights(np.full(len(rows), 1.0 / len(rows)))[0]}
    extrapolated = len(fitted.observed.outside(times)) > 0
    grown = growth(x, fitted.x) if extrapolated else None
    provenance: dict[str, Any] = {"time": at, "direction": direction, "extrapolated": extrapolated}
    provenance |= {} if grown is None else {"growth": grown}
    if condition is not None and context is not None:
        provenance |= {
            "condition": fitted.values(context[0]),
            "condition_measured": fitted.measured(context[0]),
        }
    moved = moved_cells(adata, fitted, asked, x, rows, obs, provenance)
    fitted.observed.warn(times, grown)
    return moved
