"""Compilation of loops by numba, at the first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["compiled"]


def compiled(function: Callable[..., Any], *, finite: bool = False) -> Callable[..., Any]:
    """Compile a function by numba at its first call, and cache the machine code on disk.

    The cache is beside the module or in the user's folder. Where neither is writable (containers),
    each process compiles again. `finite`: minima over arrays are vectorised, because the input has
    no NaN.
    """
    import numba

    # Flags of fast arithmetic that let minima be vectorised. Sums keep their order.
    fastmath = {"nnan", "nsz", "contract"} if finite else False
    try:
        return numba.njit(cache=True, nogil=True, fastmath=fastmath)(function)
    except RuntimeError:  # no writable folder for the cache
        return numba.njit(nogil=True, fastmath=fastmath)(function)
