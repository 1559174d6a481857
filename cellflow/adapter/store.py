"""The fitted flow inside an AnnData."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.keys import Keys
from cellflow.adapter.places import listed, written
from cellflow.adapter.record import record_of
from cellflow.core._typing import FloatArray
from cellflow.core._version import __version__
from cellflow.errors import ModelFileError

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.flow import Flow
    from cellflow.model.networks import Networks

__all__ = ["amended", "load_flow", "opened", "pack", "plain", "sealed", "unpack"]

#: Number of the layout of `uns[key]["model"]`.
FORMAT = 1
#: Arrays that are stored as float32.
_SHORT = ("decoder.mean", "decoder.loadings")


def pack(flow: Flow) -> dict[str, Any]:
    """Return a flow as text and plain arrays, with a checksum; see `sealed`.

    The map to genes is stored as float32, in which expression is decoded: of ten thousand genes it
    would be most of the model.
    """
    config, arrays = flow.state()
    short = {name: arrays[name].astype(np.float32) for name in _SHORT if name in arrays}
    return sealed(config, arrays | short)


def unpack(model: Mapping[str, Any], where: str, fields: Networks | None = None) -> Flow:
    """Return the flow that `pack` packed; see `opened`, and `Flow.from_state` for `fields`."""
    from cellflow.model.flow import Flow

    return Flow.from_state(*opened(model, where, again="cf.tl.flow"), fields=fields)


def sealed(config: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Return a model's state as text and plain arrays with a checksum, which an h5ad can hold."""
    text = json.dumps(config, sort_keys=True)
    return {
        "format": FORMAT,
        "version": __version__,
        "config": text,
        "arrays": dict(arrays),
        "checksum": _checksum(text, arrays),
    }


def opened(
    model: Mapping[str, Any], where: str, *, again: str
) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Return the state that `sealed` sealed; its arrays are copies.

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
        layout, text, stored, checksum = (
            model[name] for name in ("format", "config", "arrays", "checksum")
        )
        layout = int(layout)
        arrays = {name: np.array(value) for name, value in stored.items()}
    except KeyError as missing:
        msg = f"{where} holds no model: {missing} is missing. {remedy}"
        raise ModelFileError(msg) from missing
    except (AttributeError, TypeError, ValueError) as cause:
        msg = f"{where} holds no model: {cause}. {remedy}"
        raise ModelFileError(msg) from cause
    if layout > FORMAT:
        msg = (
            f"{where} was written by cellflow {model.get('version')} (format {layout}); this is"
            f" {__version__}, which reads up to format {FORMAT}. Upgrade: pip install --upgrade"
            " cellflow-trajectory."
        )
        raise ModelFileError(msg)
    if _checksum(str(text), arrays) != str(checksum):
        msg = f"{where} is damaged: its checksum is not the recorded one. {remedy}"
        raise ModelFileError(msg)
    try:
        return json.loads(str(text)), arrays
    except (ValueError, RecursionError) as cause:
        msg = f"{where} holds no model: its configuration is no JSON ({cause}). {remedy}"
        raise ModelFileError(msg) from cause


def amended(
    adata: AnnData,
    keys: Keys,
    places: Iterable[tuple[str, str]],
    more: Mapping[str, Any],
    *,
    made_for: Mapping[str, np.ndarray] | None = None,
    outdated: Iterable[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return the record of a fit with more entries.

    Parameters
    ----------
    adata, keys
        With a fit, and where it is.
    places
        (slot, key) of what is written now, for the list of what was written.
    more
        Entries to be added or replaced.
    made_for
        By the `obsm` key of arrows or paths: hashes of the coordinates that they belong to; see
        `rows_hash`.
    outdated
        (slot, key) of what is removed now, to be taken off the list.
    """
    record = record_of(adata, keys)
    if made_for:
        record["made_for"] = dict(record.get("made_for", {})) | dict(made_for)
    there = written(adata, keys) - set(outdated) | set(places)
    return record | dict(more) | {"written": listed(keys, there)}


def load_flow(adata: AnnData, keys: Keys, fields: Networks | None = None) -> Flow:
    """Return the fitted flow of an AnnData; see `record_of` and `unpack`."""
    where = f"adata.uns[{keys.uns!r}]"
    return unpack(record_of(adata, keys)["model"], f"{where}['model']", fields)


def plain(value: Any) -> Any:
    """Return a value as an h5ad can hold it: without None entries and tuples, at any depth."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return (
            np.array([str(v) for v in value], dtype=object)
            if any(isinstance(v, str) for v in value)
            else np.array(value)
        )
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
