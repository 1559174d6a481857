"""Paths of files and folders to write: checked before any work."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellflow.errors import CellFlowError, InputTypeError, OutputError

__all__ = ["as_path", "check_writable", "explained", "make_folder", "output_errors", "resolved"]

#: Errors of a full disk: full itself, by quota, or by the limit of the process on file sizes.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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
    """Turn errors of the system into an `OutputError` with the path, the reason and a remedy."""
    try:
        yield
    except CellFlowError:
        raise
    except OSError as cause:
        raise OutputError(explained(path, cause)) from cause


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
        raise OutputError(explained(path, cause)) from cause


def check_writable(path: str | os.PathLike[str], *, suffix: str = ".h5ad") -> Path:
    """Require, before any work, that a file can be written; returns the path, links resolved.

    Raises
    ------
    OutputError
        No such folder, something else than a file in its place, another ending, an unusable name,
        or no permission.
    """
    path = as_path(path)
    if path.suffix != suffix:
        better = path.with_suffix(suffix).name if path.suffix not in {"", "."} else ""
        name = better or (f"{path.name}{suffix}" if path.name else f"a name{suffix}")
        msg = f"{_shown(path)} does not end in {suffix!r}; write {name!r}."
        raise OutputError(msg)
    target = resolved(path)
    with output_errors(path):
        fault = _fault(path, target)
    if fault:
        raise OutputError(fault)
    return target


def _fault(path: Path, target: Path) -> str:
    """Why no file can be written at `target`, or an empty text."""
    folder = target.parent
    if not folder.is_dir():
        return (
            f"{path} cannot be written: its folder {folder} does not exist. Make it first, or"
            " choose another."
        )
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "not a regular file"
        return f"{path} is {kind}; give the name of a file that may be replaced."
    longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    if len(os.fsencode(target.name)) > longest:
        return (
            f"The name {target.name[:40]!r}... has {len(target.name)} characters; choose one of at"
            f" most {longest}."
        )
    closed = not os.access(folder, os.W_OK | os.X_OK)
    if closed or (target.exists() and not os.access(target, os.W_OK)):
        return (
            f"{path} cannot be written: no permission in {folder}. Choose another folder, or change"
            " the permission."
        )
    return ""


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


def _shown(path: Path) -> str:
    text = str(path)
    return repr(text if len(text) <= 100 else f"{text[:80]}...")


def _reason(cause: BaseException) -> str:
    """Why the system refuses, in a few words."""
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__


def explained(path: Path, cause: BaseException, *, reached: int = 0) -> str:
    """What could not be written, why, and what to do."""
    number: Any = getattr(cause, "errno", None)
    if number in _FULL:
        free = shutil.disk_usage(path.parent).free
        return (
            f"{path} could not be written: disk full, or the limit on file sizes reached"
            f" ({_reason(cause)}), after {reached / 1e6:.1f} MB ({free / 1e6:.1f} MB free now)."
            " Free some space or choose another folder; what was there before is as it was."
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
