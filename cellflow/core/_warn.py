"""Warnings of cellflow at the line of the caller, or collected; warnings of others ignored."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cellflow.errors import level_of_caller

__all__ = ["collected", "ignored", "warn"]

#: Held while warning filters are changed, because they are global.
_FILTERS = threading.RLock()
#: Messages that are collected in this thread, or None where warnings are shown.
_COLLECTED: ContextVar[list[str] | None] = ContextVar("cellflow_warnings", default=None)


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called the package, or collect the message inside of `collected`."""
    messages = _COLLECTED.get()
    if messages is None:
        warnings.warn(message, category, stacklevel=level_of_caller())
    else:
        messages.append(message)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Collect the warnings of cellflow in this thread as messages.

    Warnings of other packages are shown. Warning filters do not change.
    """
    messages: list[str] = []
    token = _COLLECTED.set(messages)
    try:
        yield messages
    finally:
        _COLLECTED.reset(token)


@contextmanager
def ignored(category: type[Warning], *, message: str = "", module: str = "") -> Iterator[None]:
    """Ignore warnings of other packages in a short block, by category, message and module.

    Only one thread at a time is in such a block, because warning filters are global.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=message, category=category, module=module)
        yield
