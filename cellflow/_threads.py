"""How many threads torch may use while cellflow computes; the user's own setting is put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["torch_threads"]


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
