"""Conditions of cells (a treatment, a donor, a dose) as features: numbers that networks take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cellflow.core._columns import Category, Measure, column_of, from_state, of_cells
from cellflow.core._display import Compact
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Population
from cellflow.errors import InputError, InputTypeError, MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Category", "Condition", "Conditions", "Measure", "scaled_time", "shared_conditions"]

#: The value of the one column, or a value for each of several columns.
Condition: TypeAlias = "str | float | bool | Mapping[str, str | float | bool]"


@dataclass(frozen=True, repr=False)
class Conditions(Compact):
    """The columns that make a condition, each encoded by itself.

    Because columns are encoded one by one, a combination of values that no cell had can still be
    computed: line A with a drug, say, where line A was measured without it and line B with it.

    Parameters
    ----------
    columns
        One `Category` or `Measure` per column, in the order of the features.

    Examples
    --------
    >>> import pandas as pd
    >>> cells = pd.DataFrame({"drug": ["a", "b"], "dose": [1.0, 3.0]})
    >>> conditions = Conditions.fitted(cells, ["drug", "dose"])
    >>> conditions.encode_one({"drug": "b", "dose": 2.0})
    array([0., 1., 0.])
    """

    columns: tuple[Category | Measure, ...]

    @classmethod
    def fitted(
        cls, table: pd.DataFrame, names: Sequence[str], *, where: str = "the table"
    ) -> Conditions:
        """Take the kinds and the scales from cells.

        Parameters
        ----------
        table
            One row per cell. Columns of numbers become a `Measure`; text, booleans and
            categoricals, of numbers too, a `Category`.
        names
            Columns, at least one.
        where
            What messages call the table.

        Raises
        ------
        MissingKeyError
            A column that is not there.
        InputError
            The same column twice, a cell without a value, or values that are neither numbers nor
            kinds.
        """
        if len(names) == 0 or len(set(names)) < len(names):
            msg = f"A condition is made of distinct columns, at least one; found {list(names)}."
            raise InputError(msg)
        return cls(tuple(of_cells(table, name, where) for name in names))

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    @property
    def n_features(self) -> int:
        """Number of features, `c`."""
        return sum(column.width for column in self.columns)

    def encode(self, table: pd.DataFrame, *, where: str = "the table") -> FloatArray:
        """Features of cells, shape `(n, c)`.

        Raises
        ------
        MissingKeyError
            A column that is not there.
        InputError
            A cell without a value, or a kind that the fit has not seen.
        """
        parts = [
            c.encode(column_of(table, c.name, where).to_numpy(), f"{where}[{c.name!r}]")
            for c in self.columns
        ]
        return np.concatenate(parts, axis=1)

    def encode_one(self, condition: Condition) -> FloatArray:
        """Features of one condition, shape `(c,)`.

        Parameters
        ----------
        condition
            A value for every column by its name; where there is one column, its value alone will
            do.

        Raises
        ------
        InputError
            A column left out or unknown, a kind that the fit has not seen, or a number that is
            none.
        """
        if not isinstance(condition, Mapping):
            if len(self.columns) != 1:
                wanted = ", ".join(f"{name!r}: ..." for name in self.names)
                msg = (
                    f"condition={shown(condition)}; expected a value for each of several columns:"
                    f" {{{wanted}}}."
                )
                raise InputTypeError(msg)
            condition = {self.names[0]: condition}
        unknown = [name for name in condition if name not in self.names]
        missing = [name for name in self.names if name not in condition]
        if unknown or missing:
            found = f"names {unknown[0]!r}" if unknown else f"leaves out {missing}"
            hint = closest(unknown[0], self.names) if unknown else ""
            msg = (
                f"condition={shown(dict(condition))} {found}. Expected a value for each of"
                f" {self.names}{hint}."
            )
            raise MissingKeyError(msg)
        parts = []
        for column in self.columns:
            value = condition[column.name]
            if not column.usable(value) or value != value:
                kind = "a finite number" if isinstance(column, Measure) else "one of its values"
                msg = f"condition[{column.name!r}]={shown(value)}; expected {kind}."
                raise InputError(msg)
            parts.append(column.encode([value], f"condition[{column.name!r}]")[0])
        return np.concatenate(parts)

    def doubt(self, features: FloatArray, measured: FloatArray) -> str:
        """Say why amounts that no cell has are doubtful; empty where none is: `Measure.doubt`.

        Parameters
        ----------
        features
            Of the condition in question, shape `(c,)`.
        measured
            Of all cells, shape `(n, c)`.
        """
        amounts = self.decode(features[None])
        known = self.decode(measured)
        found = [
            column.doubt(float(amounts[column.name][0]), known[column.name])
            for column in self.columns
            if isinstance(column, Measure)
        ]
        return " ".join(filter(None, found))

    def decode(self, features: FloatArray) -> dict[str, np.ndarray]:
        """Values of each column that features `(n, c)` stand for, by name, shape `(n,)` each."""
        ends = np.cumsum([column.width for column in self.columns])[:-1]
        parts = np.split(np.asarray(features, dtype=np.float64), ends, axis=1)
        return {
            column.name: column.decode(part)
            for column, part in zip(self.columns, parts, strict=True)
        }

    def values(self, features: FloatArray) -> dict[str, str | float]:
        """What the features of one condition, `(c,)`, stand for, by column."""
        decoded = self.decode(np.asarray(features)[None])
        return {
            name: value[0] if isinstance(value[0], str) else float(value[0])
            for name, value in decoded.items()
        }

    def label(self, features: FloatArray) -> str:
        """What features `(c,)` stand for, in words: `drug='a', dose=3`."""
        values = self.values(features).items()
        return ", ".join(
            f"{name}={v!r}" if isinstance(v, str) else f"{name}={v:g}" for name, v in values
        )

    def state(self) -> list[dict[str, Any]]:
        """Return plain values: all that `from_state` needs."""
        return [column.state() for column in self.columns]

    @classmethod
    def from_state(cls, state: Sequence[Mapping[str, Any]]) -> Conditions:
        """Rebuild from `state`."""
        return cls(tuple(map(from_state, state)))


def shared_conditions(
    source: Population,
    target: Population,
    *,
    label: Callable[[FloatArray], str] = lambda features: str(features.tolist()),
) -> list[tuple[FloatArray, IntArray, IntArray]]:
    """Split two snapshots by condition: features `(c,)`, source rows, target rows of each.

    The order is fixed. Cells are of one condition when all of their features are equal; cells of
    weight zero, too.

    Parameters
    ----------
    source, target
        Both with `context`, or both without: then there is one condition of no features.
    label
        How messages name a condition.

    Raises
    ------
    InputError
        A condition that one of the two snapshots lacks.
    """
    contexts = [np.zeros((len(p), 0)) if p.context is None else p.context for p in (source, target)]
    distinct, group = np.unique(np.concatenate(contexts), axis=0, return_inverse=True)
    parts = group.reshape(-1)[: len(source)], group.reshape(-1)[len(source) :]
    found: list[tuple[FloatArray, IntArray, IntArray]] = []
    for k, features in enumerate(distinct):
        rows = [np.flatnonzero(part == k) for part in parts]
        masses = [
            population.weight[r].sum() for population, r in zip((source, target), rows, strict=True)
        ]
        if masses[0] == masses[1] == 0:
            continue
        for population, other, mass in ((source, target, masses[0]), (target, source, masses[1])):
            if mass == 0:
                msg = (
                    f"Condition {label(features)} has cells at time {other.time:g} and none at time"
                    f" {population.time:g}: they have no partners. Expected every condition at both"
                    " ends of an interval: leave those cells out, give cells that precede all"
                    " conditions a copy in each, or use coarser conditions."
                )
                raise InputError(msg)
        found.append((features, rows[0], rows[1]))
    return found


def scaled_time(time: float | FloatArray, times: FloatArray) -> FloatArray:
    """Time as a feature: from -1 at the first to 1 at the last of `times`; 0 for only one."""
    first = float(np.min(times))
    last = float(np.max(times))
    return (np.asarray(time, dtype=np.float64) - 0.5 * (first + last)) / (
        0.5 * (last - first) or 1.0
    )
