"""Units of time, and labels such as 'E8.5', '48h' and 'day 3'."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from cellflow.core._numbers import as_number, shown
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    import datetime as dt


__all__ = ["DURATIONS", "WORDS", "Time", "TimeUnit", "Unit", "is_label", "label_of", "with_number"]

#: A time as an argument: a number in the unit of the fit, or a label with a unit (`"day 3"`,
#: `"48h"`).
Time: TypeAlias = "float | str | dt.timedelta"


@dataclass(frozen=True)
class Unit:
    """A unit of time: its name, the family in which it can be converted, its length there."""

    name: str
    family: str
    length: float


def _units() -> dict[str, Unit]:
    """Units by the words beside a number.

    Stages of an embryo and ages of a mouse count days from another zero.
    """
    words = {
        Unit("seconds", "duration", 1.0): "s sec secs second seconds",
        Unit("minutes", "duration", 60.0): "min mins minute minutes",
        Unit("hours", "duration", 3600.0): "h hr hrs hour hours hpi",
        Unit("days", "duration", 86400.0): "d day days dpi",
        Unit("weeks", "duration", 604800.0): "w wk wks week weeks",
        Unit("months", "calendar", 1.0): "mo mon month months",
        Unit("years", "calendar", 12.0): "y yr yrs year years",
        Unit("hours", "fertilisation", 3600.0): "hpf",
        Unit("days", "fertilisation", 86400.0): "dpf",
        Unit("days", "embryonic", 1.0): "e dpc",
        Unit("days", "postnatal", 1.0): "p",
        Unit("", "number", 1.0): "t tp time timepoint",
    }
    return {word: unit for unit, spelled in words.items() for word in spelled.split()}


WORDS = _units()

_NUMBER = r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)"
_WORD = r"(?P<word>[a-z]+)\.?"
#: A hyphen between word and number could be a sign ("day-3"), so it is in neither form.
_FORMS = (
    re.compile(rf"{_NUMBER}[\s_]*(?:{_WORD})?", re.IGNORECASE),
    re.compile(rf"{_WORD}(?:[\s_]*(?=[\d.])|\s+){_NUMBER}", re.IGNORECASE),
)
#: Families whose zero is that of the experiment.
DURATIONS = ("duration", "calendar")
_LABELS = "a label such as 'E8.5', '48h', 'day 3', 't10'"


def label_of(text: str) -> tuple[float, Unit | None] | None:
    """The number and the unit of a label, None for a bare number's; None for what is no time."""
    match = next((m for form in _FORMS if (m := form.fullmatch(text.strip()))), None)
    if match is None:
        return None
    word = match["word"]
    number = float(match["number"])
    unit = WORDS.get(word.casefold()) if word else None
    return None if not np.isfinite(number) or (word and unit is None) else (number, unit)


def with_number(text: str, number: float) -> str:
    """A label with another number in it: `"E8.75"` from `"E8.5"` and 8.75; empty for no label."""
    text = text.strip()
    match = next((m for form in _FORMS if (m := form.fullmatch(text))), None)
    if match is None:
        return ""
    start, end = match.span("number")
    if number < 0 and text[:start].isalpha():  # a sign beside a word could be a hyphen
        text = f"{text[:start]} {text[start:]}"
        start += 1
        end += 1
    return text[:start] + np.format_float_positional(number, trim="-") + text[end:]


def is_label(value: object) -> bool:
    """Whether it is text that says a time."""
    return isinstance(value, str) and label_of(value) is not None


@dataclass(frozen=True)
class TimeUnit:
    """The unit that the times of a fit are in, and how a time in other words is read in it.

    Parameters
    ----------
    name
        `"hours"`, `"days"`, ...; empty where the column of times does not say.
    zero
        See `ParsedTimes`.
    bare
        Whether the times are bare numbers, whose column says no zero, and no unit but by its name.

    Examples
    --------
    >>> TimeUnit("hours").number("time", "day 3")
    72.0
    >>> TimeUnit("days", "embryonic").number("time", "E8.5")
    8.5
    """

    name: str = ""
    zero: str = ""
    bare: bool = False

    @classmethod
    def of(cls, name: str, zero: str, time_key: str) -> TimeUnit:
        """Unit of a fit; of bare numbers, by the name of their column (`"day"`, `"hours"`)."""
        if name:
            return cls(name, zero)
        word = WORDS.get(time_key.casefold())
        known = word is not None and word.family in DURATIONS
        return cls(word.name if known and word is not None else "", zero, bare=True)

    def number(self, argument: str, value: object) -> float:
        """Return a time as a number in this unit.

        Parameters
        ----------
        argument
            What messages call the value.
        value
            A number, which is in this unit; a label such as `"48h"`, `"day 3"` or `"E8.5"`; or a
            Timedelta.

        Raises
        ------
        InputError
            No time, or one that this unit cannot express: of another zero.

        Warns
        -----
        InputWarning
            A label with a unit or a zero where the fit has bare numbers: its number is taken.
        """
        import datetime as dt

        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if isinstance(value, np.timedelta64 | dt.timedelta):
            return self._duration(argument, value)
        if not isinstance(value, str):
            return as_number(
                argument, value, remedy=f" in {self.words}, or a label such as 'day 3' or '48h'"
            )
        read = label_of(value)
        if read is None:
            msg = (
                f"{argument}={shown(value)} is no time; expected a number in {self.words}, or"
                f" {_LABELS}."
            )
            raise InputError(msg)
        number, unit = read
        if unit is None:
            return number
        own = self._own()
        if own is not None and own.family == unit.family:
            return number * unit.length / own.length
        if self.bare and self.name in {"", unit.name}:
            msg = (
                f"{argument}={shown(value)} was taken as {number:g}: the fit has bare numbers,"
                f" which do not say their {'zero' if self.name else 'unit'}. Expected a number in"
                f" {self.words}."
            )
            warn(msg, InputWarning)
            return number
        counted = f"times in {self.words}" if self.name else "times without a unit"
        msg = (
            f"{argument}={shown(value)}, but the fit has {counted}; the two cannot be compared."
            " Pass a number."
        )
        raise InputError(msg)

    @property
    def words(self) -> str:
        """What a message calls the unit."""
        zero = {"embryonic": "embryonic ", "postnatal": "postnatal "}.get(self.zero, "")
        after = " after fertilisation" if self.zero == "fertilisation" else ""
        return f"{zero}{self.name}{after}" if self.name else "the unit of the fit"

    def _own(self) -> Unit | None:
        families = (self.zero,) if self.zero else DURATIONS
        units = {
            unit for unit in WORDS.values() if unit.family in families and unit.name == self.name
        }
        return next(iter(units), None) if self.name else WORDS["t"]

    def seconds(self, number: float) -> float:
        """A number in a unit of durations as seconds.

        Raises
        ------
        InputError
            This is no unit of durations.
        """
        own = self._own()
        if own is None or own.family != "duration":
            msg = f"Times in {self.words} are no durations; expected days, hours or the like."
            raise InputError(msg)
        return number * own.length

    def _duration(self, argument: str, value: object) -> float:
        """A length of time in this unit, where this is one."""
        import pandas as pd

        own = self._own()
        length = pd.Timedelta(value)  # type: ignore[arg-type] # one of the types it takes
        if own is None or own.family != "duration" or pd.isna(length):
            msg = (
                f"{argument}={shown(value)} is a duration, but the fit has times in {self.words};"
                " pass a number."
            )
            raise InputError(msg)
        return float(length.total_seconds()) / own.length
