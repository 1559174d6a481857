"""A fit and its cells, read back from an AnnData."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.conditioned import with_conditions
from cellflow.adapter.fingerprint import (
    name_hashes,
    require_made_for,
    require_same_positions,
    require_same_times,
    require_seen,
)
from cellflow.adapter.keys import Keys, basis_of, where_of
from cellflow.adapter.problem import Examination, Problem, settle
from cellflow.adapter.read import Cells, examine_cells, examine_column, require_anndata
from cellflow.adapter.reading import Reading
from cellflow.adapter.record import conditions_of, record_of
from cellflow.adapter.store import load_flow
from cellflow.adapter.times import ParsedTimes, TimeUnit
from cellflow.analysis.following import nearest_station
from cellflow.analysis.observed import Observed
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.core.conditions import Condition
from cellflow.errors import InputError, InputWarning, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.flow import Flow

__all__ = [
    "Fitted",
    "Times",
    "inferred_times",
    "read_cells",
    "read_fitted",
    "read_paths",
    "read_times",
]

logger = logging.getLogger("cellflow")

#: What to do where the data are no longer what the fit was made with.
_REMEDY = "The fit was made with it: restore it, or fit again with cf.tl.flow."
#: Cells whose times a cell without one takes the mean of.
_NEIGHBORS = 30


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a question to a fit needs.

    Parameters
    ----------
    keys
        Where its results go.
    flow
        The fitted flow.
    params
        What the fit was made with.
    cells
        The cells as they are now; those whose time was inferred have none here.
    times
        Time of every cell, shape `(n,)`: its own, or the inferred one.
    names
        Names of the cells, shape `(n,)`.
    """

    keys: Keys
    flow: Flow
    params: Mapping[str, Any]
    cells: Cells
    times: FloatArray
    names: np.ndarray

    @property
    def noise_keys(self) -> IntArray:
        """What finds the noise of each cell, shape `(n,)`: a hash of its name, whatever the order of the rows."""
        import pandas as pd

        hashed = name_hashes(self.names)
        again = pd.Series(hashed).groupby(hashed).cumcount().to_numpy()
        keys: IntArray = hashed + again.astype(
            np.uint64
        )  # cells of one name are told apart by their order
        return keys

    @property
    def x(self) -> FloatArray:
        """Positions, shape `(n, d)`."""
        return self.cells.x

    @property
    def basis(self) -> str:
        """Name of the representation, as in `velocity_{basis}`."""
        return basis_of(self.cells.use_rep)

    @property
    def time_unit(self) -> TimeUnit:
        """What reads a time that is asked for."""
        return TimeUnit.of(
            *(str(self.params.get(name, "")) for name in ("time_unit", "time_zero", "time_key"))
        )

    def time(self, value: object, argument: str = "time") -> float:
        """Return a time that is asked for as a number in the unit of the fit; see `TimeUnit.number`."""
        return self.time_unit.number(argument, value)

    @property
    def starts(self) -> FloatArray:
        """Time that every cell is followed from, shape `(n,)`; an inferred one is only known to a step of the solver."""
        return np.where(self.cells.timed, self.times, nearest_station(self.flow, self.times))

    @property
    def observed(self) -> Observed:
        """The times at which the fit has seen cells."""
        return Observed.by(self.flow)

    def features(self, condition: Condition | None, rows: IntArray) -> FloatArray | None:
        """Features of some cells, `(m, c)`: of their own conditions, or of `condition` for all of them.

        Raises
        ------
        InputError
            A condition that cannot be asked of this fit.
        """
        context = self.cells.context
        if condition is None:
            return context if context is None else context[rows]
        asked = self.asked(condition)
        return np.broadcast_to(asked, (len(rows), len(asked)))

    def required_features(self, condition: Condition | None) -> FloatArray | None:
        """Features `(c,)` of the one condition that a question is about; None for a fit without conditions.

        Raises
        ------
        InputError
            A fit with conditions and no condition, or one that cannot be asked of this fit.
        """
        if condition is not None:
            return self.asked(condition)
        if self.cells.conditions is None:
            return None
        msg = (
            f"condition=None, but the fit in adata.uns[{self.keys.uns!r}] was made with the"
            f" conditions {self.cells.conditions.names}. Expected one of them: pass condition=, a"
            " value for each column."
        )
        raise InputError(msg)

    def values(self, features: FloatArray) -> dict[str, Any]:
        """What the features of one condition, `(c,)`, stand for, by column."""
        return {} if self.cells.conditions is None else self.cells.conditions.values(features)

    def asked(self, condition: Condition) -> FloatArray:
        """Features of a condition, shape `(c,)`; says so where none of the cells has it.

        Of known kinds in another combination, and of an amount between measured ones, the log says
        it. An amount that may be a code, or that lies outside the measured ones, is a warning.

        Raises
        ------
        InputError
            The fit knows no conditions, or not this one.
        """
        if self.cells.conditions is None or self.cells.context is None:
            msg = (
                f"condition={shown(condition)}, but the fit in adata.uns[{self.keys.uns!r}] was"
                " made without conditions. Expected one with conditions: fit again with"
                " cf.tl.flow, and tell it the column of obs that holds them."
            )
            raise InputError(msg)
        features = self.cells.conditions.encode_one(condition)
        if not self.measured(features):
            doubt = self.cells.conditions.doubt(features, self.cells.context)
            if doubt:
                warn(doubt, InputWarning)
            else:
                logger.info(
                    "No cell has %s: a combination that was not measured.",
                    self.cells.conditions.label(features),
                )
        return features

    def measured(self, features: FloatArray) -> bool:
        """Whether some cell has the condition of these features, `(c,)`."""
        return bool((np.asarray(self.cells.context) == features).all(axis=1).any())


