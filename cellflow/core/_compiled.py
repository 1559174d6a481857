"""Compilation of loops by numba, at the first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["compiled", "compiled_for_finite"]

#: Flags of fast arithmetic that let minima be vectorised. Sums keep their order.
_FINITE = frozenset({"nnan", "nsz", "contract"})


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function by numba at its first call, and cache the machine code on disk.

    The cache is beside the module or in the user's folder. Where neither is writable (containers),
    each process compiles again.
    """
    return _compiled(function, fastmath=False)


def compiled_for_finite(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function whose input has no NaN, so that minima over arrays are vectorised."""
    return _compiled(function, fastmath=set(_FINITE))


def _compiled(function: Callable[..., Any], *, fastmath: bool | set[str]) -> Callable[..., Any]:
    import numba

    try:
        return numba.njit(cache=True, nogil=True, fastmath=fastmath)(function)
    except RuntimeError:  # no writable folder for the cache
        return numba.njit(nogil=True, fastmath=fastmath)(function)
