"""A fit and its cells, read back from an AnnData."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.bases import basis_of
from cellflow.adapter.cells import Cells
from cellflow.adapter.conditioned import with_conditions
from cellflow.adapter.findings import Examination, settle
from cellflow.adapter.fingerprint import require_same_positions, require_seen
from cellflow.adapter.fit_times import (
    REMEDY,
    Times,
    examine_fit_times,
    inferred_times,
    require_times,
)
from cellflow.adapter.hashes import name_hashes
from cellflow.adapter.keys import Keys
from cellflow.adapter.read import examine_cells, require_anndata
from cellflow.adapter.reading import Reading
from cellflow.adapter.record import conditions_of, record_of
from cellflow.adapter.sample_record import aligned_as
from cellflow.adapter.store import load_flow
from cellflow.adapter.times import ParsedTimes
from cellflow.adapter.units import TimeUnit
from cellflow.analysis.following import nearest_station
from cellflow.analysis.observed import Observed
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.core.conditions import Condition
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.flow import Flow

__all__ = ["Fitted", "read_cells", "read_fitted"]

logger = logging.getLogger("cellflow")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fit and the cells of an AnnData.

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
        """Key of the noise of each cell, shape `(n,)`: a hash of its name."""
        import pandas as pd

        hashed = name_hashes(self.names)
        again = pd.Series(hashed).groupby(hashed).cumcount().to_numpy()
        # Cells of one name differ by their order.
        keys: IntArray = hashed + again.astype(np.uint64)
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
        """The unit of times."""
        return TimeUnit.of(
            *(str(self.params.get(name, "")) for name in ("time_unit", "time_zero", "time_key"))
        )

    def time(self, value: object, argument: str = "time") -> float:
        """Return a time as a number in the unit of the fit; see `TimeUnit.number`."""
        return self.time_unit.number(argument, value)

    @property
    def starts(self) -> FloatArray:
        """Start time of every cell, `(n,)`; inferred ones are rounded to steps of the solver."""
        return np.where(self.cells.timed, self.times, nearest_station(self.flow, self.times))

    @property
    def observed(self) -> Observed:
        """The times of the cells of the fit."""
        return Observed.by(self.flow)

    def features(self, condition: Condition | None, rows: IntArray) -> FloatArray | None:
        """Features of some cells, `(m, c)`: of their own conditions, or of `condition` for all.

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
        """Features `(c,)` of one condition; None for a fit without conditions.

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
        """Features of a condition, shape `(c,)`, with a message where none of the cells has it.

        It is logged for known kinds in another combination, and for an amount between measured
        ones. An amount that may be a code, or that lies outside the measured ones, is a warning.

        Raises
        ------
        InputError
            The fit has no conditions, or not this one.
        """
        if self.cells.conditions is None or self.cells.context is None:
            msg = (
                f"condition={shown(condition)}, but the fit in adata.uns[{self.keys.uns!r}] was"
                " made without conditions. Expected one with conditions: fit again with"
                " cf.tl.flow(condition_key=...), the column of obs that holds them."
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


def read_fitted(adata: AnnData, key: str, *, generating: bool = False) -> Fitted:
    """Read a fit, the cells, and their times, and make sure that they belong together.

    Times come from the columns that the fit wrote, or, for cells that it has not seen, from the
    column that it read.

    With `generating`, the fit has to make cells from noise; else it has to move cells.

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


def read_cells(adata: AnnData, keys: Keys, record: Mapping[str, Any]) -> tuple[Cells, FloatArray]:
    """Read the cells of a fit and the time of each, `(n,)`, and check that they are its cells.

    Offsets of samples that the fit has removed are subtracted from their positions.

    New cells are accepted where their times come from the column that the fit read.

    The record is what `record_of` returned.

    Raises
    ------
    InputError
        Unusable data; cells of the fit at other positions or times, and cells of another fit.
    """
    cells, times = settle(_examine(adata, keys, record["params"]), again=True, instead=REMEDY)
    seen = record["fingerprint"]
    names = adata.obs_names.to_numpy()
    time_key = str(record["params"]["time_key"])
    require_same_positions(seen, names, cells.x, cells.use_rep)
    if times.are_written:
        require_seen(seen, names, cells.x, times.values, times.inferred, keys, time_key)
    require_times(adata, record, times)
    cells = aligned_as(cells, record, f"adata.uns[{keys.uns!r}]")
    return cells, times.values if times.are_written else inferred_times(cells)


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
    times = yield from examine_fit_times(adata, keys, params)
    reading = Reading.of_params(params)
    parsed = None
    if times is not None:
        reading = replace(reading, time_key=times.key)
        parsed = ParsedTimes(times.own, times.unit, times.labels, times.zero)
    cells = yield from examine_cells(adata, parsed, reading)
    return None if cells is None or times is None else (cells, times)
