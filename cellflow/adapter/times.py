"""A column of times, in any of the usual forms, as numbers with one unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.adapter.units import DURATIONS, WORDS, label_of
from cellflow.core._numbers import LARGEST, shown
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ParsedTimes", "examine_times", "parse_times"]

_REMEDY = (
    "Write the times as numbers in one unit, say into `adata.obs['hours']`; leave cells without a"
    " time missing (NaN)."
)
_EXPECTED = "a number per cell, or labels such as 'E8.5', '48h', 'day 3', 't10'"
#: So many labels are listed in a message.
_LISTED = 8

_MISSING = {"", "nan", "na", "n/a", "none", "<na>", "null", "nat"}


@dataclass(frozen=True, eq=False)
class ParsedTimes:
    """Times as numbers.

    Parameters
    ----------
    values
        Shape `(n,)`; NaN for cells without a time.
    unit
        `"hours"`, `"days"`, ...; empty where the column does not say.
    labels
        The number that each label stands for; empty for a column of numbers.
    zero
        What the times are counted from: `"embryonic"`, `"postnatal"`, `"fertilisation"`; empty for
        any other zero.
    """

    values: FloatArray
    unit: str
    labels: dict[str, float] = field(default_factory=dict)
    zero: str = ""


def parse_times(column: pd.Series, key: str = "time") -> ParsedTimes:
    """Read a column of times.

    Parameters
    ----------
    column
        Numbers, labels (`"E8.5"`, `"48h"`, `"day 3"`, `"t10"`), a categorical of either, Timedelta,
        Timestamp or Period. Different units in one column are brought to the finest of them;
        durations and dates to the coarsest of days, hours, minutes and seconds that keeps the
        typical gap at one or more, dates counted from the first.
    key
        What messages call the column.

    Raises
    ------
    InputError
        Booleans, complex numbers, infinities, or labels that are no times or do not go together;
        they are listed.
    """
    return settle(examine_times(column, key))


def examine_times(column: pd.Series, key: str) -> Examination[ParsedTimes | None]:
    """Check and read a column of times; see `parse_times`."""
    import pandas as pd

    if (
        isinstance(column.dtype, np.dtype)
        and column.dtype.kind == "f"
        and column.dtype != np.float64
    ):
        column = _widened(column)
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        yield Finding(key, f"holds {column.iloc[0]!r} and its like", _EXPECTED, _REMEDY)
        return None
    if isinstance(column.dtype, pd.CategoricalDtype):
        unused = len(column.cat.categories) - len(distinct)
        found = f"has {unused} categories without cells"
        if unused:
            yield Finding(key, found, "cells in every category", "They are ignored.", "note")
    values = pd.Index(distinct)
    if isinstance(values, pd.CategoricalIndex):
        values = values.categories.take(values.codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    parsed = yield from _parsed(values, counts, key)
    if parsed is None:
        return None
    numbers = yield from _merged(parsed.values, key)
    if parsed.labels:
        pairs = ", ".join(f"{label!r} -> {number:g}" for label, number in parsed.labels.items())
        found = f"was read as {parsed.unit or 'numbers'}: {pairs}"
        yield Finding(key, found, "numbers", "No action is needed.", "note")
    return ParsedTimes(np.append(numbers, np.nan)[codes], parsed.unit, parsed.labels, parsed.zero)


def _parsed(values: pd.Index, counts: np.ndarray, key: str) -> Examination[ParsedTimes | None]:
    """Check and read distinct values, by their type."""
    import pandas as pd

    kind = pd.api.types.infer_dtype(values)
    if kind in {"floating", "integer", "mixed-integer-float", "decimal"}:
        return (yield from _numbers(values, key))
    if kind in {"string", "empty"}:
        return (yield from _strings(values, counts, key))
    if kind in {"timedelta64", "timedelta"}:
        return _durations(pd.to_timedelta(values))
    if kind in {"datetime64", "datetime", "date", "period"}:
        is_period = kind == "period"
        dates = pd.PeriodIndex(values).to_timestamp() if is_period else pd.to_datetime(values)
        parsed = _durations(dates - dates.min())
        found = f"holds dates, counted here in {parsed.unit} from the first"
        remedy = "An h5ad cannot hold such a column: replace it by numbers before you save."
        yield Finding(key, found, "numbers", remedy, "warning")
        return parsed
    yield Finding(key, f"holds {_listed(values)} (of kind {kind})", _EXPECTED, _REMEDY)
    return None


def _widened(column: pd.Series) -> pd.Series:
    """Float64 from shorter floats: a float32 that says 0.1 means 0.1, not 0.10000000149."""
    import pandas as pd

    short, inverse = np.unique(column.to_numpy(), return_inverse=True)
    return pd.Series(np.array([float(str(v)) for v in short])[inverse], index=column.index)


def _numbers(values: pd.Index, key: str) -> Examination[ParsedTimes | None]:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except OverflowError:  # an integer beyond the range of float64
        numbers = np.array([float(v) if abs(v) <= LARGEST else np.inf for v in values])
    bad = np.flatnonzero(~(np.abs(numbers) <= LARGEST))
    if len(bad):
        yield Finding(key, f"holds {_listed(values[bad])}", "finite times", _REMEDY)
        return None
    return ParsedTimes(numbers, "")


def _strings(values: pd.Index, counts: np.ndarray, key: str) -> Examination[ParsedTimes | None]:
    """Check and read labels."""
    known = [label for label in values if label.strip().casefold() not in _MISSING]
    labels = {label: label_of(label) for label in known}
    unread = [k for k, label in enumerate(values) if label in labels and labels[label] is None]
    if unread:
        cells = int(counts[unread].sum())
        found = (
            f"holds {len(unread)} labels in {cells} cells that are no times:"
            f" {_listed(values[unread])}"
        )
        yield Finding(key, found, _EXPECTED, _REMEDY)
        return None
    read = {label: (x[0], x[1] or WORDS["t"]) for label, x in labels.items() if x is not None}
    families: dict[str, list[str]] = {}
    for label, (_, unit) in read.items():
        families.setdefault(unit.family, []).append(label)
    if len(families) > 1:
        groups = " beside ".join(_listed(labels) for labels in families.values())
        found = f"mixes times that do not go together: {groups}"
        yield Finding(key, found, "times counted from one zero, in one unit", _REMEDY)
        return None
    by_length = sorted({unit for _, unit in read.values()}, key=lambda unit: unit.length)
    finest = by_length[0] if by_length else WORDS["t"]
    # Multiplied first: 3 days are 72 hours exactly, whichever lengths are no binary fractions.
    numbers = {
        label: number * unit.length / finest.length for label, (number, unit) in read.items()
    }
    values_read = np.array([numbers.get(label, np.nan) for label in values], dtype=np.float64)
    if len(by_length) > 1:
        examples = {unit: label for label, (_, unit) in reversed(read.items())}
        shares = " and ".join(f"{unit.name} ({examples[unit]!r})" for unit in by_length)
        remedy = (
            f"All times are in {finest.name} from here on: give times in {finest.name}, or as in"
            f" {examples[by_length[-1]]!r}."
        )
        yield Finding(key, f"mixes labels in {shares}", "labels in one unit", remedy, "warning")
    zero = "" if finest.family in {*DURATIONS, "number"} else finest.family
    numbers = dict(sorted(numbers.items(), key=lambda item: item[1]))
    return ParsedTimes(values_read, finest.name, numbers, zero)


def _durations(values: pd.TimedeltaIndex) -> ParsedTimes:
    seconds = np.asarray(values.total_seconds(), dtype=np.float64)
    typical = (
        float(np.median(np.diff(np.unique(seconds))))
        if len(seconds) > 1
        else float(np.abs(seconds).max(initial=0.0))
    )
    units = [WORDS[word] for word in ("days", "hours", "minutes", "seconds")]
    unit = next((u for u in units if typical >= u.length), units[-1])
    numbers = seconds / unit.length
    labels = {str(value): float(number) for value, number in zip(values, numbers, strict=True)}
    return ParsedTimes(numbers, unit.name, dict(sorted(labels.items(), key=lambda item: item[1])))


def _merged(numbers: FloatArray, key: str) -> Examination[FloatArray]:
    """Merge times that differ by rounding only, such as 0.3 and 0.1 + 0.2.

    A gap of 1e-17 between snapshots would be an infinite velocity.
    """
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    known = ordered[~np.isnan(ordered)]
    if len(known) < 2:
        return numbers
    same = np.diff(known) <= 8 * np.finfo(np.float64).eps * np.abs(known).max()
    if not (same & (np.diff(known) > 0)).any():
        return numbers
    found = "holds times that differ only by rounding"
    yield Finding(
        key, found, "equal times for cells of one snapshot", "They are taken as equal.", "note"
    )
    first = np.flatnonzero(np.append(True, ~same))
    merged = numbers.copy()
    merged[order[: len(known)]] = known[np.repeat(first, np.diff(np.append(first, len(known))))]
    return merged


def _listed(values: pd.Index | list[str]) -> str:
    some = ", ".join(shown(getattr(v, "item", lambda v=v: v)()) for v in values[:_LISTED])
    return some + (f" and {len(values) - _LISTED} more" if len(values) > _LISTED else "")
