"""Conditions of cells (a treatment, a donor, a dose) as the numbers that plans are split by and networks are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cellflow.core._numbers import is_number, shown
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Population
from cellflow.errors import InputError, InputTypeError, MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Category", "Condition", "Conditions", "Measure", "scaled_time", "shared_conditions"]

#: What is asked for: the value of the one column, or a value for each of several columns.
Condition: TypeAlias = "str | float | bool | Mapping[str, str | float | bool]"
#: Values that an error lists.
_LISTED = 8
#: Up to so many different whole numbers may be codes.
_FEW_AMOUNTS = 30


@dataclass(frozen=True)
class Category:
    """A column of kinds: one indicator for each.

    Parameters
    ----------
    name
        Of the column.
    values
        Its kinds, as text.
    """

    name: str
    values: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.values)

    def encode(self, values: Sequence[Any] | np.ndarray, where: str) -> FloatArray:
        """Indicators, shape `(n, k)`."""
        position = {value: k for k, value in enumerate(self.values)}
        text = [str(value) for value in values]
        unseen = next((value for value in text if value not in position), None)
        if unseen is not None:
            known = list(self.values)
            some = f"{known[:_LISTED]}" + (
                f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
            )
            msg = (
                f"{where} holds {unseen!r}, which the fit has not seen. Expected one of"
                f" {some}{closest(unseen, known)}; fit again to add another."
            )
            raise InputError(msg)
        return np.eye(self.width)[[position[value] for value in text]]

    def decode(self, features: FloatArray) -> np.ndarray:
        """The kinds that indicators `(n, k)` stand for, shape `(n,)`."""
        values: np.ndarray = np.array(self.values, dtype=object)[features.argmax(axis=1)]
        return values


@dataclass(frozen=True)
class Measure:
    """A column of numbers: one feature, centred and scaled.

    Parameters
    ----------
    name
        Of the column.
    mean, scale
        Of the cells that were fitted; the scale is positive.
    """

    name: str
    mean: float
    scale: float

    @property
    def width(self) -> int:
        """Number of features."""
        return 1

    def encode(self, values: Sequence[Any] | np.ndarray, where: str) -> FloatArray:
        """The scaled number, shape `(n, 1)`."""
        try:
            numbers = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as cause:
            msg = (
                f"{where} holds {values[0]!r}; expected finite numbers, as in the cells that were"
                " fitted."
            )
            raise InputError(msg) from cause
        if not np.isfinite(numbers).all():
            msg = f"{where} holds {numbers[~np.isfinite(numbers)][0]}; expected finite numbers."
            raise InputError(msg)
        return (numbers[:, None] - self.mean) / self.scale

    def decode(self, features: FloatArray) -> np.ndarray:
        """The numbers that features `(n, 1)` stand for, shape `(n,)`; rounded to what a float32 can tell apart."""
        number: np.ndarray = features[:, 0] * self.scale + self.mean
        digits = 6 - int(np.floor(np.log10(max(float(np.abs(number).max(initial=0.0)), 1e-30))))
        return np.round(number, digits) + 0.0


@dataclass(frozen=True)
class Conditions:
    """The columns that make a condition, each encoded by itself.

    Because columns are encoded one by one, a combination of values that no cell had can still be
    asked for: line A with a drug, say, where line A was measured without it and line B with it.

    Parameters
    ----------
    columns
        One `Category` or `Measure` per column, in the order of the features.

    Examples
    --------
    >>> import pandas as pd
    >>> conditions = Conditions.fitted(pd.DataFrame({"drug": ["a", "b"], "dose": [1.0, 3.0]}), ["drug", "dose"])
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
        import pandas as pd

        if len(names) == 0 or len(set(names)) < len(names):
            msg = f"A condition is made of distinct columns, at least one; found {list(names)}."
            raise InputError(msg)
        columns: list[Category | Measure] = []
        for name in names:
            column = _column(table, name, where)
            place = f"{where}[{name!r}]"
            types = pd.api.types
            kinds = types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)
            if kinds or types.is_object_dtype(column) or types.is_string_dtype(column):
                columns.append(Category(str(name), tuple(sorted({str(value) for value in column}))))
            elif types.is_numeric_dtype(column) and not types.is_complex_dtype(column):
                numbers = column.to_numpy(dtype=np.float64)
                if not np.isfinite(numbers).all():
                    msg = (
                        f"{place} holds {numbers[~np.isfinite(numbers)][0]}; expected finite"
                        " numbers."
                    )
                    raise InputError(msg)
                columns.append(
                    Measure(str(name), float(numbers.mean()), float(numbers.std()) or 1.0)
                )
            else:
                msg = (
                    f"{place} has dtype {column.dtype}. Expected numbers or categories; convert it"
                    " with .astype('category')."
                )
                raise InputError(msg)
        return cls(tuple(columns))

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
            c.encode(_column(table, c.name, where).to_numpy(), f"{where}[{c.name!r}]")
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
            number = isinstance(column, Measure)
            usable = is_number(value) or (not number and isinstance(value, str | bool | np.bool_))
            if not usable or value != value:
                kind = "a finite number" if number else "one of its values"
                msg = f"condition[{column.name!r}]={shown(value)}; expected {kind}."
                raise InputError(msg)
            parts.append(column.encode([value], f"condition[{column.name!r}]")[0])
        return np.concatenate(parts)

    def doubt(self, features: FloatArray, measured: FloatArray) -> str:
        """Say why an amount that no cell has is doubtful; empty where it is not.

        Whole numbers may be amounts or codes: of a few whole numbers, another one may be a donor
        whom nobody measured. An amount beyond all measured ones is an extrapolation.

        Parameters
        ----------
        features
            Of the condition that is asked for, shape `(c,)`.
        measured
            Of all cells, shape `(n, c)`.
        """
        asked = self.decode(features[None])
        known = self.decode(measured)
        found = []
        for column in self.columns:
            if isinstance(column, Category):
                continue
            amounts = np.unique(known[column.name])
            amount = float(asked[column.name][0])
            if np.isclose(amounts, amount, rtol=1e-6, atol=0.0).any():
                continue
            name = f"{column.name}={amount:g}"
            some = ", ".join(f"{v:g}" for v in amounts[:_LISTED]) + (
                ", ..." if len(amounts) > _LISTED else ""
            )
            whole = (
                amount.is_integer()
                and (amounts == np.round(amounts)).all()
                and len(amounts) <= _FEW_AMOUNTS
            )
            if whole:
                found.append(
                    f"No cell has {name} (measured: {some}). Whole numbers are taken as amounts;"
                    " expected a measured one, if they are codes, such as donors. Then make them"
                    f" categories, adata.obs[{column.name!r}].astype('category'), and fit again."
                )
            elif not amounts[0] < amount < amounts[-1]:
                found.append(
                    f"{name} lies outside the measured amounts, {amounts[0]:g} to {amounts[-1]:g}."
                    " Expected one between them: the answer is an extrapolation, without data to"
                    " say whether it holds."
                )
        return " ".join(found)

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
        """What features `(c,)` stand for, as a reader knows it: `drug='a', dose=3`."""
        values = self.values(features).items()
        return ", ".join(
            f"{name}={v!r}" if isinstance(v, str) else f"{name}={v:g}" for name, v in values
        )

    def state(self) -> list[dict[str, Any]]:
        """Return plain values: all that `from_state` needs."""
        return [
            (
                {"name": c.name, "values": list(c.values)}
                if isinstance(c, Category)
                else {"name": c.name, "mean": c.mean, "scale": c.scale}
            )
            for c in self.columns
        ]

    @classmethod
    def from_state(cls, state: Sequence[Mapping[str, Any]]) -> Conditions:
        """Rebuild from `state`."""
        return cls(
            tuple(
                (
                    Category(str(c["name"]), tuple(map(str, c["values"])))
                    if "values" in c
                    else Measure(str(c["name"]), float(c["mean"]), float(c["scale"]))
                )
                for c in state
            )
        )


