"""Descendants and ancestors of chosen cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.fitted_columns import require_labels
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import (
    Part,
    about_condition,
    about_extrapolation,
    grown,
    moved_cells,
)
from cellflow.adapter.selection import Selection, cell_rows
from cellflow.analysis.following import follow
from cellflow.analysis.members import spread_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, naming_cells
from cellflow.tl._times import Times, asked_times

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
    time: Times,
    condition: Condition | None = None,
    extrapolate: bool = False,
    genes: Selection | None = None,
    cluster_key: str | None = None,
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
        cells' own times. Or a list of times, whose cells come one time after another.
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
    cluster_key
        Column of `adata.obs` with labels, such as cell types: computed cells get one in the column
        of that name, by a vote of the 30 nearest labelled cells of the snapshots around their time,
        weighted by distance.
    key
        `key_added` of the fit.

    Returns
    -------
    A new AnnData, one row per chosen cell, in their order. Its fields are

    - `X`: float32, shape (n_rows, n_genes). Expression decoded from the states.
    - `obsm["X_pca"]`: float32, shape (n_rows, d). States, under the name of the representation.
    - `obsm["X_umap"]`: float64, shape (n_rows, n_umap). Places in this and in every other embedding
      `X_...` of `adata`, in its type: exact where it is an affine function of the representation,
      else around the nearest cells.
    - `obs["cf_predicted"]`: bool, shape (n_rows,). True; `cf.tl.flow` writes False for its cells.
    - `obs["hours"]`: float64, shape (n_rows,). The time, under the name and in the form of the
      column that the fit read (numbers, labels such as `"E8.75"`, durations, dates).
    - `obs["cf_predicted_time"]`: float64, shape (n_rows,). The time as a number in the unit of the
      fit.
    - `obs["cf_label_confidence"]`: float64, shape (n_rows,). With `cluster_key`: the share of the
      votes for the label in the column of that name.
    - `obs["source_cell"]`: object, shape (n_rows,). Name of the measured cell.
    - `obs["source_time"]`: float64, shape (n_rows,). Its time.
    - `obs["weight"]`: float64, shape (n_rows,). `1 / n_rows`, times the growth
      since the cell's own time where the fit has it.
    - `obsm["cf_state_se"]`: float32, shape (n_rows, d). Standard error of each state between the
      members of an ensemble (`n_members=` of `cf.tl.flow`).
    - `obs["weight_se"]`: float64, shape (n_rows,). The same of each weight.
    - `uns["cf_prediction"]`: dict. `time`; `direction`, `"push"` or `"pull"`; `extrapolated`,
      whether the time or that of a cell is outside those of the fit, and then `growth`; with a
      condition `condition` and `condition_measured`; `placed`, `gene_r2` and the rest as of
      `cf.tl.predict`, where conditions and lists of times are described, too.

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
    asked = (cells, time, condition, genes, cluster_key, key)
    return _moved(adata, "push", *asked, extrapolate=extrapolate)


@guarded
def pull(
    adata: AnnData,
    cells: Selection | None = None,
    *,
    time: Times,
    condition: Condition | None = None,
    extrapolate: bool = False,
    genes: Selection | None = None,
    cluster_key: str | None = None,
    key: str = DEFAULT,
) -> AnnData:
    """Move cells backward to a time: their ancestors.

    Parameters
    ----------
    adata, condition, extrapolate, genes, cluster_key, key
        See `cf.tl.push`.
    cells
        A mask, positions or names; by default all cells that were measured after `time`, or at it.
    time
        Target time, or several; not after the cells' own times.

    Returns
    -------
    A new AnnData as that of `cf.tl.push`. Its fields are

    - `X`: float32, shape (n_rows, n_genes). Expression decoded from the states.
    - `obsm["X_pca"]`: float32, shape (n_rows, d). States, under the name of the representation.
    - `obsm["X_umap"]`: float64, shape (n_rows, n_umap). Places in this and in every other embedding
      `X_...` of `adata`, in its type: exact where it is an affine function of the representation,
      else around the nearest cells.
    - `obs["cf_predicted"]`: bool, shape (n_rows,). True; `cf.tl.flow` writes False for its cells.
    - `obs["hours"]`: float64, shape (n_rows,). The time, under the name and in the form of the
      column that the fit read (numbers, labels such as `"E8.75"`, durations, dates).
    - `obs["cf_predicted_time"]`: float64, shape (n_rows,). The time as a number in the unit of the
      fit.
    - `obs["cf_label_confidence"]`: float64, shape (n_rows,). With `cluster_key`: the share of the
      votes for the label in the column of that name.
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
    asked = (cells, time, condition, genes, cluster_key, key)
    return _moved(adata, "pull", *asked, extrapolate=extrapolate)


def _moved(
    adata: AnnData,
    direction: Literal["push", "pull"],
    cells: Selection | None,
    time: Times,
    condition: Condition | None,
    genes: Selection | None,
    cluster_key: str | None,
    key: str,
    *,
    extrapolate: bool,
) -> AnnData:
    fitted = read_fitted(adata, key)
    asked_at, several = asked_times(fitted, time)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    require_labels(adata, fitted, cluster_key)
    chosen = [_rows(adata, fitted, cells, float(at), direction) for at in asked_at]
    times = np.append(fitted.starts[np.concatenate(chosen)], asked_at)
    fitted.observed.require_reached(times, extrapolate=extrapolate)
    asked.require_room(sum(map(len, chosen)))
    features = None if condition is None else fitted.asked(condition)
    about: dict[str, Any] = {"direction": direction} | about_condition(fitted, features)
    parts = [
        _part(fitted, float(at), rows, fitted.features(condition, rows))
        for at, rows in zip(asked_at, chosen, strict=True)
    ]
    moved = moved_cells(
        adata, fitted, asked, parts, about, several=several, cluster_key=cluster_key
    )
    fitted.observed.warn(times, grown(parts))
    return moved


def _part(fitted: Fitted, at: float, rows: IntArray, context: FloatArray | None) -> Part:
    """Some cells, moved to a time."""
    starts = fitted.starts[rows]

    def reached(flow: FittedDynamics) -> FloatArray:
        """States and weights at the target time, side by side."""
        moved = follow(flow, fitted.x[rows], starts, np.array([at]), context=context)
        weight = moved.weights(np.full(len(rows), 1.0 / len(rows)))[0]
        return np.column_stack([moved.x[0], weight])

    with naming_cells(fitted.names[rows]):
        found = reached(fitted.flow)
        sure = spread_of(fitted.flow, reached)
    x = found[:, :-1]
    about = {"time": at} | about_extrapolation(fitted.observed, np.append(starts, at), x, fitted.x)
    obs = {"weight": found[:, -1]}
    return Part(np.full(len(x), at), x, obs, about, rows, context, sure)


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
