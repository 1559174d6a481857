"""Warnings: ours are shown at the line of the caller or collected, foreign ones are ignored for the length of a block."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cellflow.errors import level_of_caller

__all__ = ["collected", "ignored", "warn"]

#: Warning filters belong to the process: two threads that change and restore them at the same time
#: would leave either's.
_FILTERS = threading.RLock()
#: Messages that are collected in this thread, or None where warnings are shown.
_COLLECTED: ContextVar[list[str] | None] = ContextVar("cellflow_warnings", default=None)


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called the package, however deep the call is; inside of `collected`, keep the message there."""
    messages = _COLLECTED.get()
    if messages is None:
        warnings.warn(message, category, stacklevel=level_of_caller())
    else:
        messages.append(message)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Collect our own warnings of this thread as messages; warnings of others are shown as ever.

    Warning filters are left alone, so that threads cannot disturb each other.
    """
    messages: list[str] = []
    token = _COLLECTED.set(messages)
    try:
        yield messages
    finally:
        _COLLECTED.reset(token)


@contextmanager
def ignored(category: type[Warning], *, message: str = "", module: str = "") -> Iterator[None]:
    """Ignore a category of foreign warnings in a short block: those that begin with a message, or come from a module.

    One thread at a time is inside, because the filters belong to the process.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=message, category=category, module=module)
        yield
