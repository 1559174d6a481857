"""Thread counts of other libraries while cellflow computes; the user's setting is restored."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

from cellflow.core._numbers import as_count

__all__ = ["as_threads", "choose_threads", "one_library_thread", "torch_threads"]

#: Calls that are timed for `threads="auto"`.
_PROBED_CALLS = 10
#: Held while a number of threads is changed.
_CHANGING = threading.Lock()


@contextmanager
def torch_threads(threads: int = 1) -> Iterator[None]:
    """Run the block with this many torch threads, in the calling thread only.

    One thread is the default everywhere. The networks are small; with torch's own default, fits
    were 50 to 200 times slower beside a single busy process. One thread also makes results
    reproducible.
    """
    import torch

    before = torch.get_num_threads()
    _set_torch_threads(threads)
    try:
        yield
    finally:
        _set_torch_threads(before)


def _set_torch_threads(threads: int) -> None:
    """Set torch's number of threads for the calling thread only.

    `torch.set_num_threads` sets the number of the calling thread and the initial number of later
    threads. A helper thread restores the second one. Builds of torch without OpenMP have one number
    for the whole process; there it is set for all threads.
    """
    import torch

    if torch.get_num_threads() == threads:
        return
    with _CHANGING, ThreadPoolExecutor(1) as helper:
        beginning = helper.submit(torch.get_num_threads).result()
        torch.set_num_threads(threads)
        helper.submit(torch.set_num_threads, beginning).result()
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextmanager
def one_library_thread() -> Iterator[None]:
    """Run the block with one OpenMP thread (calling thread) and one BLAS thread (whole process)."""
    from threadpoolctl import threadpool_limits

    with _ONE_BLAS_THREAD, threadpool_limits(1, user_api="openmp"):
        yield


class _OneBlasThread:
    """One limit of the BLAS libraries for all threads that are inside, because it is global."""

    def __init__(self) -> None:
        self._inside = 0
        self._limits: Any = None

    def __enter__(self) -> None:
        from threadpoolctl import threadpool_limits

        with _CHANGING:
            if self._inside == 0:
                self._limits = threadpool_limits(1, user_api="blas")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with _CHANGING:
            self._inside -= 1
            if self._inside == 0:
                self._limits.restore_original_limits()


_ONE_BLAS_THREAD = _OneBlasThread()


def as_threads(threads: object) -> int | Literal["auto"]:
    """Return the argument `threads`.

    Raises
    ------
    InputError
        For anything but a positive integer or `"auto"`.
    """
    if isinstance(threads, str) and threads == "auto":
        return "auto"
    return as_count("threads", threads, remedy=" or 'auto'")


def choose_threads(threads: int | Literal["auto"], work: Callable[[], object]) -> int:
    """Return the number of threads; `"auto"` times `work` with one and with all."""
    if threads != "auto":
        return threads
    seconds = {}
    affinity = hasattr(os, "sched_getaffinity")
    for candidate in {1, len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1}:
        with torch_threads(candidate):
            work()
            start = time.perf_counter()
            for _ in range(_PROBED_CALLS):
                work()
            seconds[candidate] = time.perf_counter() - start
    return min(seconds, key=lambda n: (seconds[n], n))