def inferred_times(cells: Cells) -> FloatArray:
    """Times without gaps, shape `(n,)`.

    A cell without a time takes the mean of its nearest timed neighbours', weighted by a Gaussian
    kernel.
    """
    from cellflow.analysis.embedding import place

    times = cells.time.copy()
    untimed = ~cells.timed
    if untimed.any():
        known = cells.time[cells.timed][:, None]
        mean = place(cells.x[untimed], cells.x[cells.timed], known, n_neighbors=_NEIGHBORS)[:, 0]
        times[untimed] = np.clip(
            mean, known.min(), known.max()
        )  # rounding could leave the observed times
    return times


def read_fitted(adata: AnnData, key: str, *, generating: bool = False) -> Fitted:
    """Read a fit, the cells, and their times, and make sure that they belong together.

    Times come from the columns that the fit wrote, or, for cells that it has not seen, from the
    column that it read.

    Parameters
    ----------
    adata
        With a fit.
    key
        Where it is.
    generating
        Whether a fit is needed that makes cells from noise, or one that moves cells.

    Raises
    ------
    InputError
        No fit, or of the other kind, another representation, cells of another fit, or unusable
        data; see `cellflow.adapter.read.read`.
    ModelFileError
        A model that is damaged or of a newer format.
    """
    require_anndata(adata)
    keys = Keys(key)
    record = record_of(adata, keys)
    flow = load_flow(adata, keys)
    where = f"adata.uns[{keys.uns!r}]"
    # Of a fit that generates, the time is a feature beside the condition's.
    conditions = conditions_of(record, where, flow.n_context - flow.generates)
    _require_kind(flow, keys, generating=generating)
    cells, times = read_cells(adata, keys, record)
    if conditions is not None:
        cells = with_conditions(adata, cells, conditions)
        until = record["params"].get("shared_until")
        cells = cells if until is None else replace(cells, shared_until=float(until))
    return Fitted(keys, flow, record["params"], cells, times, adata.obs_names.to_numpy())


