"""Cells of an AnnData as checked arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from cellflow.adapter.reading import Reading
from cellflow.adapter.units import TimeUnit
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.conditions import Conditions
from cellflow.core.population import Population, Snapshots

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Cells"]


@dataclass(frozen=True, eq=False)
class Cells:
    """What a fit needs of an AnnData, for all of its cells.

    Parameters
    ----------
    x
        Positions, shape `(n, d)`, float32, finite.
    time
        Shape `(n,)`; NaN for cells without a time.
    unit
        Of the times; empty where the column does not say.
    labels
        The number that each label of the time column stands for.
    reading
        Where all of this came from: `use_rep` as it is spelled in `obsm`, and `n_dims` as a number.
    weight
        Shape `(n,)`, or None.
    mass
        Size of the whole population at each time, or empty.
    conditions
        The columns that make a condition, or None.
    context
        Features of each cell's condition, shape `(n, c)`, or None.
    zero
        What the times are counted from; see `cellflow.adapter.times.ParsedTimes`.
    shared_until
        Last time at which cells precede all conditions, or None. They are in the snapshots once for
        each later condition, as cells of it, with weights in proportion to the conditions' shares
        of the first later snapshot.
    growth
        Net growth rates that are known beforehand, per unit of time, shape `(n,)`, or None.
    sample
        Number of the sample of each cell, shape `(n,)`; -1 for a cell without a time and a sample;
        or None.
    sample_names
        Names of the samples, in the order of their numbers.
    lineage
        Which clones each cell belongs to, shape `(n, n_clones)`, 0 or 1, or None.
    measured
        Positions as they were read, shape `(n, d)`, where offsets of samples were subtracted from
        `x`; else None.
    """

    x: FloatArray
    time: FloatArray
    unit: str
    labels: Mapping[str, float]
    reading: Reading
    weight: FloatArray | None = None
    mass: Mapping[float, float] = field(default_factory=dict)
    conditions: Conditions | None = None
    context: FloatArray | None = None
    zero: str = ""
    shared_until: float | None = None
    growth: FloatArray | None = None
    sample: IntArray | None = None
    sample_names: tuple[str, ...] = ()
    lineage: csr_matrix | None = None
    measured: FloatArray | None = None

    @property
    def as_read(self) -> FloatArray:
        """Positions as they were read, shape `(n, d)`."""
        return self.x if self.measured is None else self.measured

    @property
    def later_conditions(self) -> tuple[FloatArray, FloatArray]:
        """Features of the conditions after `shared_until`, `(k, c)`, and their shares, `(k,)`.

        Shares are those of the first snapshot after it.
        """
        until = -np.inf if self.shared_until is None else self.shared_until
        context = np.asarray(self.context)
        weight = np.ones(len(self.x)) if self.weight is None else self.weight
        later = np.flatnonzero((self.time > until) & (weight > 0))
        kinds, kind = np.unique(context[later], axis=0, return_inverse=True)
        first = self.time[later] == self.time[later].min()
        share = np.bincount(kind.reshape(-1)[first], weight[later][first], len(kinds))
        return kinds, np.asarray(share / share.sum())

    @property
    def time_unit(self) -> TimeUnit:
        """Unit in which requested times are read."""
        return TimeUnit.of(self.unit, self.zero, self.reading.time_key)

    @property
    def use_rep(self) -> str:
        """Name of the representation, as it is spelled in `obsm`."""
        return self.reading.use_rep

    @property
    def timed(self) -> np.ndarray:
        """Which cells have a time, shape `(n,)`."""
        return ~np.isnan(self.time)

    @property
    def n_untimed(self) -> int:
        """Number of cells without a time."""
        return int(np.isnan(self.time).sum())

    def snapshots(self) -> Snapshots:
        """The timed cells as populations; `Population.index` holds their rows."""
        populations = []
        for time in np.unique(self.time[self.timed]):
            rows = np.flatnonzero(self.time == time)
            weight = cast("FloatArray", None if self.weight is None else self.weight[rows])
            context = None if self.context is None else self.context[rows]
            if self.shared_until is not None and time <= self.shared_until:
                kinds, shares = self.later_conditions
                weight = np.outer(shares, np.ones(len(rows)) if weight is None else weight).ravel()
                context = np.repeat(kinds, len(rows), axis=0)
                rows = np.tile(rows, len(kinds))
            mass = self.mass.get(float(time), 1.0)
            populations.append(
                Population(
                    self.x[rows],
                    float(time),
                    weight,
                    rows,
                    mass,
                    context,
                    growth=None if self.growth is None else self.growth[rows],
                    sample=None if self.sample is None else self.sample[rows],
                    lineage=None if self.lineage is None else self.lineage[rows],
                    removed=None if self.measured is None else (self.measured - self.x)[rows],
                )
            )
        return Snapshots(tuple(populations))
