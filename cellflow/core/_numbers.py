"""Arguments that are numbers or arrays of numbers: checked, or refused by name."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np

from cellflow.errors import InputError, InputTypeError

__all__ = [
    "LARGEST",
    "MEMORY",
    "ROUNDS",
    "as_array",
    "as_count",
    "as_flag",
    "as_number",
    "as_weights",
    "is_integer",
    "is_number",
    "shown",
]

#: Largest array that a call makes, in bytes.
MEMORY = 2 * 1024**3
#: Largest absolute value in an array of positions: sums of squares stay far below the float64
#: maximum of 1.8e308.
LARGEST = 1e100
#: Most rounds of a loop that a call is asked for (steps, projections, resamplings): more have no
#: end in sight.
ROUNDS = 100_000
#: Characters of a value that a message shows.
_SHOWN = 60
#: Kinds of dtype that are real numbers: floating, integer, unsigned, boolean.
_REAL = "fiub"


def is_integer(value: object) -> TypeGuard[int]:
    """Whether it is an integer; booleans and numpy's durations are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number."""
    return is_integer(value) or isinstance(value, float | np.floating)


def shown(value: object) -> str:
    """Return a value as a message shows it: on one line, long ones cut."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 (whatever a value of the user's own raises)
        text = f"<{type(value).__name__}>"
    # A lone surrogate cannot be printed.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def as_count(
    name: str,
    value: object,
    *,
    least: int = 1,
    each: int = 0,
    most: int | None = None,
    remedy: str = "",
) -> int:
    """Return an integer argument.

    Parameters
    ----------
    name
        Of the argument.
    value
        What was passed.
    least
        Smallest integer that is accepted.
    each
        Bytes that one unit of it takes; all of them together may take `MEMORY`. 0 for no such
        limit.
    most
        Largest integer that is accepted; None for no limit beside that of `each`.
    remedy
        What may be passed instead, as the end of a sentence.

    Raises
    ------
    InputError
        No integer (booleans are none), or one outside of the limits.
    """
    if not is_integer(value) or int(value) < least:
        expected = "a positive integer" if least == 1 else f"an integer of at least {least}"
        msg = f"{name}={shown(value)}; expected {expected}{remedy}."
        raise InputError(msg)
    count = int(value)
    if most is not None and count > most:
        msg = f"{name}={shown(count)}; expected at most {most:,}{remedy}."
        raise InputError(msg)
    if each and count > max(least, MEMORY // each):
        msg = (
            f"{name}={shown(count)} would take {_size(count * each)}; expected at most"
            f" {MEMORY // each:,}, which take {_size(MEMORY)}{remedy}."
        )
        raise InputError(msg)
    return count


def as_number(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
    remedy: str = "",
) -> float:
    """Return a real, finite argument.

    Parameters
    ----------
    name
        Of the argument.
    value
        What was passed.
    least, most
        Smallest and largest number that is accepted.
    above, below
        Limits that are not accepted themselves.
    remedy
        What may be passed instead, as the end of a sentence.

    Raises
    ------
    InputError
        No finite number (booleans and text are none), or one outside of the limits.
    """
    if is_number(value):
        try:
            number = float(value)
        except OverflowError:  # an integer beyond the range of float64
            number = math.inf
        if math.isfinite(number) and least <= number <= most and above < number < below:
            return number
    limits = {"of at least": least, "above": above, "below": below, "of at most": most}
    words = " and ".join(f"{word} {x:g}" for word, x in limits.items() if math.isfinite(x))
    msg = f"{name}={shown(value)}; expected a finite number{' ' * bool(words)}{words}{remedy}."
    raise InputError(msg)


def as_flag(name: str, value: object) -> bool:
    """Return an argument that is true or false.

    Raises
    ------
    InputError
        Anything else, 0 and 1 included.
    """
    if not isinstance(value, bool | np.bool_):
        msg = f"{name}={shown(value)}; expected True or False."
        raise InputError(msg)
    return bool(value)


def as_array(
    name: str, value: Any, *, shape: str = "", least: int = 0, finite: bool = True
) -> np.ndarray:
    """Return an array of real numbers.

    Floating-point dtypes and memory maps stay as they are; others become float64.

    Parameters
    ----------
    name
        Of the argument.
    value
        An array, or what numpy makes one of.
    shape
        Dimensions in the words of a message, such as `"(n, d)"`; empty for any.
    least
        Smallest length of each dimension.
    finite
        Refuse NaN, infinity, and absolute values above `LARGEST`, whose squares overflow.

    Raises
    ------
    InputTypeError
        A sparse matrix, text, dates, complex numbers, objects.
    InputError
        Masked values, another number of dimensions, none of something, or values that are not
        finite or too large.
    """
    if hasattr(value, "tocsr"):
        msg = f"{name} is a sparse matrix; expected an array. Pass {name}.toarray()."
        raise InputTypeError(msg)
    if isinstance(value, np.ma.MaskedArray):
        n_masked = int(np.ma.getmaskarray(value).sum())
        if n_masked:
            msg = (
                f"{name} has {n_masked} masked values; expected a number for each. Remove those"
                " rows, or fill the gaps."
            )
            raise InputError(msg)
        value = value.data
    try:
        array = value if isinstance(value, np.memmap) else np.asarray(value)
    except (TypeError, ValueError, OverflowError) as cause:
        msg = (
            f"{name}={shown(value)} (of type {type(value).__name__}); expected an array of real"
            " numbers."
        )
        raise InputTypeError(msg) from cause
    if array.dtype.kind not in _REAL:
        what = (
            "none of which numpy has a dtype for"
            if array.dtype.kind == "O"
            else "which are no real numbers"
        )
        msg = f"{name} has dtype {array.dtype} ({what}); expected real numbers, such as float64."
        raise InputTypeError(msg)
    if shape and (
        array.ndim != shape.count(",") + (not shape.endswith(",)"))
        or any(n < least for n in array.shape)
    ):
        some = f" with at least {least} of each" if least else ""
        msg = f"{name} has shape {array.shape}; expected {shape}{some}."
        raise InputError(msg)
    array = array if array.dtype.kind == "f" else array.astype(np.float64)
    if finite:
        _require_finite(name, array)
    return array


def as_weights(name: str, value: Any, n: int) -> np.ndarray:
    """Return `n` weights in float64 that sum to one; uniform ones for None.

    Raises
    ------
    InputError
        Another number of them, or weights that are negative, not finite, or all zero.
    """
    if value is None:
        return np.full(n, 1.0 / n)
    weight = as_array(name, value, finite=False)
    if weight.ndim != 1 or not np.isfinite(weight).all():
        msg = (
            f"{name} must be {n} non-negative finite numbers, not all zero; found shape"
            f" {weight.shape}, or NaN or infinity."
        )
        raise InputError(msg)
    weight = weight.astype(np.float64)
    if weight.shape != (n,) or (weight < 0).any() or weight.sum() <= 0:
        found = (
            f"found {len(weight)}, from {weight.min(initial=0.0):g} to {weight.max(initial=0.0):g}"
        )
        msg = f"{name} must be {n} non-negative finite numbers, not all zero; {found}."
        raise InputError(msg)
    return np.asarray(weight / weight.sum())


def _require_finite(name: str, array: np.ndarray) -> None:
    """Refuse NaN, infinity and values whose squares overflow, with the place of the first."""
    bad = ~np.isfinite(array)
    if bad.any():
        at = np.argwhere(bad)[0].tolist()
        place = (
            f" in row {at[0]}, column {at[1]}"
            if len(at) == 2
            else "".join(f" at position {k}" for k in at[:1])
        )
        msg = (
            f"{name} has {array[tuple(at)]}{place}, which is not finite; expected finite numbers."
            " Remove such cells."
        )
        raise InputError(msg)
    largest = float(np.abs(array).max(initial=0.0))
    if largest > LARGEST:
        msg = (
            f"{name} has absolute values up to {largest:.3g}, whose squares overflow; expected at"
            f" most {LARGEST:g}."
        )
        raise InputError(msg)


def _size(size: int) -> str:
    """Bytes in words."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:,.4g} {unit}"
        size /= 1024  # type: ignore[assignment] # a number for the eye
    return f"{size:,.3g} PB"
