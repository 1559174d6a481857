"""Hashes of names and of rows of matrices."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = [
    "leading_bits",
    "mixed",
    "name_hashes",
    "order_of",
    "require_made_for",
    "row_hashes",
    "rows_hash",
    "wide_row_hashes",
]

#: Bits of a name's hash that are stored for each cell; the leading ones are the number of its
#: bucket.
LOW_BITS = 32


def order_of(names: np.ndarray) -> str:
    """Hash of the names of all cells in their order."""
    return hashlib.sha256(name_hashes(names).astype("<u8").tobytes()).hexdigest()


def rows_hash(*arrays: FloatArray) -> np.ndarray:
    """Sorted hashes of the rows of matrices side by side, four bytes a row."""
    return np.unique(_joined_hashes(arrays))


def require_made_for(
    known: Any, names: np.ndarray, *arrays: FloatArray, what: str, basis: str, again: str
) -> None:
    """Require that each row of matrices is one of those of `rows_hash`, in any order.

    Parameters
    ----------
    known
        What `rows_hash` returned.
    names
        Of the cells, shape `(n,)`.
    arrays
        Matrices of `n` rows.
    what
        The result that is to be read, and
    basis
        the coordinates that it should belong to, as messages call them.
    again
        The call that makes the result anew.

    Raises
    ------
    InputError
        Some rows are others.
    """
    other = np.flatnonzero(~np.isin(_joined_hashes(arrays), np.asarray(known)))
    if len(other):
        msg = (
            f"{what} does not belong to the values that {basis} has now, in {len(other)} of"
            f" {len(names)} cells (first: {str(names[other[0]])!r}): one of the two was replaced"
            f" after {again} was called. Expected both as they were then: call {again} again, or"
            " restore the old values."
        )
        raise InputError(msg)


def name_hashes(names: np.ndarray) -> np.ndarray:
    """Hash of each name, shape `(n,)`, uint64."""
    import pandas as pd

    # Lone surrogates, which UTF-8 does not have, become their numbers.
    texts = [str(name).encode("utf-8", "backslashreplace").decode("utf-8") for name in names]
    values = np.array(texts, dtype=object)
    return np.asarray(pd.util.hash_array(values, categorize=False))


def leading_bits(hashed: np.ndarray, n_bits: int) -> np.ndarray:
    """The leading `32 + n_bits` bits of hashes of 64."""
    return mixed(hashed) >> np.uint64(64 - LOW_BITS - n_bits)


def mixed(hashed: np.ndarray) -> np.ndarray:
    """Mix the bits of hashes (SplitMix64, Steele et al. 2014), so that some of them are a hash."""
    hashed = (hashed ^ (hashed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashed = (hashed ^ (hashed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(hashed ^ (hashed >> np.uint64(31)))


def wide_row_hashes(x: FloatArray, hashed: np.ndarray | None = None) -> np.ndarray:
    """Fowler-Noll-Vo hash of each row's float32 bits, shape `(n,)`, continued from `hashed`."""
    with np.errstate(over="ignore", invalid="ignore"):
        # Adding zero turns -0.0 into 0.0, which is the same position.
        single = np.ascontiguousarray(x, dtype=np.float32) + np.float32(0.0)
    bits = single.view(np.uint32)
    hashed = np.full(len(x), 0xCBF29CE484222325, dtype=np.uint64) if hashed is None else hashed
    for column in bits.T:
        hashed = (hashed ^ column) * np.uint64(0x100000001B3)
    return hashed


def row_hashes(x: FloatArray) -> np.ndarray:
    """32 bits of a hash of each row."""
    return _joined_hashes((x,))


def _joined_hashes(arrays: tuple[FloatArray, ...]) -> np.ndarray:
    """32 bits of a hash of each row of matrices side by side."""
    hashed = None
    for x in arrays:
        hashed = wide_row_hashes(x, hashed)
    return (mixed(np.asarray(hashed)) >> np.uint64(32)).astype(np.uint32)
