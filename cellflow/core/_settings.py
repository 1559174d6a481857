"""Settings of numpy and torch during a public call: their defaults, for any settings of the caller.

Gradients, inference mode, autocast, the default device and numpy's error state belong to a thread.
The default dtype and the warning filters belong to the process, so the calls that are running are
counted.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = ["guarded", "offers", "running"]

P = ParamSpec("P")
R = TypeVar("R")

#: The public call that the user made, while it runs.
_CALL: ContextVar[Callable[..., Any] | None] = ContextVar("cellflow_call", default=None)


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Run a public function under the defaults of numpy and torch; the settings are restored.

    A call inside of another one starts from the defaults too. torch is not imported here: before
    its import, its settings are the defaults.

    Examples
    --------
    >>> @guarded
    ... def underflow():
    ...     return np.exp(np.array([-1000.0]))
    >>> with np.errstate(all="raise"):
    ...     underflow().tolist()
    [0.0]
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _CALL.set(function) if _CALL.get() is None else None
        try:
            with _defaults():
                return function(*args, **kwargs)
        finally:
            if token is not None:
                _CALL.reset(token)

    # `wraps` does not copy them, and some callers read defaults there.
    call.__kwdefaults__ = getattr(function, "__kwdefaults__", None)  # type: ignore[attr-defined]
    return call


def offers(*names: str) -> bool:
    """Whether the public call that runs has all of these arguments, so that a remedy may name them.

    True outside of public calls.
    """
    call = _CALL.get()
    return call is None or set(names) <= _arguments(call)


def running() -> str:
    """Name of the public call that runs, such as `"cf.tl.flow"`; empty outside of one."""
    call = _CALL.get()
    if call is None:
        return ""
    return ".".join(["cf", *call.__module__.split(".")[1:2], call.__name__])


@cache
def _arguments(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(signature(function).parameters)


@contextmanager
def _defaults() -> Iterator[None]:
    with _FILTERS, ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        if "torch" in sys.modules:
            import torch

            if torch.is_inference_mode_enabled():
                stack.enter_context(torch.inference_mode(mode=False))
            if not torch.is_grad_enabled():
                stack.enter_context(torch.enable_grad())
            for device in ("cpu", "cuda"):
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
            stack.enter_context(_SINGLE_PRECISION())
        yield


class _SinglePrecision:
    """float32 as torch's default dtype, until the last thread has ended its call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: Counter[int] = Counter()
        #: What the caller had set, to be put back by the last thread that leaves.
        self._pending: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Compute in it."""
        import torch

        here = threading.get_ident()
        with self._lock:
            found = torch.get_default_dtype()
            self._threads[here] += 1
            if found != torch.float32:
                torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            with self._lock:
                self._threads[here] -= 1
                nested = self._threads[here] > 0
                if not nested:
                    del self._threads[here]
                alone = len(self._threads) == nested
                if found != torch.float32 and alone:
                    torch.set_default_dtype(found)
                elif found != torch.float32 and not nested:
                    self._pending = found
                elif not self._threads and self._pending is not None:
                    torch.set_default_dtype(self._pending)
                if not self._threads:
                    self._pending = None


_SINGLE_PRECISION = _SinglePrecision()


class _Filters:
    """Restore the warning filters after calls of several threads at the same time.

    `warnings.catch_warnings`, which other packages use at every turn, puts back what it found. Of
    two threads, the one that leaves last puts back what the other one had changed. One thread alone
    cannot disturb itself, and nothing is touched then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: Counter[int] = Counter()
        self._several = False
        self._before: tuple[Any, list[Any], Any] = ([], [], None)

    def __enter__(self) -> None:
        with self._lock:
            if not self._threads:
                self._before = (warnings.filters, list(warnings.filters), warnings.showwarning)
                self._several = False
            self._threads[threading.get_ident()] += 1
            self._several |= len(self._threads) > 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            here = threading.get_ident()
            self._threads[here] -= 1
            if not self._threads[here]:
                del self._threads[here]
            if not self._threads and self._several:
                filters, entries, show = self._before
                filters[:] = entries
                warnings.filters = filters
                warnings.showwarning = show
                with warnings.catch_warnings():  # tells the interpreter that filters have changed
                    pass


_FILTERS = _Filters()
