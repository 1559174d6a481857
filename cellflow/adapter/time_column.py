"""Times as a column of `obs` holds them: the inverse of `cellflow.adapter.times.parse_times`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.units import TimeUnit, with_number
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["time_column"]

#: Relative difference of times that are equal but for rounding.
_ROUNDING = 1e-12


def time_column(column: pd.Series | None, known: FloatArray, unit: TimeUnit, at: FloatArray) -> Any:
    """Return times in the form of a column, so that a fit reads both together.

    Numbers stay numbers; times of labels become labels of the same style (`"E8.75"` beside
    `"E8.5"`), those of durations and dates become such, and of a categorical a categorical with
    more categories. A time that the column has is written as it is there. Whole numbers become
    fractions where the times are; and a time between two periods becomes a date.

    Parameters
    ----------
    column
        The times of measured cells, shape `(n,)`; None gives numbers.
    known
        The number of each in the unit of the fit, shape `(n,)`; NaN where it is not known.
    unit
        Of the fit.
    at
        Times in that unit, shape `(m,)`.

    Returns
    -------
    Values for `obs`, of shape `(m,)`.
    """
    import pandas as pd

    if column is None or (
        pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    ):
        return at if column is None else _numbers(at, column.dtype)
    timed = np.isfinite(known) & column.notna().to_numpy()
    times, first = np.unique(known[timed], return_index=True)
    values = column.astype(object).to_numpy()[timed][first]
    asked, inverse = np.unique(at, return_inverse=True)
    written = _written(values, times, unit, asked)
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = column.cat.categories
        if not set(written) <= set(categories):
            numbers = dict(zip(values, times, strict=True)) | dict(zip(written, asked, strict=True))
            categories = pd.Index(sorted(numbers, key=lambda value: numbers[value]))
        taken = [written[k] for k in inverse]
        return pd.Categorical(taken, categories=categories, ordered=column.cat.ordered)
    found = pd.Series([written[k] for k in inverse], dtype=object)
    return found.to_numpy() if column.dtype == object else _as(found, column.dtype)


def _numbers(at: FloatArray, dtype: Any) -> Any:
    """Times as numbers of a type, or as float64 where it cannot hold them."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(dtype) and (at != np.round(at)).any():
        return at
    is_extension = pd.api.types.is_extension_array_dtype(dtype)
    return pd.array(at, dtype=dtype) if is_extension else at.astype(dtype)


def _as(values: pd.Series, dtype: Any) -> Any:
    """Values of another type where it can hold them."""
    try:
        return values.astype(dtype).array
    except (TypeError, ValueError):
        return values.infer_objects().array


def _written(values: np.ndarray, times: FloatArray, unit: TimeUnit, asked: FloatArray) -> list[Any]:
    """Each asked time as the values of the column are written."""
    found = []
    for at in asked:
        near = int(np.abs(times - at).argmin()) if len(times) else -1
        known = near >= 0 and _same(times[near], at)
        found.append(values[near] if known else _new(values, times, unit, float(at)))
    return found


def _new(values: np.ndarray, times: FloatArray, unit: TimeUnit, at: float) -> Any:
    """A time that the column does not have."""
    import pandas as pd

    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "string":
        return _label(values, times, unit, at)
    if kind in {"timedelta", "timedelta64"}:
        return pd.Timedelta(unit.seconds(at), unit="s")
    if kind in {"datetime", "datetime64", "date", "period"}:
        periods = kind == "period"
        dates = pd.PeriodIndex(values).to_timestamp() if periods else pd.to_datetime(values)
        lengths = pd.to_timedelta([unit.seconds(t) for t in times], unit="s")
        date = (dates - lengths)[0] + pd.Timedelta(unit.seconds(at), unit="s")
        if periods and (period := pd.Period(date, freq=values[0].freq)).to_timestamp() == date:
            return period
        return date
    return int(at) if kind == "integer" and at.is_integer() else at


def _label(values: np.ndarray, times: FloatArray, unit: TimeUnit, at: float) -> str:
    """A label in the style of the one nearest in time that this time can be written as."""
    for k in np.argsort(np.abs(times - at), kind="stable"):
        label = with_number(str(values[k]), at)
        if _reads_as(label, unit, at):
            return label
    number = np.format_float_positional(at, trim="-")
    label = f"{number} {unit.name}"
    return label if unit.name and _reads_as(label, unit, at) else number


def _reads_as(label: str, unit: TimeUnit, at: float) -> bool:
    try:
        return bool(label) and _same(unit.number("time", label), at)
    except InputError:
        return False


def _same(one: float, other: float) -> bool:
    """Whether two times differ by rounding only."""
    return abs(one - other) <= _ROUNDING * max(abs(one), abs(other))
