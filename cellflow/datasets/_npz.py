"""Arrays of a published npz file, checked."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cellflow.errors import InputError, MissingKeyError

__all__ = ["read_npz", "require", "require_numbers"]

#: Largest size of an unpacked file, in bytes; published ones have a tenth of it.
_LARGEST = 2 * 1024**3


def read_npz(file: Path, required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """Arrays of an npz file by name; pickled arrays are refused."""
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LARGEST:
            msg = f"its content takes {size / 1e9:.0f} GB"
            raise ValueError(msg)
        with np.load(file, allow_pickle=False) as stored:
            for name in required:
                require(name, stored, file)
            return {name: stored[name] for name in (*required, *optional) if name in stored}
    except MissingKeyError:
        raise
    # zipfile, zlib and numpy raise errors of many classes for a file of another kind.
    except Exception as cause:
        msg = (
            f"{file} could not be read as an npz of numbers ({type(cause).__name__}: {cause});"
            " download it again."
        )
        raise InputError(msg) from cause


def require_numbers(file: Path, name: str, array: np.ndarray, *, n_rows: int, ndim: int) -> None:
    """Make sure that an array is a table of finite numbers with one row per cell."""
    problem = ""
    if array.dtype.kind not in "biuf":
        problem = f"dtype {array.dtype}"
    elif array.ndim != ndim or 0 in array.shape or len(array) != n_rows:
        problem = f"shape {array.shape}"
    elif not np.isfinite(array).all():
        problem = f"{int((~np.isfinite(array)).sum())} values that are not finite"
    if problem:
        expected = f"({n_rows},)" if ndim == 1 else f"({n_rows}, d)"
        msg = (
            f"{file}: {name!r} has {problem}; expected finite numbers of shape {expected}, one row"
            " per label in 'sample_labels'. Download it again."
        )
        raise InputError(msg)


def require(key: str, container: Any, file: Path) -> None:
    """Make sure that a file has a key; the message lists the keys that it has."""
    if key not in container:
        msg = (
            f"{file} has no {key!r}; found {sorted(map(str, container))}. Is it the file that the"
            " documentation names?"
        )
        raise MissingKeyError(msg)
