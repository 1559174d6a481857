"""Descendants and ancestors of chosen cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import about_condition, about_extrapolation, moved_cells
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.adapter.units import Time
from cellflow.analysis.following import follow
from cellflow.analysis.members import spread_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, naming_cells

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.conditions import Condition
    from cellflow.model.base import FittedDynamics

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
        Cells with a fit; it is not changed.
    cells
        A mask, positions or names; by default all cells that were measured before `time`, or at it.
    time
        Target time: a number in the unit of the fit, or a label such as `"day 3"`; not before the
        cells' own times.
    condition
        For a fit with conditions: move the cells as if they were of this one, a value for each
        column of `condition_key`. By default each cell keeps its own.
    extrapolate
        Allow any time. By default it may lie at most one mean interval between snapshots outside
        the times of the fit: farther out the fitted field is arbitrary, and states may grow without
        bound.
    genes
        Genes to decode: names, positions or a mask; the result has them in this order. All by
        default or with `"all"`, none with `[]`.
    key
        `key_added` of the fit.

    Returns
    -------
    A new AnnData, one row per chosen cell, in their order. Its fields are

    - `X`: float32, shape (n_rows, n_genes). Expression decoded from the states.
    - `var["cf_gene_r2"]`: float64, shape (n_genes,). Held-out R2 of each gene; see `cf.tl.flow`.
    - `var["velocity_genes"]`: bool, shape (n_genes,). Whether that is at least 0.1.
    - `obsm["X_pca"]`: float32, shape (n_rows, d). States, under the name of the representation.
    - `obs["source_cell"]`: object, shape (n_rows,). Name of the measured cell.
    - `obs["source_time"]`: float64, shape (n_rows,). Its time.
    - `obs["weight"]`: float64, shape (n_rows,). `1 / n_rows`, times the growth
      since the cell's own time where the fit has it.
    - `obsm["cf_state_se"]`: float32, shape (n_rows, d). Standard error of each state between the
      members of an ensemble (`n_members=` of `cf.tl.flow`).
    - `obs["weight_se"]`: float64, shape (n_rows,). The same of each weight.
    - `uns["cf_prediction"]`: dict. `time`; `direction`, `"push"` or `"pull"`; `extrapolated`,
      whether the time or that of a cell is outside those of the fit, and then `growth`; with a
      condition `condition` and `condition_measured`; see `cf.tl.predict`. The fit's `key`,
      `time_unit` and `use_rep`, and `cellflow_version`.

    Raises
    ------
    InputError
        No fit, no such cells, cells that were measured later than `time`, or a time more than one
        mean interval outside those of the fit without `extrapolate`.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    IntegrationWarning
        A time outside the observed ones.

    See Also
    --------
    cellflow.tl.pull, cellflow.tl.simulate

    References
    ----------
    Chen et al., Neural ordinary differential equations, NeurIPS 2018.

    Examples
    --------
    >>> cells = adata.obs["hours"] == 0
    >>> later = cf.tl.push(adata, cells, time="day 2")
    >>> later.n_obs
    40
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
    """Move cells backward to a time: their ancestors.

    Parameters
    ----------
    adata, condition, extrapolate, genes, key
        See `cf.tl.push`.
    cells
        A mask, positions or names; by default all cells that were measured after `time`, or at it.
    time
        Target time, not after the cells' own times.

    Returns
    -------
    A new AnnData as that of `cf.tl.push`. Its fields are

    - `X`: float32, shape (n_rows, n_genes). Expression decoded from the states.
    - `var["cf_gene_r2"]`: float64, shape (n_genes,). Held-out R2 of each gene.
    - `var["velocity_genes"]`: bool, shape (n_genes,). Whether that is at least 0.1.
    - `obsm["X_pca"]`: float32, shape (n_rows, d). States, under the name of the representation.
    - `obs["source_cell"]`: object, shape (n_rows,). Name of the measured cell.
    - `obs["source_time"]`: float64, shape (n_rows,). Its time.
    - `obs["weight"]`: float64, shape (n_rows,). `1 / n_rows`, times the growth
      since the cell's own time where the fit has it.
    - `obsm["cf_state_se"]`: float32, shape (n_rows, d). Standard error of each state, by an
      ensemble.
    - `obs["weight_se"]`: float64, shape (n_rows,). The same of each weight.
    - `uns["cf_prediction"]`: dict. As of `cf.tl.push`.

    Raises
    ------
    InputError
        As `cf.tl.push`; cells that were measured before `time`.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    IntegrationWarning
        A time outside the observed ones.

    References
    ----------
    As of `cf.tl.push`.

    Examples
    --------
    >>> earlier = cf.tl.pull(adata, ["T72_CT_A01"], time=0)
    >>> earlier.n_obs
    1
    """
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
    rows = _rows(adata, fitted, cells, at, direction)
    starts = fitted.starts[rows]
    times = np.append(starts, at)
    fitted.observed.require_reached(times, extrapolate=extrapolate)
    asked.require_room(len(rows))
    context = fitted.features(condition, rows)

    def reached(flow: FittedDynamics) -> FloatArray:
        """States and weights at the target time, side by side."""
        moved = follow(flow, fitted.x[rows], starts, np.array([at]), context=context)
        weight = moved.weights(np.full(len(rows), 1.0 / len(rows)))[0]
        return np.column_stack([moved.x[0], weight])

    with naming_cells(adata.obs_names[rows]):
        found = reached(fitted.flow)
        sure = spread_of(fitted.flow, reached)
    x = found[:, :-1]
    about: dict[str, Any] = {"time": at, "direction": direction}
    about |= about_extrapolation(fitted.observed, times, x, fitted.x)
    if condition is not None and context is not None:
        about |= about_condition(fitted, context[0])
    obs = {"weight": found[:, -1]}
    moved = moved_cells(adata, fitted, asked, x, rows, obs, about, sure=sure)
    fitted.observed.warn(times, about.get("growth"))
    return moved


def _rows(
    adata: AnnData,
    fitted: Fitted,
    cells: Selection | None,
    time: float,
    direction: Literal["push", "pull"],
) -> IntArray:
    """Rows of the cells to move, all of which are on the right side of the target time."""
    starts = fitted.starts
    wrong = starts > time if direction == "push" else starts < time
    rows = np.flatnonzero(~wrong) if cells is None else cell_rows(adata, cells)
    if len(rows) == 0 or wrong[rows].any():
        side, other = ("after", "pull") if direction == "push" else ("before", "push")
        first = rows[wrong[rows]][0] if len(rows) else None
        found = (
            "Every cell is"
            if first is None
            else f"Cell {adata.obs_names[first]!r} is of time {starts[first]:g},"
        )
        msg = (
            f"{found} {side} time={time:g}. Expected cells on the other side of it: choose others,"
            f" or use cf.tl.{other}."
        )
        raise InputError(msg)
    return rows
