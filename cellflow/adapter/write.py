"""Back into the AnnData, all or nothing; and into files, the same."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from cellflow.errors import InputError, OutputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Staged", "check_writable", "target_of", "write", "write_h5ad", "write_text"]

logger = logging.getLogger("cellflow")

Slot: TypeAlias = Literal["obs", "var", "obsm", "layers", "uns"]
#: Values by slot and key.
Staged: TypeAlias = dict[Slot, dict[str, Any]]
_ABSENT = object()
#: Errors of a disk that has no room: really, by quota, or by the limit of the process on a file's size.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(adata: AnnData, staged: Staged, *, remove: Iterable[tuple[str, str]] = ()) -> None:
    """Write results into an AnnData; on any exception, it is left as it was, key for key.

    Parameters
    ----------
    adata
        Where to; a view becomes a copy, which is logged.
    staged
        Values by slot and key.
    remove
        (slot, key) of results that are out of date; those that are not there are passed over.

    Raises
    ------
    InputError
        A value of a shape or type that does not belong there, or that an h5ad could not hold. Nothing is written then.
    """
    for slot, values in staged.items():
        for key, value in values.items():
            _check(adata, slot, key, value)
    fresh = {(slot, key) for slot, values in staged.items() for key in values}
    if adata.is_view:
        logger.info("The AnnData was a view of another one; it is now a copy of its own, which holds the results.")
    before: list[tuple[str, str, Any]] = []
    from anndata import ImplicitModificationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        try:
            for place, name in set(remove) - fresh:
                if name in getattr(adata, place):
                    before.append((place, name, getattr(adata, place)[name]))
                    del getattr(adata, place)[name]
            for slot, values in staged.items():
                for key, value in values.items():
                    before.append((slot, key, getattr(adata, slot).get(key, _ABSENT)))
                    getattr(adata, slot)[key] = value
        except BaseException:
            for place, name, old in reversed(before):
                if old is not _ABSENT:
                    getattr(adata, place)[name] = old
                elif name in getattr(adata, place):
                    del getattr(adata, place)[name]
            raise


def target_of(adata: AnnData, *, copy: bool) -> AnnData:
    """Return the AnnData that results go to: the given one, or a copy of it.

    Raises
    ------
    InputError
        A copy of an AnnData that lives in a file.
    """
    if copy and adata.isbacked:
        msg = "copy=True of an AnnData that is backed by a file. Expected one in memory: pass adata.to_memory() instead."
        raise InputError(msg)
    return adata.copy() if copy else adata


def check_writable(path: str | os.PathLike[str], *, suffix: str = ".h5ad") -> Path:
    """Make sure, before any work, that a file can be written there; returns the path, links resolved.

    Raises
    ------
    OutputError
        No such folder, a folder in place of the file, another ending, a name that is too long, or no permission.
    """
    path = Path(path)
    if path.suffix != suffix:
        msg = (
            f"{path} does not end in {suffix!r}; write {path.with_suffix(suffix).name if path.name else f'a name{suffix}'!r}."
        )
        raise OutputError(msg)
    try:
        target = path.resolve()
        is_folder, folder = target.is_dir(), target.parent
        missing = not folder.is_dir()
        longest = 255 if missing else os.pathconf(folder, "PC_NAME_MAX")
    except OSError as cause:
        msg = f"{str(path)[:80]!r} is no usable path ({cause.strerror}); choose a shorter one."
        raise OutputError(msg) from cause
    if missing:
        msg = f"{path} cannot be written: its folder {folder} does not exist. Make it first, or choose another."
    elif is_folder:
        msg = f"{path} is a folder; give the name of a file in it."
    elif len(os.fsencode(target.name)) > longest:
        msg = f"The name {target.name[:40]!r}... has {len(target.name)} characters; choose one of at most {longest}."
    elif not os.access(folder, os.W_OK | os.X_OK) or (target.exists() and not os.access(target, os.W_OK)):
        msg = f"{path} cannot be written: no permission in {folder}. Choose another folder, or change the permission."
    else:
        return target
    raise OutputError(msg)


def write_h5ad(adata: AnnData, path: str | os.PathLike[str], *, compression: Literal["gzip", "lzf"] | None = None) -> None:
    """Write an h5ad so that the file at `path` is at any moment either the old one or the complete new one.

    Written beside it under a temporary name, forced to the disk, then moved into its place; a symbolic link stays one.

    Raises
    ------
    OutputError
        The path cannot be written, or the disk is full; what was there before is untouched and nothing is left behind.
    InputError
        Something in the AnnData cannot be stored in an h5ad; the message names it.
    """
    target = check_writable(path)
    temporary = target.parent / f".cellflow-{secrets.token_hex(6)}.tmp"
    try:
        try:
            # Converting text columns to categories would change the caller's AnnData.
            adata.write_h5ad(temporary, compression=compression, convert_strings_to_categoricals=False)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as cause:
            _raise_if_full(cause, target, temporary)
            raise
        except Exception as cause:
            named = " ".join([str(cause), *getattr(cause, "__notes__", ())])
            msg = f"The AnnData cannot be stored as an h5ad: {named}. Convert or remove what is named."
            raise InputError(msg) from cause
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(target.parent)


def write_text(text: str, path: str | os.PathLike[str], *, suffix: str) -> Path:
    """Write a text file the same way, in UTF-8; returns the path, links resolved.

    Raises
    ------
    OutputError
        As `write_h5ad`.
    """
    target = check_writable(path, suffix=suffix)
    temporary = target.parent / f".cellflow-{secrets.token_hex(6)}.tmp"
    try:
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as cause:
            _raise_if_full(cause, target, temporary)
            raise
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(target.parent)
    return target


def _raise_if_full(cause: BaseException, target: Path, temporary: Path) -> None:
    """Say so when a disk is full; HDF5 hides the error number in its text."""
    chain: BaseException | None = cause
    while chain is not None:
        number = getattr(chain, "errno", None)
        if number in _FULL or any(f"errno = {n}," in str(chain) for n in _FULL) or "unable to extend file" in str(chain):
            reached = temporary.stat().st_size if temporary.exists() else 0
            free = shutil.disk_usage(target.parent).free
            msg = (
                f"{target} could not be written: disk full, or the limit on file sizes reached, after {reached / 1e6:.1f} MB "
                f"({free / 1e6:.1f} MB free now). Make room or choose another folder; the old file is as it was."
            )
            raise OutputError(msg) from cause
        chain = chain.__cause__ or chain.__context__


def _sync(folder: Path) -> None:
    """Force a folder's entries to the disk, where the system can (POSIX)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _check(adata: AnnData, slot: str, key: str, value: Any) -> None:
    """Make sure that a value fits its slot and an h5ad."""
    where = f"adata.{slot}[{key!r}]"
    if slot == "uns":
        _check_plain(key, value, "adata.uns")
        return
    n = adata.n_vars if slot == "var" else adata.n_obs
    shape = np.shape(value)
    wanted = {"obs": (n,), "var": (n,), "layers": adata.shape}.get(slot, (n, *shape[1:]))
    if shape != wanted or (slot == "obsm" and len(shape) < 2):
        msg = f"{where} would get shape {shape}; expected {wanted if slot != 'obsm' else f'({n}, d, ...)'}."
        raise InputError(msg)
    values = value.data if hasattr(value, "nnz") else np.asarray(value)  # of a sparse matrix, what is stored
    if values.dtype.kind not in ("biufUOS" if slot in {"obs", "var"} else "biuf"):
        msg = f"{where} would get values of dtype {values.dtype}, which an h5ad cannot hold there."
        raise InputError(msg)
    if "velocity" in key and values.dtype.kind == "f" and not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        msg = f"{where} would get {n_bad} values that are not finite, and other tools drop every gene then."
        raise InputError(msg)


def _check_plain(key: object, value: Any, parent: str) -> None:
    """Make sure that a value of `uns` survives a file: text, numbers, arrays of them, tables, and groups of those."""
    import pandas as pd

    where = f"{parent}[{key!r}]"
    if not isinstance(key, str) or not key or "/" in key:
        msg = f"{where} has a key that an h5ad cannot hold; expected text without '/'."
        raise InputError(msg)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_plain(name, inner, where)
    elif isinstance(value, pd.DataFrame):
        for name in value.columns:
            if pd.api.types.is_object_dtype(value[name]):
                _check_plain(name, value[name].to_numpy(), where)
    elif isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufU" and not all(isinstance(v, str) for v in value.ravel().tolist()):
            msg = f"{where} is an array of dtype {value.dtype}, which an h5ad cannot hold."
            raise InputError(msg)
    elif not isinstance(value, str | bool | int | float | np.bool_ | np.integer | np.floating):
        msg = f"{where} is a {type(value).__name__}; expected text, a number, an array, a table or a dictionary of those."
        raise InputError(msg)
