"""What `cf.tl.fates` and `cf.tl.ancestors` read of an AnnData: cells, labels, times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.units import Time
from cellflow.analysis.fates import FateCells, Targets
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, closest
from cellflow.tl._groups import Groups

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["UNDECIDED", "Absorb", "fate_cells", "other_fits", "read_targets", "targets_of"]

#: Labels that are terminal before the end: at the times given, or at all times of their cells.
Absorb: TypeAlias = "Mapping[str, Time] | Sequence[str]"
#: The column of mass that goes to no fate.
UNDECIDED = "undecided"


def fate_cells(fitted: Fitted) -> FateCells:
    """The cells of a fit."""
    cells = fitted.cells
    weight = np.ones(len(cells.x)) if cells.weight is None else np.nan_to_num(cells.weight)
    return FateCells(cells.x, fitted.starts, cells.time, weight, fitted.noise_keys, cells.context)


def other_fits(adata: AnnData, fitted: Fitted, keys: Sequence[str] | None) -> list[Fitted]:
    """Read the other fits of an ensemble.

    Raises
    ------
    InputError
        One that is no fit, is of another representation, or has other times.
    """
    names = [name for name in dict.fromkeys(keys or ()) if name != fitted.keys.uns]
    if keys is not None and not names:
        msg = (
            f"ensemble={list(keys)!r} has no fit beside that in adata.uns[{fitted.keys.uns!r}];"
            " expected keys of other fits of the same cells, or None."
        )
        raise InputError(msg)
    others = [read_fitted(adata, name) for name in names]
    for other in others:
        here = (fitted.cells.use_rep, fitted.x.shape[1], fitted.cells.unit)
        there = (other.cells.use_rep, other.x.shape[1], other.cells.unit)
        if here != there or not np.allclose(fitted.starts, other.starts):
            msg = (
                f"ensemble: the fit in adata.uns[{other.keys.uns!r}] is of {there[0]!r} with"
                f" {there[1]} dimensions, that in adata.uns[{fitted.keys.uns!r}] of {here[0]!r}"
                f" with {here[1]}; expected fits of the same cells, representation and times, with"
                " other seeds."
            )
            raise InputError(msg)
    return others


def read_targets(
    adata: AnnData,
    fitted: Fitted,
    groupby: str,
    at: Time,
    absorb: Absorb | None,
    *,
    backward: bool,
) -> Targets:
    """Read labels, the end and absorbing groups.

    Raises
    ------
    MissingKeyError
        No such column.
    InputError
        A column without labels, or with one called "undecided"; a time at which no cell with a
        label was measured; an absorbing group that does not exist, or not at its time.
    """
    groups = Groups.read(adata, groupby)
    order = _order(adata, groupby, groups)
    measured = fitted.cells.time
    labelled = groups.of_cells != ""
    if not (labelled & ~np.isnan(measured)).any():
        msg = (
            f"adata.obs[{groupby!r}] has no label for any cell with a time. Expected labels of"
            " cells: fill it, or pass another groupby=."
        )
        raise InputError(msg)
    if UNDECIDED in order:
        msg = (
            f"adata.obs[{groupby!r}] has a group {UNDECIDED!r}, which is the name of the mass that"
            " goes to no fate. Rename it, or replace it by NaN."
        )
        raise InputError(msg)
    end = _end(fitted, at, backward=backward)
    times = _absorbing(fitted, groups, groupby, absorb)
    ends = set(groups.of_cells[labelled & (measured == end)])
    if not ends and not times:
        known = np.unique(measured[labelled & ~np.isnan(measured)]).tolist()
        msg = (
            f"at={shown(at)}: no cell that was measured at time {end:g} has a label in"
            f" adata.obs[{groupby!r}]; labels are of times {known}. Expected one of these: pass"
            " at=, or label cells."
        )
        raise InputError(msg)
    return targets_of(groups.of_cells, order, ends, end, times, backward=backward)


def targets_of(
    labels: np.ndarray,
    order: Sequence[str],
    ends: Iterable[str],
    end: float,
    absorb: Mapping[str, FloatArray],
    *,
    backward: bool,
) -> Targets:
    """Number the labels that are fates."""
    fates = set(ends) | set(absorb)
    names = tuple(name for name in order if name in fates)
    number = {name: k for k, name in enumerate(names)}
    code = np.array([number.get(label, -1) for label in labels], dtype=np.int64)
    absorbing = {number[name]: times for name, times in absorb.items()}
    return Targets(names, code, end, np.asarray(labels != "", dtype=bool), absorbing, backward)


def _order(adata: AnnData, groupby: str, groups: Groups) -> list[str]:
    """Labels in the order of the categories, or of their names."""
    column = adata.obs[groupby]
    present = set(groups.of_cells) - {""}
    if not hasattr(column, "cat"):
        return sorted(present)
    return [name for name in map(Groups.name, column.cat.categories) if name in present]


def _end(fitted: Fitted, at: Time, *, backward: bool) -> float:
    """Time of the end, at which cells were measured."""
    measured = fitted.cells.time
    known = np.unique(measured[~np.isnan(measured)])
    word = "first" if backward else "last"
    if isinstance(at, str) and at == word:
        end = float(known[0] if backward else known[-1])
    else:
        end = fitted.time(at, "at")
    if end not in known:
        msg = (
            f"at={shown(at)}: no cell was measured at time {end:g}. Expected {word!r}, or one of"
            f" the times of the cells, {known.tolist()}."
        )
        raise InputError(msg)
    fitted.observed.require_reached([*known.tolist(), end], extrapolate=False)
    return end


def _absorbing(
    fitted: Fitted, groups: Groups, groupby: str, absorb: Absorb | None
) -> dict[str, FloatArray]:
    """Times at which each absorbing group absorbs."""
    if absorb is None:
        return {}
    if isinstance(absorb, str) or not isinstance(absorb, Mapping | Iterable):
        msg = (
            f"absorb={shown(absorb)}; expected a list of groups of adata.obs[{groupby!r}], or a"
            " dictionary from group to time."
        )
        raise InputError(msg)
    found: dict[str, FloatArray] = {}
    known = sorted(set(groups.of_cells) - {""})
    for asked in absorb:
        name = Groups.name(asked)
        rows = groups.rows(name, "absorb") if name in known else None
        if rows is None:
            msg = (
                f"absorb names {asked!r}, which is no group of adata.obs[{groupby!r}]. Expected"
                f" one of {known[:10]}{closest(name, known)}."
            )
            raise InputError(msg)
        times = np.unique(fitted.cells.time[rows])
        times = times[~np.isnan(times)]
        if isinstance(absorb, Mapping):
            time = fitted.time(absorb[asked], "absorb")
            if time not in times:
                msg = (
                    f"absorb={{{asked!r}: {shown(absorb[asked])}}}: no cell of this group was"
                    f" measured at time {time:g}. Expected one of {times.tolist()}."
                )
                raise InputError(msg)
            times = np.array([time])
        found[name] = times
    return {name: times for name, times in found.items() if len(times)}