@dataclass(frozen=True, eq=False)
class Times:
    """When cells were sampled, as a fit knows it.

    Parameters
    ----------
    key
        The column of `adata.obs` that it was read from.
    values
        Shape `(n,)`; in the column that the fit wrote, without gaps.
    inferred
        Whether the time is not the cell's own, shape `(n,)`.
    unit
        Of the times.
    labels
        The number that each label of the column stands for.
    are_written
        Whether the fit wrote them.
    zero
        What they are counted from; see `ParsedTimes`.
    """

    key: str
    values: FloatArray
    inferred: np.ndarray
    unit: str
    labels: dict[str, float]
    are_written: bool
    zero: str = ""

    @property
    def own(self) -> FloatArray:
        """Shape `(n,)`; NaN where the time is not the cell's own."""
        return np.where(self.inferred, np.nan, self.values)


def read_times(adata: AnnData, keys: Keys, record: Mapping[str, Any]) -> Times:
    """Read the times of cells, from the columns that a fit wrote, or else from the one that it read.

    Parameters
    ----------
    adata
        With a fit.
    keys
        Where it is.
    record
        What `record_of` returned.

    Raises
    ------
    InputError
        Columns that are not what the fit wrote, or that can be read no more; cells of the fit that
        have other times now.
    """
    times: Times = settle(
        _examine_times(adata, keys, record["params"]), again=True, instead=_REMEDY
    )
    _require_times(adata, record, times)
    return times


def read_cells(adata: AnnData, keys: Keys, record: Mapping[str, Any]) -> tuple[Cells, FloatArray]:
    """Read the cells of a fit with the time of each, shape `(n,)`, and make sure that they are those of the fit.

    Cells that it has not seen are welcome where their times come from the column that it read.

    Parameters
    ----------
    adata
        With a fit.
    keys
        Where it is.
    record
        What `record_of` returned.

    Raises
    ------
    InputError
        Unusable data; cells of the fit at other positions or times, and cells of another fit.
    """
    cells, times = settle(_examine(adata, keys, record["params"]), again=True, instead=_REMEDY)
    seen = record["fingerprint"]
    names = adata.obs_names.to_numpy()
    time_key = str(record["params"]["time_key"])
    require_same_positions(seen, names, cells.x, cells.use_rep)
    if times.are_written:
        require_seen(seen, names, cells.x, times.values, times.inferred, keys, time_key)
    _require_times(adata, record, times)
    return cells, times.values if times.are_written else inferred_times(cells)


def read_paths(
    adata: AnnData, keys: Keys, record: Mapping[str, Any], cells: Cells, *, samples: bool
) -> FloatArray:
    """Read the paths of all cells, shape `(n, n_times, d)`, of several diffusions `(n, n_rep, n_times, d)`.

    Parameters
    ----------
    adata
        With paths that `cf.tl.trajectories` wrote, which cellflow 0.1.0 did in their shape, later
        ones row by row.
    keys
        Where the fit is.
    record
        What `record_of` returned.
    cells
        What `read_cells` returned.
    samples
        Those of diffusions.

    Raises
    ------
    MissingKeyError
        There are none.
    InputError
        They were computed from other positions, or are of another shape.
    """
    name, entry = (
        (keys.trajectory_samples, "trajectory_samples")
        if samples
        else (keys.trajectory, "trajectory")
    )
    again = f"cf.tl.trajectories(adata{', stochastic=True' if samples else ''}{keys.argument})"
    if name not in adata.obsm:
        msg = (
            f"No {name!r} in adata.obsm; found {sorted(map(str, adata.obsm))}. Compute the"
            f" trajectories: {again}."
        )
        raise MissingKeyError(msg)
    where = f"adata.obsm[{name!r}]"
    values = np.asarray(adata.obsm[name])
    n_times = len(record.get(f"{entry}_times", ()))
    shape = record.get(f"{entry}_shape", values.shape[1:] if values.ndim == 3 + samples else ())
    shape = tuple(int(k) for k in shape)
    if (
        values.dtype.kind != "f"
        or shape[-2:] != (n_times, cells.x.shape[1])
        or values.size != adata.n_obs * math.prod(shape)
    ):
        found = f"has shape {values.shape} and dtype {values.dtype}"
        replicates = f"{shape[0] if shape else 1} * " if samples else ""
        expected = (
            f"({adata.n_obs}, {replicates}{n_times} * {cells.x.shape[1]}) of floats, as"
            f" adata.uns[{keys.uns!r}] says"
        )
        raise InputError(Problem(where, found, expected, f"Compute it again: {again}.").message)
    if name in record.get("made_for", {}):
        about = {"what": where, "basis": where_of(cells.use_rep), "again": again}
        require_made_for(record["made_for"][name], adata.obs_names.to_numpy(), cells.x, **about)
    return values.reshape(adata.n_obs, *shape)


