"""The fitted flow inside an AnnData, and the proof that it belongs to these cells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow import __version__
from cellflow._typing import FloatArray
from cellflow.adapter.keys import DEFAULT, Keys, is_ours, written
from cellflow.errors import InputError, MissingKeyError, ModelFileError, closest

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.flow import Flow

__all__ = [
    "Fingerprint",
    "amended",
    "load_flow",
    "name_hashes",
    "opened",
    "order_of",
    "pack",
    "plain",
    "record_of",
    "require_same",
    "require_seen",
    "sealed",
    "sketch",
    "unpack",
]

#: Number of the layout of `uns[key]["model"]`.
FORMAT = 1
#: Cells that are remembered by name with their positions, and as many by their positions alone.
_SKETCH = 512

Fingerprint = dict[str, np.ndarray]


def pack(flow: Flow) -> dict[str, Any]:
    """Return a flow as text and plain arrays, with a checksum; see `sealed`."""
    return sealed(*flow.state())


def unpack(model: Mapping[str, Any], where: str) -> Flow:
    """Return the flow that `pack` packed; see `opened`."""
    from cellflow.flow import Flow

    return Flow.from_state(*opened(model, where, again="cf.tl.flow"))


def sealed(config: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Return a model's state as text and plain arrays, with a checksum: what an h5ad holds for ever."""
    text = json.dumps(config, sort_keys=True)
    return {
        "format": FORMAT,
        "version": __version__,
        "config": text,
        "arrays": dict(arrays),
        "checksum": _checksum(text, arrays),
    }


def opened(model: Mapping[str, Any], where: str, *, again: str) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Return the state that `sealed` sealed.

    Parameters
    ----------
    model
        What `sealed` returned, perhaps read from a file.
    where
        What messages call it.
    again
        The call that makes it anew.

    Raises
    ------
    ModelFileError
        A newer format, or content that is not what was written.
    """
    remedy = f"Restore the file from a copy, or fit again with {again}."
    try:
        layout, text, stored, checksum = (model[name] for name in ("format", "config", "arrays", "checksum"))
        layout, arrays = int(layout), {name: np.asarray(value) for name, value in stored.items()}
    except KeyError as missing:
        msg = f"{where} holds no model: {missing} is missing. {remedy}"
        raise ModelFileError(msg) from missing
    except (AttributeError, TypeError, ValueError) as cause:
        msg = f"{where} holds no model: {cause}. {remedy}"
        raise ModelFileError(msg) from cause
    if layout > FORMAT:
        msg = (
            f"{where} was written by cellflow {model.get('version')} (format {layout}); this is {__version__}, which reads "
            f"up to format {FORMAT}. Upgrade: pip install --upgrade cellflow-trajectory."
        )
        raise ModelFileError(msg)
    if _checksum(str(text), arrays) != str(checksum):
        msg = f"{where} is damaged: its checksum is not the recorded one. {remedy}"
        raise ModelFileError(msg)
    return json.loads(str(text)), arrays


def record_of(adata: AnnData, keys: Keys) -> dict[str, Any]:
    """Return `uns[key]` of a fit.

    Raises
    ------
    MissingKeyError
        There is no fit under this key; the message lists those there are.
    """
    if not is_ours(adata, keys.uns):
        fits = [name for name in adata.uns if isinstance(name, str) and is_ours(adata, name) and "model" in adata.uns[name]]
        known = f"Fits are at {fits}{closest(keys.uns, fits)}; pass key=." if fits else "There is none at all."
        added = "" if keys.uns == DEFAULT else f", key_added={keys.uns!r}"
        msg = f"adata.uns[{keys.uns!r}] holds no fit. {known} Fit first: cf.tl.flow(adata, time_key=..., use_rep=...{added})."
        raise MissingKeyError(msg)
    return dict(adata.uns[keys.uns])


def amended(adata: AnnData, keys: Keys, places: Iterable[tuple[str, str]], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a fit with more entries, and with more (slot, key) places on the list of what was written."""
    listed = {f"{slot}/{key}" for slot, key in (written(adata, keys) | set(places)) - {("uns", keys.uns)}}
    return record_of(adata, keys) | dict(more) | {"written": np.array(sorted(listed), dtype=object)}


def load_flow(adata: AnnData, keys: Keys) -> Flow:
    """Return the fitted flow of an AnnData; see `record_of` and `unpack`."""
    where = f"adata.uns[{keys.uns!r}]"
    return unpack(record_of(adata, keys).get("model", {}), f"{where}['model']")


def sketch(names: np.ndarray, x: FloatArray) -> Fingerprint:
    """Hashes of the names and of the positions of some cells: the same ones in any order and in most subsets.

    Names are those with the smallest hashes (Broder 1997), without those that repeat, each with the hash of its position;
    cells are those whose positions have the smallest hashes, whatever their names.
    """
    distinct, first, counts = np.unique(name_hashes(names), return_index=True, return_counts=True)
    rows = first[counts == 1][:_SKETCH]
    return {
        "names": distinct[counts == 1][:_SKETCH],
        "positions": _row_hashes(x[rows]),
        "cells": np.unique(_shuffled(_row_hashes(x)))[:_SKETCH],
    }