def _column(table: pd.DataFrame, name: str, where: str) -> pd.Series:
    """A column without gaps."""
    if name not in table.columns:
        known = list(map(str, table.columns))
        msg = (
            f"{where}[{name!r}] is missing. Expected the column of a condition; found"
            f" {known}{closest(name, known)}."
        )
        raise MissingKeyError(msg)
    column = table[name]
    if column.ndim != 1:
        msg = (
            f"{where}[{name!r}] names {column.shape[1]} columns. Expected one; drop or rename the"
            " others."
        )
        raise InputError(msg)
    empty = np.flatnonzero(column.isna().to_numpy())
    if len(empty):
        msg = (
            f"{where}[{name!r}] holds no value for {len(empty)} of {len(column)} cells (first:"
            f" {column.index[empty[0]]!r}). Expected the condition of every cell; fill it in, or"
            " leave those cells out."
        )
        raise InputError(msg)
    return column


def shared_conditions(
    source: Population,
    target: Population,
    *,
    label: Callable[[FloatArray], str] = lambda features: str(features.tolist()),
) -> list[tuple[FloatArray, IntArray, IntArray]]:
    """Split two snapshots by condition: features `(c,)`, source rows and target rows of each, in a fixed order.

    Cells are of one condition when all of their features are equal. Cells of weight zero stay with
    their condition.

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
    """Time as a feature: from -1 at the first to 1 at the last of `times`; 0 where there is only one."""
    first = float(np.min(times))
    last = float(np.max(times))
    return (np.asarray(time, dtype=np.float64) - 0.5 * (first + last)) / (
        0.5 * (last - first) or 1.0
    )
