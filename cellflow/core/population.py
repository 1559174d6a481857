"""Weighted cells at real times: populations, snapshots, and pairs of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._numbers import as_array, as_number, as_weights
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.pairs import Pairs
from cellflow.errors import InputError, InputTypeError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Clock", "Pairs", "Population", "Snapshots"]

#: What cells may have beside positions and weights.
_BESIDE = ("context", "growth", "sample", "lineage", "removed")


@dataclass(frozen=True, eq=False, repr=False)
class Population(Compact):
    """The cells of one snapshot: a weighted point cloud at one time.

    Parameters
    ----------
    x
        Positions, shape `(n, d)`, finite; may be a memory map.
    time
        The experiment's own time.
    weight
        Shape `(n,)`, non-negative; normalised to sum to one in float64. Uniform by default.
    index
        Rows of origin, shape `(n,)`; `0 ... n - 1` by default.
    mass
        Size of the whole population relative to the other snapshots. The number of sequenced cells
        does not determine it, so it is 1 unless given.
    context
        Features of each cell's condition (indicators, doses), shape `(n, c)`, or None. Cells are
        coupled within their condition, and the features are inputs of the networks.
    growth
        What is known beforehand of the growth of each cell, per unit of time, shape `(n,)`, or
        None. A cell that is a source of a plan counts `exp(growth * h)` times, with `h` the length
        of the interval.
    sample
        Number of the sample (an animal, a dish, a donor) that each cell is of, shape `(n,)`, or
        None.
    lineage
        Which clones each cell belongs to, 0 or 1, shape `(n, n_clones)`, sparse by rows, or None.
        A column is the same clone in all snapshots.
    removed
        Offset of its sample that was subtracted from each position, shape `(n, d)`, or None.

    Examples
    --------
    >>> population = cf.Population(adata.obsm["X_pca"][:40], time=0.0)
    >>> len(population)
    40
    """

    x: FloatArray
    time: float
    weight: FloatArray = field(default=None)  # type: ignore[arg-type] # never None once made
    index: IntArray = field(default=None)  # type: ignore[arg-type] # never None once made
    mass: float = 1.0
    context: FloatArray | None = None
    growth: FloatArray | None = None
    sample: IntArray | None = None
    lineage: csr_matrix | None = None
    removed: FloatArray | None = None

    def __post_init__(self) -> None:
        time = as_number("time", self.time)
        at = f"at time {time:g}"
        if not hasattr(self.x, "shape"):
            msg = (
                f"x {at} is of type {type(self.x).__name__}; expected an array of shape (n, d)."
                " Pass numpy.asarray(x)."
            )
            raise InputTypeError(msg)
        x = as_array(f"x {at}", self.x, shape="(n, d)", least=1)
        n = len(x)
        weight = as_weights(f"weight {at}", self.weight, n)
        index = np.arange(n) if self.index is None else np.asarray(self.index)
        if index.shape != (n,):
            msg = f"index {at} has shape {index.shape}; expected ({n},)."
            raise InputError(msg)
        for name, shape in (("context", "(n, c)"), ("growth", "(n,)")):
            if getattr(self, name) is not None:
                values = as_array(f"{name} {at}", getattr(self, name), shape=shape)
                object.__setattr__(self, name, values.astype(np.float64))
        for name in _BESIDE:
            values = getattr(self, name)
            if values is not None and values.shape[0] != n:
                msg = f"{name} {at} has shape {values.shape}; expected a row for each of {n} cells."
                raise InputError(msg)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "time", time)
        object.__setattr__(self, "mass", as_number("mass", self.mass, above=0.0))

    def __len__(self) -> int:
        return len(self.x)

    def part(self, rows: IntArray) -> Population:
        """Some of the cells, with their weights in proportion."""
        names = ("x", "weight", "index", *_BESIDE)
        return replace(self, **{name: _rows(getattr(self, name), rows) for name in names})

    def expected(self, time: float) -> Population:
        """The same cells, weighted by the mass of their descendants at a time, as `growth` has it.

        Raises
        ------
        InputError
            Rates so different that the weight of a cell vanishes.
        """
        if self.growth is None:
            return self
        log_mass = self.growth * (time - self.time)
        weight = self.weight * np.exp(log_mass - log_mass.max())
        if ((weight == 0) & (self.weight > 0)).any():
            msg = (
                f"growth at time {self.time:g} ranges from {self.growth.min():g} to"
                f" {self.growth.max():g} per unit of time: by time {time:g} some cells have no"
                " descendants at all beside others. Expected rates per the unit of the times."
            )
            raise InputError(msg)
        return replace(self, weight=weight)

    @property
    def is_uniform(self) -> bool:
        """Whether all weights are equal."""
        return bool(np.ptp(self.weight) <= 1e-12 * self.weight.max())


@dataclass(frozen=True)
class Clock:
    """The span and the natural unit of an experiment's time.

    Networks take time scaled to [-1, 1] over `start ... stop` as input, and their outputs are
    divided by `unit` (the mean gap between snapshots). Rescaling time then rescales velocities and
    changes nothing else.
    """

    start: float
    stop: float
    unit: float
    median_gap: float

    @property
    def sigma(self) -> float:
        """Value of `sigma="auto"`: `0.5 / sqrt(median gap)`, in model coordinates."""
        return 0.5 / float(np.sqrt(self.median_gap))


@dataclass(frozen=True, eq=False, repr=False)
class Snapshots(Compact):
    """Populations at strictly increasing times, all of one dimension.

    Raises
    ------
    InputError
        No population, times that do not increase, or dimensions that differ.

    Examples
    --------
    >>> snapshots = cf.Snapshots.from_arrays(adata.obsm["X_pca"], adata.obs["hours"].to_numpy())
    >>> len(snapshots), snapshots.n_dims
    (4, 5)
    """

    populations: tuple[Population, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "populations", tuple(self.populations))
        if not self.populations:
            msg = "There is no population."
            raise InputError(msg)
        if not (np.isfinite(self.times).all() and (np.diff(self.times) > 0).all()):
            msg = (
                "Times of snapshots must be finite and strictly increasing; found"
                f" {self.times.tolist()}."
            )
            raise InputError(msg)
        dims = {p.x.shape[1] for p in self.populations}
        if len(dims) > 1:
            msg = f"Snapshots must share one number of dimensions; found {sorted(dims)}."
            raise InputError(msg)
        features = {0 if p.context is None else p.context.shape[1] for p in self.populations}
        if len(features) > 1:
            msg = f"Snapshots must share their context features; found {sorted(features)} of them."
            raise InputError(msg)

    @classmethod
    def from_arrays(
        cls,
        x: FloatArray,
        time: FloatArray,
        *,
        weight: FloatArray | None = None,
        context: FloatArray | None = None,
    ) -> Snapshots:
        """Split cells `(n, d)` by their times `(n,)`; `Population.index` has their rows.

        Examples
        --------
        >>> Snapshots.from_arrays(np.zeros((3, 2)), np.array([1.0, 0.0, 1.0])).times
        array([0., 1.])
        """
        x = as_array("x", x, shape="(n, d)", least=1)
        time = as_array("time", time, shape="(n,)").astype(np.float64)
        weight = None if weight is None else as_array("weight", weight)
        context = None if context is None else as_array("context", context)
        if time.shape != x.shape[:1] or (weight is not None and weight.shape != time.shape):
            shapes = f"x {x.shape}, time {time.shape}" + (
                "" if weight is None else f", weight {weight.shape}"
            )
            msg = f"Need one row of x, one time and one weight per cell; found {shapes}."
            raise InputError(msg)
        populations = []
        for t in np.unique(time):
            r = np.flatnonzero(time == t)
            part = cast("FloatArray", _rows(weight, r))  # None is uniform
            populations.append(Population(x[r], float(t), part, r, context=_rows(context, r)))
        return cls(tuple(populations))

    def __len__(self) -> int:
        return len(self.populations)

    def __getitem__(self, position: int) -> Population:
        return self.populations[position]

    @property
    def times(self) -> FloatArray:
        """The times, shape `(k,)`, increasing."""
        return np.array([p.time for p in self.populations])

    @property
    def n_dims(self) -> int:
        """Dimension of the cells' positions."""
        return int(self.populations[0].x.shape[1])

    @property
    def n_context(self) -> int:
        """Number of context features; 0 without conditions."""
        context = self.populations[0].context
        return 0 if context is None else int(context.shape[1])

    @property
    def intervals(self) -> Sequence[tuple[Population, Population]]:
        """Consecutive populations, `k - 1` pairs."""
        return list(zip(self.populations[:-1], self.populations[1:], strict=True))

    @property
    def clock(self) -> Clock:
        """Span and unit of time; needs two snapshots."""
        if len(self) < 2:
            msg = (
                "At least two snapshots are needed to learn a dynamics; found one, at time"
                f" {self.times[0]:g}."
            )
            raise InputError(msg)
        gaps = np.diff(self.times)
        span = (float(self.times[0]), float(self.times[-1]))
        return Clock(*span, float(gaps.mean()), float(np.median(gaps)))

    def at(self, time: float) -> Population:
        """Return the population measured at `time`."""
        for population in self.populations:
            if population.time == time:
                return population
        msg = f"No snapshot at time {time:g}; found {self.times.tolist()}."
        raise InputError(msg)

    def without(self, time: float) -> Snapshots:
        """Leave one snapshot out; its neighbours become one longer interval."""
        left_out = self.at(time)
        return Snapshots(tuple(p for p in self.populations if p is not left_out))

    def moved(self, positions: Sequence[FloatArray]) -> Snapshots:
        """Return the same cells at other positions `(n, d)`, one array per snapshot."""
        return Snapshots(
            tuple(replace(p, x=x) for p, x in zip(self.populations, positions, strict=True))
        )


def _rows(values: Any, rows: IntArray) -> Any:
    return None if values is None else values[rows]
