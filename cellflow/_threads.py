"""How many threads torch may use while cellflow computes; the user's own setting is put back afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from cellflow._numbers import as_count

__all__ = ["as_threads", "choose_threads", "torch_threads"]

_PROBED_CALLS = 10


@contextmanager
def torch_threads(threads: int = 1) -> Iterator[None]:
    """Run the block with this many torch threads.

    One thread is the default everywhere: the networks are small, and at its own default torch was 50 to 200 times slower
    beside a single busy process. It also keeps results identical from run to run.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def as_threads(threads: object) -> int | Literal["auto"]:
    """Return the argument `threads`.

    Raises
    ------
    InputError
        For anything but a positive integer or `"auto"`.
    """
    return "auto" if threads == "auto" else as_count("threads", threads, remedy=" or 'auto'")


def choose_threads(threads: int | Literal["auto"], work: Callable[[], object]) -> int:
    """Return the number of threads to use; `"auto"` times `work` with one and with all, and takes the faster."""
    if threads != "auto":
        return threads
    seconds = {}
    for candidate in {1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1}:
        with torch_threads(candidate):
            work()
            start = time.perf_counter()
            for _ in range(_PROBED_CALLS):
                work()
            seconds[candidate] = time.perf_counter() - start
    return min(seconds, key=lambda n: (seconds[n], n))
