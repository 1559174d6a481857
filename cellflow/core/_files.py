"""Files that are written as a whole or not at all; what prevents it is an `OutputError`."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from cellflow.core._paths import check_writable, explained
from cellflow.errors import CellFlowError, OutputError

__all__ = [
    "folder_lock",
    "is_temporary",
    "remove_leftovers",
    "replaced",
    "synced",
    "temporary_name",
    "write_bytes",
    "write_text",
]

#: Names of files that are being written: host, process, random digits.
_TEMPORARY = re.compile(r"\.cellflow-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}\.tmp")
#: Attempts to lock a folder that another process has locked.
_WAITS = 200
#: Seconds between two attempts.
_WAIT_SECONDS = 0.05
#: Temporary names of this process; others with its number are of an earlier process that had the
#: same one.
_in_use: set[str] = set()


@contextmanager
def replaced(target: Path, *, like: Path | None = None) -> Iterator[FileIO]:
    """Open a file under a temporary name beside `target`, which it replaces if the block succeeds.

    At every instant there is the old file or the complete new one. The new one is forced to the
    disk before it takes the place. It keeps the mode of the old one (or that of `like`), and gets
    that of the user's umask where there is none. `target` has its links resolved, so that a link
    stays a link. Files that processes left behind when they were killed are removed.

    Raises
    ------
    OutputError
        The system refuses; the old file is as it was, and nothing is left behind.
    """
    remove_leftovers(target.parent)
    with temporary_name(target.parent) as temporary:
        try:
            model = target if like is None else like
            old = model.stat() if model.exists() else None
            # Users who may not read the old file may not read the new one while it is written.
            mode = 0o666 if old is None else 0o600
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with FileIO(os.open(temporary, flags, mode), "r+") as file:
                yield file
                os.fsync(file.fileno())
            if old is not None:
                _like(temporary, old)
            temporary.replace(target)
        except CellFlowError:
            raise
        except OSError as cause:
            reached = temporary.stat().st_size if temporary.exists() else 0
            raise OutputError(explained(target, cause, reached=reached)) from cause
    synced(target.parent)


def write_bytes(target: Path, content: bytes | memoryview, *, like: Path | None = None) -> None:
    """Write a file of given content; see `replaced`."""
    view = memoryview(content).cast("B")
    with replaced(target, like=like) as file:
        while len(view):
            view = view[file.write(view) :]


def write_text(text: str, path: str | os.PathLike[str], *, suffix: str) -> Path:
    """Write a text file in UTF-8; returns the path, links resolved.

    Raises
    ------
    OutputError
        As `check_writable` and `replaced`.
    """
    target = check_writable(path, suffix=suffix)
    # Half of a surrogate pair, as in a damaged name, has no encoding.
    write_bytes(target, text.encode("utf-8", errors="replace"))
    return target


@contextmanager
def temporary_name(folder: Path) -> Iterator[Path]:
    """A name that no other process takes; a file or folder of that name is removed at the end."""
    name = f".cellflow-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.tmp"
    _in_use.add(name)
    try:
        yield folder / name
    finally:
        _remove(folder / name)
        _in_use.discard(name)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that is being written, or was left behind."""
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes and threads that lock it, where the system can (POSIX).

    The lock ends with the process, and nothing has to be removed. File systems that cannot lock
    folders go without.

    Raises
    ------
    OutputError
        Another one holds it for too long.
    """
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = None
    try:
        with suppress(PermissionError):
            handle = os.open(folder, os.O_RDONLY)
        for _ in range(_WAITS if handle is not None else 0):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
            except BlockingIOError:
                time.sleep(_WAIT_SECONDS)
            except OSError:
                break
            else:
                break
        else:
            if handle is not None:
                msg = (
                    f"{folder} is being written to by another process. Wait for it, or choose"
                    " another folder."
                )
                raise OutputError(msg)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that are gone had under temporary names in a folder.

    Processes of other machines that share the folder cannot be asked for, so theirs stay.
    """
    # A user who may not list the folder, or remove another user's file, can still write a file.
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 (three times as fast)
            found = _TEMPORARY.fullmatch(name)
            if found and found[1] == _host() and name not in _in_use and not _others(int(found[2])):
                _remove(folder / name)


def synced(folder: Path) -> None:
    """Force the entries of a folder to the disk, where the system can (POSIX).

    What was written is whole under its name already, so a folder that cannot be opened for this is
    no failure: only a power cut within seconds could still bring the old file back.
    """
    if os.name == "posix":
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _others(process: int) -> bool:
    """Whether another process of this number is running on this machine."""
    if os.name != "posix":  # there, signal 0 is Ctrl-C
        return True
    if process == os.getpid() or not 0 < process < 2**31:
        return False
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _like(temporary: Path, old: os.stat_result) -> None:
    """Give a new file the group and the mode of the old one, and its owner where possible."""
    new = temporary.stat()
    if os.name == "posix" and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.chown(temporary, old.st_uid, old.st_gid)
    temporary.chmod(old.st_mode & 0o7777)
