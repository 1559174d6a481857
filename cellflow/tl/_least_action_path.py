"""The path of least action between two states."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.store import amended, plain
from cellflow.adapter.units import Time
from cellflow.adapter.write import target_of, write
from cellflow.analysis.members import degrees_of
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number
from cellflow.core._settings import guarded
from cellflow.core._spread import spread
from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.errors import InputError, IntegrationWarning
from cellflow.tl._path_ends import End, end_of
from cellflow.tl._width import width_of

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.landscape.action import Asked, Found
    from cellflow.core.conditions import Condition
    from cellflow.model.flow import Flow

__all__ = ["least_action_path"]

logger = logging.getLogger("cellflow")

#: Entry of the fit's record.
_ENTRY = "least_action"
#: Steps of a path; the optimiser keeps a matrix of their square.
_MOST_STEPS = 1000


@dataclass(frozen=True, eq=False)
class _Ends:
    """Both ends of a path, and whether the time of arrival is to be found."""

    source: End
    target: End
    best_end: bool


@guarded
def least_action_path(
    adata: AnnData,
    source: str | int | Sequence[float] | FloatArray,
    target: str | int | Sequence[float] | FloatArray,
    *,
    groupby: str | None = None,
    time: Time | None = None,
    until: Time | Literal["optimal"] | None = None,
    condition: Condition | None = None,
    n_steps: int = 50,
    kind: Literal["flow", "drift"] | None = None,
    sigma: float | None = None,
    extrapolate: bool = False,
    key: str = DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Write the path of least action between two states, and its action.

    A cell that follows the velocity :math:`b` goes where it leads; noise can take it elsewhere. Of
    all paths from one state to another in a given time, the most likely one has the least
    Freidlin-Wentzell action

    .. math:: S = \int_{t_0}^{t_1} \frac{\|\dot z - b(z, t)\|^2}{2 \sigma^2}\, dt

    in model coordinates. It is zero for a path that the velocity takes by itself. Between paths in
    equal time, :math:`e^{-S}` compares how likely they are, as the noise becomes small. Actions are
    proportional to :math:`1 / \sigma^2`, which snapshots do not determine: compare actions of one
    fit, and do not read one as a probability.

    The path is optimised from the straight line and from those along the velocity, forward from the
    source and backward from the target. It is never worse than the straight line. It may be a local
    minimum, and it knows nothing of densities or growth: where no cells are, the velocity is
    extrapolated.

    Of an ensemble, the path of the mean velocity is written, and the least action of each member,
    with a standard error.

    Parameters
    ----------
    adata
        Cells with a fit.
    source, target
        States at both ends: the name or number of a cell; with `groupby`, a group, of which the
        cell nearest to the mean of the group is taken; or a position in the representation, `(d,)`.
    groupby
        Column of `obs` with the groups.
    time
        When the path is at the source. By default the time of the cell; the time at which the group
        is the largest share of the cells; of a position, the first time of the fit.
    until
        When it is at the target, as `time` (of a position, the last time). `"optimal"`: the time of
        least action, up to the last one of the fit.
    condition
        Required for a fit with conditions: a value for each column of `condition_key`.
    n_steps
        Steps of the path, 2 to 1,000.
    kind
        `"drift"`: the mean motion of single cells, which a score gives; by default where there is
        one. `"flow"`: the velocity of the population, which contains its spreading.
    sigma
        Diffusion per square root of time, in model coordinates, of the drift and of the action. By
        default that of the fit, see `cf.tl.velocity`.
    extrapolate
        Allow times of any distance from the fit's; see `cf.tl.push`.
    key
        `key_added` of the fit.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written is

    - `uns["cellflow"]["least_action"]`: dict. The `times` and the `path` in the representation;
      the `action` up to each time; for comparison that of the `straight` line, and of the path
      along the `flow` that is bent to the target, with the distance by which the flow itself
      misses it (`miss`); `words` about it; `source`, `target`, `kind`, `sigma`, and `converged`.
      Of an ensemble, also the actions of the `members`, the `se` of the action, and
      `member_paths`. `cf.get.least_action_path` returns a table.

    Raises
    ------
    MissingKeyError
        No fit, or no such column.
    InputError
        No such cell or group, a position of another length, a source that is not before the
        target, an unknown `kind`, a drift of a fit without a score, or times more than one mean
        interval outside those of the fit without `extrapolate`; `adata` is unchanged.
    IntegrationError
        The velocity from the source leads to states that are not finite.

    Warns
    -----
    IntegrationWarning
        The optimiser has not converged, or times outside the observed ones.

    See Also
    --------
    cellflow.get.least_action_path, cellflow.tl.potential

    References
    ----------
    Freidlin and Wentzell, Random Perturbations of Dynamical Systems, Springer 1998; E, Ren and
    Vanden-Eijnden, Minimum action method for the study of rare events, Communications on Pure and
    Applied Mathematics 2004; Qiu et al., Mapping transcriptomic vector fields of single cells, Cell
    2022 (least action paths between cell types).

    Examples
    --------
    >>> cf.tl.least_action_path(adata, "myoblast", "myotube", groupby="cell_type", n_steps=10)
    >>> cf.get.least_action_path(adata, ["TNNT2", "MYH3"]).columns.tolist()
    ['time', 'action', 'TNNT2', 'MYH3']
    """
    check_arguments(least_action_path, locals())
    fitted = read_fitted(adata, key)
    context = fitted.required_features(condition)
    ends = _ends(adata, fitted, (source, target), groupby, time, until, context)
    fitted.observed.require_reached(
        np.array([ends.source.time, ends.target.time]), extrapolate=extrapolate
    )
    asked = _asked(
        fitted, ends, as_count("n_steps", n_steps, least=2, most=_MOST_STEPS), kind, sigma, context
    )
    require_free(adata, fitted.keys, [], overwrite=False)
    copied = target_of(adata, copy=copy)
    record = _record(fitted, ends, asked)
    if condition is not None and fitted.cells.conditions is not None and context is not None:
        record["condition"] = fitted.cells.conditions.label(context)
    fitted.observed.warn(np.array([ends.source.time, record["times"][-1]]))
    logger.info(record["words"])
    if not record["converged"]:
        msg = (
            "The path of least action has not converged: its action is an upper bound. Pass a"
            " larger n_steps=, or a shorter time."
        )
        warn(msg, IntegrationWarning)
    entry = {_ENTRY: dict(plain(record))}
    write(copied, {"uns": {fitted.keys.uns: amended(adata, fitted.keys, [], entry)}})
    return copied if copy else None