def _require_times(adata: AnnData, record: Mapping[str, Any], times: Times) -> None:
    remedy = "Restore the column" if times.are_written else "Restore the column, in its unit"
    where = f"adata.obs[{times.key!r}]"
    require_same_times(
        record["fingerprint"],
        adata.obs_names.to_numpy(),
        times.values,
        times.inferred,
        where,
        remedy,
    )


def _require_kind(flow: Flow, keys: Keys, *, generating: bool) -> None:
    if flow.generates == generating:
        return
    found = f"The fit in adata.uns[{keys.uns!r}] (method {flow.recipe['name']!r})"
    if generating:
        msg = (
            f"{found} moves cells between snapshots and cannot make new ones. Expected a fit that"
            " generates: call cf.tl.flow(..., method='fm', key_added=...) and pass its key."
        )
    else:
        msg = (
            f"{found} generates cells from noise and moves none: it has no velocities in the"
            " experiment's time. Expected another method: call cf.tl.generate, or fit again, under"
            " another key_added to keep this fit."
        )
    raise InputError(msg)


def _examine(
    adata: AnnData, keys: Keys, params: Mapping[str, Any]
) -> Examination[tuple[Cells, Times] | None]:
    """Check and read the cells of a fit, with their times."""
    times = yield from _examine_times(adata, keys, params)
    reading = Reading.of_params(params)
    parsed = None
    if times is not None:
        reading = replace(reading, time_key=times.key)
        parsed = ParsedTimes(times.own, times.unit, times.labels, times.zero)
    cells = yield from examine_cells(adata, parsed, reading)
    return None if cells is None or times is None else (cells, times)


def _examine_times(
    adata: AnnData, keys: Keys, params: Mapping[str, Any]
) -> Examination[Times | None]:
    """Check and read the times that a fit wrote, or those of the column that it read."""
    if keys.time not in adata.obs or keys.time_inferred not in adata.obs:
        time_key = str(params["time_key"])
        parsed = yield from examine_column(adata, time_key)
        if parsed is None:
            return None
        untimed = np.isnan(parsed.values)
        if untimed.all():
            found = "has no time for any of these cells"
            remedy = "Add the times of some, or pass cells that have them."
            yield Problem(
                f"adata.obs[{time_key!r}]", found, "a time for some of them at least", remedy
            )
            return None
        return Times(
            time_key,
            parsed.values,
            untimed,
            parsed.unit,
            parsed.labels,
            are_written=False,
            zero=parsed.zero,
        )
    remedy = "Fit again with cf.tl.flow."
    time = adata.obs[keys.time]
    inferred = adata.obs[keys.time_inferred]
    for name, column, wanted in (
        (keys.time, time, np.float64),
        (keys.time_inferred, inferred, np.bool_),
    ):
        if column.ndim != 1 or column.dtype != wanted:
            found = (
                f"has dtype {column.dtype}"
                if column.ndim == 1
                else f"names {column.shape[1]} columns"
            )
            expected = f"one column of {np.dtype(wanted).name}, which the fit wrote"
            yield Problem(f"adata.obs[{name!r}]", found, expected, remedy)
            return None
    values = time.to_numpy()
    if not np.isfinite(values).all():
        found = f"has no finite time for {(~np.isfinite(values)).sum()} cells"
        yield Problem(
            f"adata.obs[{keys.time!r}]", found, "the finite float64 that the fit wrote", remedy
        )
        return None
    unit = str(params["time_unit"])
    zero = str(params.get("time_zero", ""))
    return Times(keys.time, values, inferred.to_numpy(), unit, {}, are_written=True, zero=zero)
