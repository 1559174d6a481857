"""Columns that make a condition: kinds, encoded by indicators, or amounts, encoded by a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cellflow.core._numbers import is_number
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Category", "Measure", "column_of", "from_state", "of_cells"]

#: Values that a message lists.
_LISTED = 8
#: Largest number of different whole numbers that may be codes.
_FEW_AMOUNTS = 30


@dataclass(frozen=True)
class Category:
    """A column of kinds: one indicator for each."""

    name: str
    values: tuple[str, ...]  # the kinds, as text

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
            more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
            msg = (
                f"{where} holds {unseen!r}, which the fit has not seen. Expected one of"
                f" {known[:_LISTED]}{more}{closest(unseen, known)}; fit again to add another."
            )
            raise InputError(msg)
        return np.eye(self.width)[[position[value] for value in text]]

    def usable(self, value: object) -> bool:
        """Whether a value can be one of the kinds."""
        return is_number(value) or isinstance(value, str | bool | np.bool_)

    def decode(self, features: FloatArray) -> np.ndarray:
        """The kinds that indicators `(n, k)` stand for, shape `(n,)`."""
        values: np.ndarray = np.array(self.values, dtype=object)[features.argmax(axis=1)]
        return values

    def state(self) -> dict[str, Any]:
        """Return plain values: all that `from_state` needs."""
        return {"name": self.name, "values": list(self.values)}


@dataclass(frozen=True)
class Measure:
    """A column of numbers: one feature, centred and scaled."""

    name: str
    mean: float  # of the cells that were fitted
    scale: float  # of the same, positive
    width: ClassVar[int] = 1  # number of features

    def usable(self, value: object) -> bool:
        """Whether a value can be an amount."""
        return is_number(value)

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
        _require_finite(numbers, where)
        return (numbers[:, None] - self.mean) / self.scale

    def decode(self, features: FloatArray) -> np.ndarray:
        """The numbers that features `(n, 1)` stand for, shape `(n,)`; rounded to float32."""
        number: np.ndarray = features[:, 0] * self.scale + self.mean
        digits = 6 - int(np.floor(np.log10(max(float(np.abs(number).max(initial=0.0)), 1e-30))))
        return np.round(number, digits) + 0.0

    def doubt(self, amount: float, measured: np.ndarray) -> str:
        """Say why an amount that no cell has is doubtful; empty where it is not.

        Whole numbers may be amounts or codes: where the measured ones are a few whole numbers,
        another one may be the code of a donor that was not measured. An amount beyond all measured
        ones is an extrapolation.
        """
        amounts = np.unique(measured)
        if np.isclose(amounts, amount, rtol=1e-6, atol=0.0).any():
            return ""
        few = len(amounts) <= _FEW_AMOUNTS
        if few and amount.is_integer() and (amounts == np.round(amounts)).all():
            some = ", ".join(f"{v:g}" for v in amounts[:_LISTED])
            more = ", ..." if len(amounts) > _LISTED else ""
            return (
                f"No cell has {self.name}={amount:g} (measured: {some}{more}). Whole numbers are"
                " taken as amounts; expected a measured one, if they are codes, such as donors."
                f" Then make them categories, adata.obs[{self.name!r}].astype('category'), and fit"
                " again."
            )
        if not amounts[0] < amount < amounts[-1]:
            return (
                f"{self.name}={amount:g} lies outside the measured amounts, {amounts[0]:g} to"
                f" {amounts[-1]:g}. Expected one between them: the answer is an extrapolation,"
                " without data to say whether it holds."
            )
        return ""

    def state(self) -> dict[str, Any]:
        """Return plain values: all that `from_state` needs."""
        return {"name": self.name, "mean": self.mean, "scale": self.scale}


def of_cells(table: pd.DataFrame, name: str, where: str) -> Category | Measure:
    """Return the column of a table of cells, with its kinds or its scale.

    Raises
    ------
    MissingKeyError
        There is no such column.
    InputError
        A cell without a value, or values that are neither numbers nor kinds.
    """
    import pandas as pd

    column = column_of(table, name, where)
    place = f"{where}[{name!r}]"
    types = pd.api.types
    kinds = types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)
    if kinds or types.is_object_dtype(column) or types.is_string_dtype(column):
        return Category(str(name), tuple(sorted({str(value) for value in column})))
    if not types.is_numeric_dtype(column) or types.is_complex_dtype(column):
        msg = (
            f"{place} has dtype {column.dtype}. Expected numbers or categories; convert it with"
            " .astype('category')."
        )
        raise InputError(msg)
    numbers = column.to_numpy(dtype=np.float64)
    _require_finite(numbers, place)
    return Measure(str(name), float(numbers.mean()), float(numbers.std()) or 1.0)


def from_state(state: Mapping[str, Any]) -> Category | Measure:
    """Rebuild a column from its `state`."""
    if "values" in state:
        return Category(str(state["name"]), tuple(map(str, state["values"])))
    return Measure(str(state["name"]), float(state["mean"]), float(state["scale"]))


def column_of(table: pd.DataFrame, name: str, where: str) -> pd.Series:
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


def _require_finite(numbers: FloatArray, where: str) -> None:
    bad = numbers[~np.isfinite(numbers)]
    if len(bad):
        msg = f"{where} holds {bad[0]}; expected finite numbers."
        raise InputError(msg)
