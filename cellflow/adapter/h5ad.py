"""An AnnData in a file: checked before any work, and written as a whole."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from io import FileIO
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.core._files import replaced
from cellflow.core._paths import check_writable
from cellflow.core._warn import ignored
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["check_storable", "write_h5ad"]

#: Bytes kept in memory of what the system has refused to write; HDF5's own cache of metadata holds
#: 32 MB.
_KEPT = 64 * 1024**2
#: Arrays of fewer bytes are not compressed: their index in the file would take what that saves.
_SMALL = 2048
#: Slots of arrays by cell or by gene.
_ARRAYS = ("layers", "obsm", "varm", "obsp", "varp")


def check_storable(adata: AnnData) -> None:
    """Make sure, before any work, that an h5ad can hold everything in an AnnData.

    Tables and unstructured values are written to memory, and of every array the first row, which
    shows its type.

    Raises
    ------
    InputError
        Something cannot be stored; the message names it.
    """
    parts = {name: _sample(part) for name, part in _parts(adata).items()}
    if adata.raw is not None:
        parts["raw"] = {
            "X": _first(adata.raw.X),
            "var": adata.raw.var,
            "varm": _sample(dict(adata.raw.varm)),
        }
    with io.BytesIO() as image:
        _write(image, parts, None)


def write_h5ad(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    compression: Literal["gzip", "lzf"] | None = "gzip",
) -> None:
    """Write an h5ad; at any moment the file at `path` is the old one or the complete new one.

    Written beside it under a temporary name, forced to the disk, then moved into its place; a
    symbolic link stays one.

    Arrays are compressed with their bytes in the order of significance (HDF5's shuffle filter),
    which any reader of HDF5 undoes.

    Raises
    ------
    OutputError
        The path cannot be written, or the disk is full; what was there before is untouched and
        nothing is left behind.
    InputError
        Something in the AnnData cannot be stored in an h5ad; the message names it.
    """
    with replaced(check_writable(path)) as file:
        refused = _Refused(file)
        try:
            _write(refused, _parts(adata), compression)
        except InputError:
            if refused.error is None:
                raise
        if refused.error is not None:
            raise refused.error


def _parts(adata: AnnData) -> dict[str, Any]:
    """What is written, in the order of anndata's own writer."""
    whole = {"X": adata.X, "raw": adata.raw}
    present = {name: part for name, part in whole.items() if part is not None}
    mappings = {
        # anndata 0.13 has `X` among the layers too, under None.
        name: {key: value for key, value in getattr(adata, name).items() if key is not None}
        for name in (*_ARRAYS, "uns")
    }
    return present | {"obs": adata.obs, "var": adata.var} | mappings


def _sample(part: Any) -> Any:
    """A small part that is stored if the whole is."""
    import pandas as pd

    if isinstance(part, Mapping):
        return {key: _sample(value) for key, value in part.items()}
    return part if isinstance(part, pd.DataFrame) else _first(part)


def _first(value: Any) -> Any:
    """The first row of numbers, dense or sparse; anything else as it is."""
    kind = getattr(getattr(value, "dtype", None), "kind", "O")
    rows = getattr(value, "ndim", 0)
    return value[:1] if rows and kind in "biufc" and hasattr(value, "__getitem__") else value


def _write(stream: IO[bytes] | _Refused, parts: Mapping[str, Any], compression: str | None) -> None:
    """Write the parts of an AnnData into an open file as an h5ad."""
    import h5py
    from anndata.experimental import write_dispatched

    with _permissive(), h5py.File(stream, "w") as file:
        file.attrs["encoding-type"] = "anndata"
        file.attrs["encoding-version"] = "0.1.0"
        for name, part in parts.items():
            try:
                if name not in {"obs", "var"}:
                    _require_keys(part)
                write_dispatched(file, name, part, partial(_element, compression))
            except Exception as cause:
                named = " ".join([str(cause), *getattr(cause, "__notes__", ())])
                msg = (
                    f"The AnnData cannot be stored as an h5ad, adata.{name}: {named}. Convert or"
                    " remove it."
                )
                raise InputError(msg) from cause


def _element(
    compression: str | None,
    write: Callable[..., None],
    store: Any,
    key: str,
    element: Any,
    *,
    dataset_kwargs: Mapping[str, Any],
    **_: Any,
) -> None:
    """Write one element; arrays are compressed if they are large, dense or sparse.

    The signature is that of a callback of `anndata.experimental.write_dispatched`.
    """
    values: Any = element.data if hasattr(element, "nnz") else element
    if compression is not None and isinstance(values, np.ndarray) and values.nbytes >= _SMALL:
        by_bytes = values.dtype.kind in "biufc"  # text has no bytes of its own in the array
        dataset_kwargs = {**dataset_kwargs, "compression": compression, "shuffle": by_bytes}
    write(store, key, element, dataset_kwargs=dataset_kwargs)


@contextmanager
def _permissive() -> Iterator[None]:
    """Allow missing values in text and slashes in names of columns, which anndata refuses."""
    from anndata import settings

    name = "allow_write_nullable_strings"
    # Versions that always write them will have no such setting.
    allowed = settings.override(**{name: True}) if hasattr(settings, name) else nullcontext()
    with allowed, ignored(FutureWarning, message="Forward slashes"):
        yield


def _require_keys(part: Any, parents: tuple[str, ...] = ()) -> None:
    """Require that no key has a slash, which HDF5 reads as a group."""
    if not isinstance(part, Mapping):
        return
    for key, value in part.items():
        if "/" in str(key):
            msg = f"key {key!r}{f' in {list(parents)}' if parents else ''} has a slash"
            raise ValueError(msg)
        _require_keys(value, (*parents, str(key)))


class _Refused(io.RawIOBase):
    """A file that accepts everything and remembers what the system refused.

    HDF5 cannot close a file that it cannot write to, and ends the process instead. So a full disk
    is no error for HDF5: from then on nothing goes to the disk, and enough is kept in memory for
    what HDF5 reads again. The caller looks at `error`.
    """

    def __init__(self, file: FileIO) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._file = file
        self._position = 0
        self._end = 0
        self._kept: list[tuple[int, bytes]] = []
        self._left = _KEPT

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self._end = self._position if size is None else size
        if self.error is None:
            try:
                self._file.truncate(self._end)
            except OSError as error:
                self.error = error
        return self._end

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        if self.error is None:
            try:
                self._file.seek(self._position)
                rest = view
                while len(rest):
                    rest = rest[self._file.write(rest) :]
            except OSError as error:
                self.error = error
        if self.error is not None and len(view) <= self._left:
            self._kept.append((self._position, bytes(view)))
            self._left -= len(view)
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        n = max(0, min(len(view), self._end - self._position))
        found = np.zeros(n, dtype=np.uint8)
        self._file.seek(self._position)
        content = self._file.read(n)
        found[: len(content)] = np.frombuffer(content, dtype=np.uint8)
        for start, kept in self._kept:
            first = max(start, self._position)
            last = min(start + len(kept), self._position + n)
            if first < last:
                found[first - self._position : last - self._position] = np.frombuffer(
                    kept, dtype=np.uint8
                )[first - start : last - start]
        view[:n] = found.tobytes()
        self._position += n
        return n
