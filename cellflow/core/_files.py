"""Files: each one is written as a whole or not at all, and what prevents it is an `OutputError` that says what and why."""

from __future__ import annotations

import errno
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
from typing import Any

from cellflow.errors import CellFlowError, InputTypeError, OutputError

__all__ = [
    "as_path",
    "check_writable",
    "folder_lock",
    "is_temporary",
    "make_folder",
    "output_errors",
    "remove_leftovers",
    "replaced",
    "resolved",
    "synced",
    "temporary_name",
    "write_bytes",
    "write_text",
]

#: Errors of a disk that has no room: really, by quota, or by the limit of the process on the size
#: of a file.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Names of files that are being written: host, process, random digits.
_TEMPORARY = re.compile(r"\.cellflow-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}\.tmp")
#: How often a folder that another process writes to is asked for, and the time between: ten seconds
#: in all.
_WAITS = 200
_WAIT_SECONDS = 0.05
#: Temporary names of this process; others with its number are of an earlier process that had the
#: same one.
_in_use: set[str] = set()


def as_path(path: object, argument: str = "path") -> Path:
    """Return an argument that is a path.

    Raises
    ------
    InputTypeError
        Neither text nor a path object.
    """
    if isinstance(path, str) or (
        isinstance(path, os.PathLike) and isinstance(os.fspath(path), str)
    ):
        return Path(path)
    msg = (
        f"{argument}={path!r} is of type {type(path).__name__}; expected a path, as text or as"
        " pathlib.Path."
    )
    raise InputTypeError(msg)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system about a path into an `OutputError` that names the path, the reason and a remedy."""
    try:
        yield
    except CellFlowError:
        raise
    except OSError as cause:
        raise OutputError(_explained(path, cause)) from cause


def resolved(path: Path) -> Path:
    """Return a path with its links resolved, whether it exists or not.

    Raises
    ------
    OutputError
        A loop of links, a character that no path can have, or a name that is too long.
    """
    try:
        return path.resolve()
    # ValueError: a null character. RuntimeError: a loop of links, in Python before 3.13.
    except (OSError, ValueError, RuntimeError) as cause:
        raise OutputError(_explained(path, cause)) from cause


def check_writable(path: str | os.PathLike[str], *, suffix: str = ".h5ad") -> Path:
    """Make sure, before any work, that a file can be written there; returns the path, links resolved.

    Raises
    ------
    OutputError
        No such folder, something else than a file in its place, another ending, an unusable name,
        or no permission.
    """
    path = as_path(path)
    if path.suffix != suffix:
        better = (
            f"{path.name}{suffix}" if path.suffix in {"", "."} else path.with_suffix(suffix).name
        )
        msg = (
            f"{_shown(path)} does not end in {suffix!r}; write"
            f" {better if path.name else f'a name{suffix}'!r}."
        )
        raise OutputError(msg)
    target = resolved(path)
    folder = target.parent
    with output_errors(path):
        kind = (
            "a folder"
            if target.is_dir()
            else "not a regular file"
            if target.exists() and not target.is_file()
            else ""
        )
        missing = not folder.is_dir()
        longest = 255 if missing else _longest_name(folder)
    if missing:
        msg = (
            f"{path} cannot be written: its folder {folder} does not exist. Make it first, or"
            " choose another."
        )
    elif kind:
        msg = f"{path} is {kind}; give the name of a file that may be replaced."
    elif len(os.fsencode(target.name)) > longest:
        msg = (
            f"The name {target.name[:40]!r}... has {len(target.name)} characters; choose one of at"
            f" most {longest}."
        )
    elif not os.access(folder, os.W_OK | os.X_OK) or (
        target.exists() and not os.access(target, os.W_OK)
    ):
        msg = (
            f"{path} cannot be written: no permission in {folder}. Choose another folder, or change"
            " the permission."
        )
    else:
        return target
    raise OutputError(msg)


def make_folder(folder: str | os.PathLike[str], *, argument: str = "folder") -> Path:
    """Make a folder where it is missing, with its parents; returns it, links resolved.

    Raises
    ------
    OutputError
        It cannot be made, is no folder, or cannot be written to.
    """
    path = as_path(folder, argument)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as cause:
        msg = (
            f"The folder {argument}={_shown(path)} cannot be made ({_reason(cause)}); choose"
            " another."
        )
        raise OutputError(msg) from cause
    target = resolved(path)
    if not os.access(target, os.W_OK | os.X_OK):
        msg = (
            f"The folder {argument}={_shown(path)} cannot be written to: no permission. Choose"
            " another, or change it."
        )
        raise OutputError(msg)
    return target


@contextmanager
def replaced(target: Path, *, like: Path | None = None) -> Iterator[FileIO]:
    """Open a file under a temporary name beside `target`, to write and to read; it takes the place if the block succeeds.

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
            # Whoever may not read the old file may not read the new one while it is written.
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
            raise OutputError(_explained(target, cause, reached=reached)) from cause
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
    """A name in a folder that no other process takes; a file or a folder of that name is removed at the end."""
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
    """Keep other processes and threads that ask for the same lock from writing into a folder, where the system can (POSIX).

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
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type] # an open folder
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
    # Whoever may not list the folder, or remove another user's file from it, can still write a file
    # of their own.
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 (names only, at a third of the time of Path objects)
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
    """Give a new file the group and the mode of the old one; the owner, too, where the system lets us."""
    new = temporary.stat()
    if os.name == "posix" and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.chown(temporary, old.st_uid, old.st_gid)
    temporary.chmod(old.st_mode & 0o7777)


def _longest_name(folder: Path) -> int:
    return os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255


def _shown(path: Path) -> str:
    text = str(path)
    return repr(text if len(text) <= 100 else f"{text[:80]}...")


def _reason(cause: BaseException) -> str:
    """Why the system refuses, in a few words."""
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__


def _explained(path: Path, cause: BaseException, *, reached: int = 0) -> str:
    """What could not be written, why, and what to do."""
    number: Any = getattr(cause, "errno", None)
    if number in _FULL:
        free = shutil.disk_usage(path.parent).free
        return (
            f"{path} could not be written: disk full, or the limit on file sizes reached"
            f" ({_reason(cause)}), after {reached / 1e6:.1f} MB ({free / 1e6:.1f} MB free now)."
            " Make room or choose another folder; what was there before is as it was."
        )
    remedies = {
        errno.ENAMETOOLONG: "Choose a shorter name",
        errno.ELOOP: "Remove the link that leads to itself",
        errno.EROFS: "Choose a folder that can be written to",
        errno.EACCES: "Choose another folder, or change the permission",
        errno.EPERM: "Choose another folder, or change the permission",
    }
    remedy = remedies.get(number, "Choose another place")
    return (
        f"{_shown(path)} could not be written: {_reason(cause)}. {remedy}; what was there before is"
        " as it was."
    )
