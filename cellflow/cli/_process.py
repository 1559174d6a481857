"""How the process behaves: its streams, signals, environment, warnings and log."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from cellflow.errors import OutputError

if TYPE_CHECKING:
    from types import FrameType

__all__ = [
    "discard",
    "print_result",
    "process_settings",
    "say",
    "standard_streams",
    "terminate",
    "write_out",
]

#: Signals that end the program in order, with 128 and their number as its exit code.
_ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def say(message: object) -> None:
    """Print a message on stderr. Where stderr cannot be written, the message is dropped."""
    try:
        print(_encodable(message, sys.stderr), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        discard(sys.stderr)


def print_result(text: str, *, closed: bool) -> None:
    """Print a result on stdout.

    Raises
    ------
    OutputError
        It cannot be printed; a program that waits for it has to know.
    """
    if closed:
        msg = (
            "The result cannot be printed: standard output is closed. What was said to be written"
            " is written."
        )
        raise OutputError(msg)
    write_out(f"{text}\n")


def write_out(text: str = "") -> None:
    """Print text on stdout, after what was printed before, and flush.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        if text:
            print(_encodable(text, sys.stdout), end="")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as cause:
        discard(sys.stdout)
        msg = f"The result cannot be printed ({cause}). What was said to be written is written."
        raise OutputError(msg) from cause


def _encodable(text: object, stream: TextIO) -> str:
    """Text as the encoding of a stream can write it; other characters as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return str(text).encode(encoding, "backslashreplace").decode(encoding)


def discard(stream: TextIO) -> None:
    """Redirect a stream to the null device, because Python writes its buffer again at exit."""
    # A stream without a number, as a test has it, is not written at exit.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def standard_streams() -> Iterator[bool]:
    """Replace standard streams that are closed by the null device. Gives whether stdout was closed.

    Otherwise the next file that is opened would get the number of the stream, and what other
    packages print would be written into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    before = (sys.stdout, sys.stderr)
    closed = [stream is None or stream.closed for stream in before]
    with open(os.devnull, "w", encoding="utf-8") as null:  # noqa: PTH123 (a device)
        if closed[0]:
            sys.stdout = null
        if closed[1]:
            sys.stderr = null
        try:
            yield closed[0]
        finally:
            sys.stdout, sys.stderr = before


class _Lines(logging.Handler):
    """Log records as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of a record; what was added to an AnnData is in the result."""
        if record.name != "cellflow.added":
            say(self.format(record))


@contextmanager
def process_settings() -> Iterator[None]:
    """Set the process up for a command, and put everything back afterwards.

    Warnings and log records are single lines on stderr, caches can be written, and a signal to
    terminate ends the program in order.
    """
    logger = logging.getLogger("cellflow")
    handler = _Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDINGS:
            # A program that was started by nohup keeps ignoring the end of its terminal.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, terminate)
    try:
        with _environment(), warnings.catch_warnings():
            warnings.showwarning = lambda text, kind, *_: say(f"{kind.__name__}: {text}")
            yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def _environment() -> Iterator[None]:
    """Set variables that other packages read and that are not set yet; removed afterwards."""
    from cellflow.core._files import remove_leftovers, temporary_name

    # Pictures go to files; a window would fail on a server.
    wanted = {"MPLBACKEND": "agg"}
    with ExitStack() as stack:
        if not os.access(Path("~").expanduser(), os.W_OK):
            place = Path(tempfile.gettempdir())
            remove_leftovers(place)
            caches = stack.enter_context(temporary_name(place))
            caches.mkdir(mode=0o700)
            wanted |= dict.fromkeys(("MPLCONFIGDIR", "NUMBA_CACHE_DIR"), str(caches))
        missing = [variable for variable in wanted if variable not in os.environ]
        try:
            os.environ.update({variable: wanted[variable] for variable in missing})
            yield
        finally:
            for variable in missing:
                os.environ.pop(variable, None)


def terminate(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 (a signal handler)
    """End the program with the code of a signal; a second signal does not stop the cleaning."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