def order_of(names: np.ndarray) -> str:
    """Hash of the names of all cells in their order: rows mean the same cells where it is the same."""
    return hashlib.sha256(name_hashes(names).astype("<u8").tobytes()).hexdigest()


def require_same(known: Mapping[str, Any], names: np.ndarray, x: FloatArray, use_rep: str) -> None:
    """Make sure that cells which took part in the fit still have the positions that it was made with.

    A subset, or other cells in the same representation, are fine. A name that repeats now is looked at wherever it is.

    Raises
    ------
    InputError
        Some of these cells have other positions now.
    """
    hashed, remembered = name_hashes(names), np.asarray(known["names"], dtype=np.uint64)
    here = np.flatnonzero(np.isin(hashed, remembered))
    there = np.searchsorted(remembered, hashed[here])  # they are sorted
    moved = _row_hashes(x[here]) != np.asarray(known["positions"], dtype=np.uint64)[there]
    if moved.any():
        cell = str(names[here[moved][0]])
        msg = (
            f"adata.obsm[{use_rep!r}] has other values for {moved.sum()} of {len(moved)} remembered cells (first: {cell!r}) "
            "than when the flow was fitted on another representation. Expected the same values: restore them, or fit "
            "again with cf.tl.flow. If these are other cells of the same names, give them names of their own."
        )
        raise InputError(msg)


def require_seen(known: Mapping[str, Any], names: np.ndarray, x: FloatArray, keys: Keys, time_key: str) -> None:
    """Make sure that cells with a time that was written by the fit took part in it, whatever they are called now.

    Two fitted AnnData that are joined keep the columns of both, but the fit of one. The smallest hashes of positions are
    remembered, so any cell below the largest of them was seen or was not; there are hundreds of such cells, or all.

    Raises
    ------
    InputError
        Some of these cells have positions that the fit has not seen.
    """
    if "cells" not in known:  # fitted by cellflow 0.1.0, which did not remember them
        return
    hashed, remembered = _shuffled(_row_hashes(x)), np.asarray(known["cells"], dtype=np.uint64)
    judged = hashed <= remembered[-1] if len(remembered) == _SKETCH else np.ones(len(x), dtype=bool)
    unseen = judged & ~np.isin(hashed, remembered)
    if unseen.any():
        cell = str(names[np.flatnonzero(unseen)[0]])
        msg = (
            f"adata.obs[{keys.time!r}] has times for cells that the fit in adata.uns[{keys.uns!r}] has not seen: "
            f"{unseen.sum()} of {judged.sum()} that can be told (first: {cell!r}). Expected the cells of one fit; "
            "anndata.concat keeps the columns of every fitted AnnData, but the fit of one. Fit again with cf.tl.flow; or, if "
            "these are other cells in the same representation, delete the columns "
            f"{keys.time!r} and {keys.time_inferred!r}: times are then read from adata.obs[{time_key!r}]."
        )
        raise InputError(msg)


def plain(value: Any) -> Any:
    """Return a value as an h5ad can hold it: no None (the entry is left out), no tuples, nested dictionaries of the same."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return np.array([str(v) for v in value], dtype=object) if any(isinstance(v, str) for v in value) else np.array(value)
    return value


def _checksum(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        # Byte order is the machine's affair.
        array = np.asarray(arrays[name])
        array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def name_hashes(names: np.ndarray) -> np.ndarray:
    """Hash of each name, shape `(n,)`, uint64."""
    import pandas as pd

    values = np.array([_utf8(str(name)) for name in names], dtype=object)
    return np.asarray(pd.util.hash_array(values, categorize=False))


def _utf8(text: str) -> str:
    """The text itself; a lone surrogate, which UTF-8 does not have, by its number, so that such names differ too."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _shuffled(hashed: np.ndarray) -> np.ndarray:
    """Mix the bits of hashes (SplitMix64, Steele et al. 2014), so that the smallest are a sample of them all."""
    hashed = (hashed ^ (hashed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashed = (hashed ^ (hashed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(hashed ^ (hashed >> np.uint64(31)))


def _row_hashes(x: FloatArray) -> np.ndarray:
    """Fowler-Noll-Vo hash of each row's float32 bits, shape `(n,)`."""
    # Adding zero turns -0.0 into 0.0, which is the same position.
    bits = (np.ascontiguousarray(x, dtype=np.float32) + np.float32(0.0)).view(np.uint32).astype(np.uint64)
    hashed = np.full(len(x), 0xCBF29CE484222325, dtype=np.uint64)
    for column in bits.T:
        hashed = (hashed ^ column) * np.uint64(0x100000001B3)
    return hashed