def _ends(
    adata: AnnData,
    fitted: Fitted,
    states: tuple[Any, Any],
    groupby: str | None,
    time: Time | None,
    until: Time | None,
    context: FloatArray | None,
) -> _Ends:
    """Both ends, the source before the target."""
    best_end = isinstance(until, str) and until == "optimal"
    last = float(fitted.flow.times[-1])
    found = [
        end_of(adata, fitted, state, argument, groupby=groupby, time=at, context=context)
        for state, argument, at in zip(
            states, ("source", "target"), (time, last if best_end else until), strict=True
        )
    ]
    if found[0].time >= found[1].time:
        remedy = "pass an earlier time=" if best_end else "exchange them, or pass time= and until="
        msg = (
            f"The source, {found[0].words} at {found[0].time:g}, is not before the target,"
            f" {found[1].words} at {found[1].time:g}. Expected a path forward in time: {remedy}."
        )
        raise InputError(msg)
    return _Ends(found[0], found[1], best_end)


def _asked(
    fitted: Fitted,
    ends: _Ends,
    n_steps: int,
    kind: str | None,
    sigma: float | None,
    context: FloatArray | None,
) -> Asked:
    from cellflow.analysis.landscape.action import Asked

    if kind is None:
        kind = "drift" if "score" in fitted.flow.heads else "flow"
    width = width_of(fitted, kind, sigma if kind == "drift" else None)
    noise = fitted.flow.sigma if sigma is None else as_number("sigma", sigma, above=0.0)
    return Asked(
        ends.source.x,
        ends.target.x,
        ends.source.time,
        ends.target.time,
        best_end=ends.best_end,
        n_steps=n_steps,
        width=width,
        sigma=noise,
        context=context,
    )


def _record(fitted: Fitted, ends: _Ends, asked: Asked) -> dict[str, Any]:
    """The path, its action, and those of the members of an ensemble."""
    from cellflow.analysis.landscape.action import member_path, path_between

    found = path_between(fitted.flow, asked)
    record: dict[str, Any] = {
        "times": found.times,
        "path": found.path,
        "action": found.action,
        "straight": found.straight,
        "flow": found.flow,
        "miss": found.miss,
        "converged": found.converged,
        "sigma": asked.sigma,
        "kind": "flow" if asked.width is None else "drift",
        "source": ends.source.words,
        "target": ends.target.words,
        "words": _words(ends, asked, found),
    }
    if fitted.flow.members:
        members = [member_path(cast("Flow", m), asked, found) for m in fitted.flow.members]
        actions = np.array([member.total for member in members])
        se = float(spread(actions, degrees_of(fitted.flow)).se)
        record |= {
            "members": actions,
            "se": se,
            "member_paths": np.stack([member.path for member in members]),
        }
        record["words"] += f" Its standard error is {se:.3g}."
    return record


def _words(ends: _Ends, asked: Asked, found: Found) -> str:
    kind = "flow" if asked.width is None else "drift"
    return (
        f"Least action {found.total:.3g} from {ends.source.words} at {asked.start:g} to"
        f" {ends.target.words} at {found.times[-1]:g}, under the {kind} and sigma"
        f" {asked.sigma:.3g}. The straight line has {found.straight:.3g}, the path of the {kind}"
        f" bent to the target {found.flow:.3g}; by itself it misses the target by"
        f" {found.miss:.3g}."
    )
