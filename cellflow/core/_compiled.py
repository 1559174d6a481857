"""Loops that numpy has no words for, compiled at their first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["compiled", "compiled_for_finite"]

#: What vectorised minima need: no NaN, and no care for the sign of zero. Sums keep their order.
_FINITE = frozenset({"nnan", "nsz", "contract"})


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile by numba at the first call, and keep the machine code beside the module or in the user's cache.

    Where neither can be written (containers, read-only homes), it is compiled anew in each process.
    """
    return _compiled(function, fastmath=False)


def compiled_for_finite(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that never meets NaN, so that minima over arrays are vectorised."""
    return _compiled(function, fastmath=set(_FINITE))


def _compiled(function: Callable[..., Any], *, fastmath: bool | set[str]) -> Callable[..., Any]:
    import numba

    try:
        return numba.njit(cache=True, nogil=True, fastmath=fastmath)(function)
    except RuntimeError:  # numba found no folder to keep its cache in
        return numba.njit(nogil=True, fastmath=fastmath)(function)
