"""Staged values into an AnnData: all of them, or none."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cellflow.core._warn import ignored

if TYPE_CHECKING:
    from types import FrameType

    from anndata import AnnData

__all__ = ["commit"]


def commit(
    adata: AnnData, staged: Mapping[Any, Mapping[str, Any]], remove: Iterable[tuple[str, str]]
) -> None:
    """Remove and write entries; on any exception, an interrupt included, the AnnData is as it was.

    That includes the order of keys. Signals wait until it is done, so that Ctrl-C finds either
    nothing or everything written. A view becomes a copy first.

    Parameters
    ----------
    adata
        What is changed.
    staged
        Values by slot and key.
    remove
        (slot, key) of what is to be removed; those that are not there are passed over.
    """
    from anndata import ImplicitModificationWarning

    remove = sorted(remove)
    with _signals_deferred(), ignored(ImplicitModificationWarning):
        attributes = dict(vars(adata))
        touched = {slot for slot, _ in remove} | set(staged)
        contents = (
            {} if adata.is_view else {slot: _content(getattr(adata, slot)) for slot in touched}
        )
        try:
            if adata.is_view:
                # anndata replaces a view by a copy when anything of it is set.
                adata.obs_names = adata.obs_names
            for slot, key in remove:
                if key in getattr(adata, slot):
                    del getattr(adata, slot)[key]
            for slot, values in staged.items():
                for key, value in values.items():
                    getattr(adata, slot)[key] = value
        except BaseException:
            # Parts of a view are not touched: they are replaced, and come back with the attributes.
            vars(adata).clear()
            vars(adata).update(attributes)
            for slot, content in contents.items():
                _restore(adata, slot, content)
            raise


def _content(slot: Any) -> Any:
    """The entries of a slot in their order; no array is copied."""
    if hasattr(slot, "iloc"):
        return slot.copy(deep=False)
    return {key: value for key, value in slot.items() if key is not None}


def _restore(adata: AnnData, slot: str, content: Any) -> None:
    if hasattr(content, "iloc"):
        setattr(adata, slot, content)
        return
    current = getattr(adata, slot)
    for key in [key for key in current if key is not None]:  # layers[None] is X in anndata 0.13
        del current[key]
    for key, value in content.items():
        current[key] = value


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Keep signals that have a handler in Python until the end, then handle them in their order.

    Python runs handlers in the main thread only, so nothing is to be done in another.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    handlers = {
        number: handler
        for number in signal.valid_signals()
        if callable(handler := signal.getsignal(number))
    }
    is_over = False

    def handle(number: int, frame: FrameType | None) -> None:
        if is_over:
            handlers[signal.Signals(number)](number, frame)
        else:
            waiting.append((number, frame))

    try:
        for number in handlers:
            signal.signal(number, handle)
        yield
    finally:
        is_over = True  # whatever comes from now on is handled at once
        try:
            _install(handlers)
        except BaseException:
            _install(handlers)
            raise
        for came, frame in waiting:
            handlers[signal.Signals(came)](came, frame)


def _install(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
