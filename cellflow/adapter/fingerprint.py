"""Hashes of cells, by which changed cells and times are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.bases import where_of
from cellflow.adapter.hashes import (
    LOW_BITS,
    leading_bits,
    mixed,
    name_hashes,
    row_hashes,
    wide_row_hashes,
)
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    from cellflow.adapter.keys import Keys

__all__ = [
    "Fingerprint",
    "fingerprint",
    "is_fingerprint",
    "require_same_positions",
    "require_same_times",
    "require_seen",
]

#: Cells that cellflow 0.1.0 remembered by name with their positions, and as many by their positions
#: alone.
_SAMPLED = 512
_KINDS = {"buckets": "u4", "names": "u4", "positions": "u4", "times": "u2"}

Fingerprint = dict[str, np.ndarray]


def fingerprint(
    names: np.ndarray, x: FloatArray, times: FloatArray, inferred: np.ndarray
) -> Fingerprint:
    """Hashes of the name, the position and the time of every cell: ten bytes a cell.

    They are the same in any order of the rows.

    Cells are sorted by the hash of their name. Its leading bits are kept as the number of cells in
    each of `buckets`, of which there are about a quarter as many as cells, so that 32 bits a cell
    hold about 50 bits of the hash of a million.

    Parameters
    ----------
    names
        Of the cells, shape `(n,)`.
    x
        Positions, shape `(n, d)`.
    times
        Shape `(n,)`, without gaps.
    inferred
        Whether a time was inferred, shape `(n,)`.
    """
    n_bits = max(0, len(names).bit_length() - 3)
    hashed = leading_bits(name_hashes(names), n_bits)
    positions = row_hashes(x)
    # Repeated names are ordered by their positions, whatever the order of the rows.
    order = np.lexsort((positions, hashed))
    hashed = hashed[order]
    bucket = (hashed >> np.uint64(LOW_BITS)).astype(np.int64)
    return {
        "buckets": np.bincount(bucket, minlength=2**n_bits).astype(np.uint32),
        "names": hashed.astype(np.uint32),
        "positions": positions[order],
        "times": _time_hashes(times, inferred)[order],
    }


def is_fingerprint(value: Any) -> bool:
    """Whether a value is what `fingerprint` returns, or what cellflow 0.1.0 kept in its place."""
    if not isinstance(value, Mapping):
        return False
    kinds = {"names": "u8", "positions": "u8"} if _is_sampled(value) else _KINDS
    arrays = {name: np.asarray(value.get(name)) for name in kinds}
    if any(
        array.ndim != 1 or array.dtype != np.dtype(kinds[name]) for name, array in arrays.items()
    ):
        return False
    if _is_sampled(value):
        cells = np.asarray(value.get("cells", np.zeros(0, dtype=np.uint64)))
        return (
            len(arrays["names"]) == len(arrays["positions"])
            and cells.ndim == 1
            and cells.dtype == np.uint64
        )
    n = len(arrays["names"])
    n_buckets = len(arrays["buckets"])
    is_power = n_buckets > 0 and n_buckets & (n_buckets - 1) == 0
    return is_power and len(arrays["positions"]) == len(arrays["times"]) == n == int(
        arrays["buckets"].sum(dtype=np.int64)
    )


def require_same_positions(
    known: Mapping[str, Any], names: np.ndarray, x: FloatArray, use_rep: str
) -> None:
    """Require that cells of the fit have the positions that they had then.

    A subset, or other cells in the same representation, are fine. A name that repeated in the fit
    proves nothing; one that repeats now is looked at wherever it is.

    Raises
    ------
    InputError
        Some of these cells have other positions now.
    """
    here, there = _found(known, names)
    hashed = wide_row_hashes(x[here]) if _is_sampled(known) else row_hashes(x[here])
    moved = hashed != np.asarray(known["positions"])[there]
    if moved.any():
        cell = str(names[here[moved][0]])
        msg = (
            f"{where_of(use_rep)} has other values for {moved.sum()} of {len(moved)} remembered"
            f" cells (first: {cell!r}) than when the flow was fitted on another representation."
            " Expected the same values: restore them, or fit again with cf.tl.flow. If these are"
            " other cells of the same names, give them names of their own."
        )
        raise InputError(msg)


def require_seen(
    known: Mapping[str, Any],
    names: np.ndarray,
    x: FloatArray,
    times: FloatArray,
    inferred: np.ndarray,
    keys: Keys,
    time_key: str,
) -> None:
    """Require that cells with a time from the fit took part in it with that time.

    Two fitted AnnData that are joined keep the columns of both, but the fit of one.

    Parameters
    ----------
    known
        What `fingerprint` returned.
    names, x
        Of the cells now, shapes `(n,)` and `(n, d)`.
    times, inferred
        The columns that the fit wrote, as they are now, shape `(n,)` each.
    keys
        Where the fit is.
    time_key
        The column that it read times from.

    Raises
    ------
    InputError
        Some of these cells have positions that the fit has not seen, or other times.
    """
    if _is_sampled(known):
        _require_sampled(known, names, x, keys, time_key)
        return
    positions = row_hashes(x)
    hashed_times = _time_hashes(times, inferred)
    pairs = _paired(np.asarray(known["positions"]), np.asarray(known["times"]))
    other = ~np.isin(_paired(positions, hashed_times), pairs)
    if not other.any():
        return
    unseen = other & ~np.isin(positions, np.asarray(known["positions"]))
    if unseen.any():
        _refuse_unseen(unseen, np.ones(len(x), dtype=bool), names, keys, time_key)
    # The time is right, its mark as inferred or not is wrong.
    marked = other & np.isin(_paired(positions, hashed_times ^ np.uint16(1)), pairs)
    changed = other & ~marked
    if changed.any():
        _refuse_times(
            f"adata.obs[{keys.time!r}]", np.flatnonzero(changed), names, times, "Restore the column"
        )
    where = f"adata.obs[{keys.time_inferred!r}]"
    _refuse_times(where, np.flatnonzero(marked), names, inferred, "Restore the column")


def require_same_times(
    known: Mapping[str, Any],
    names: np.ndarray,
    times: FloatArray,
    inferred: np.ndarray,
    where: str,
    remedy: str,
) -> None:
    """Require that cells of the fit with a time of their own have the same one now.

    Parameters
    ----------
    known
        What `fingerprint` returned.
    names
        Of the cells, shape `(n,)`.
    times, inferred
        Their times now, and whether each is not a measured one, shape `(n,)` each.
    where
        What messages call the times.
    remedy
        What to do, beside fitting again.

    Raises
    ------
    InputError
        Some of them have other times.
    """
    if _is_sampled(known):  # cellflow 0.1.0 did not remember times
        return
    here, there = _found(known, names)
    was = np.asarray(known["times"])[there]
    compared = ((was & 1) == 1) & ~inferred[here]
    other = compared & (_time_hashes(times[here], inferred[here]) != was)
    if other.any():
        _refuse_times(where, here[other], names, times, remedy)


def _refuse_unseen(
    unseen: np.ndarray, judged: np.ndarray, names: np.ndarray, keys: Keys, time_key: str
) -> None:
    cell = str(names[np.flatnonzero(unseen)[0]])
    msg = (
        f"adata.obs[{keys.time!r}] has times for cells that the fit in adata.uns[{keys.uns!r}] has"
        f" not seen: {unseen.sum()} of {judged.sum()} compared (first: {cell!r}). Expected"
        " the cells of one fit; anndata.concat keeps the columns of every fitted AnnData, but the"
        " fit of one. Fit again with cf.tl.flow; or, if these are other cells in the same"
        f" representation, delete the columns {keys.time!r} and {keys.time_inferred!r}: times are"
        f" then read from adata.obs[{time_key!r}]."
    )
    raise InputError(msg)


def _refuse_times(
    where: str, rows: np.ndarray, names: np.ndarray, values: np.ndarray, remedy: str
) -> None:
    first = rows[0]
    msg = (
        f"{where} has other values for {len(rows)} cells (first: {str(names[first])!r},"
        f" {values[first]}) than when the flow was fitted. Expected the same times. {remedy}, or"
        " fit again with cf.tl.flow."
    )
    raise InputError(msg)


def _is_sampled(known: Mapping[str, Any]) -> bool:
    """Whether some cells are remembered only, as cellflow 0.1.0 did."""
    return np.asarray(known.get("names")).dtype == np.uint64


def _require_sampled(
    known: Mapping[str, Any], names: np.ndarray, x: FloatArray, keys: Keys, time_key: str
) -> None:
    """Look for unseen cells among those with the smallest hashes; others were not remembered."""
    if "cells" not in known:  # the first fits remembered names only
        return
    hashed = mixed(wide_row_hashes(x))
    remembered = np.asarray(known["cells"], dtype=np.uint64)
    judged = (
        hashed <= remembered[-1] if len(remembered) == _SAMPLED else np.ones(len(x), dtype=bool)
    )
    unseen = judged & ~np.isin(hashed, remembered)
    if unseen.any():
        _refuse_unseen(unseen, judged, names, keys, time_key)


def _found(known: Mapping[str, Any], names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the cells whose names are remembered once, and their places in the fingerprint."""
    remembered = np.asarray(known["names"])
    hashed = name_hashes(names)
    if not _is_sampled(known):
        buckets = np.asarray(known["buckets"])
        leading = np.repeat(np.arange(len(buckets), dtype=np.uint64), buckets)
        remembered = (leading << np.uint64(LOW_BITS)) | remembered.astype(np.uint64)
        hashed = leading_bits(hashed, len(buckets).bit_length() - 1)
    if not len(remembered):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    place = np.minimum(np.searchsorted(remembered, hashed), len(remembered) - 1)
    repeated = np.zeros(len(remembered), dtype=bool)
    repeated[:-1] = remembered[1:] == remembered[:-1]  # a search finds the first of equals
    here = np.flatnonzero((remembered[place] == hashed) & ~repeated[place])
    return here, place[here]


def _time_hashes(times: FloatArray, inferred: np.ndarray) -> np.ndarray:
    """16 bits for each time; the last is set where the time is the cell's own."""
    bits = (np.asarray(times, dtype=np.float64) + 0.0).view(np.uint64)
    hashed = (mixed(bits) >> np.uint64(48)).astype(np.uint16)
    return np.where(inferred, hashed & np.uint16(0xFFFE), hashed | np.uint16(1)).astype(np.uint16)


def _paired(positions: np.ndarray, times: np.ndarray) -> np.ndarray:
    return (positions.astype(np.uint64) << np.uint64(16)) | times.astype(np.uint64)
