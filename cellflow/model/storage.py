"""A flow in a folder: safetensors and JSON with checksums, at every instant whole."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cellflow.core._files import folder_lock, is_temporary, synced, write_bytes
from cellflow.core._paths import as_path, make_folder, output_errors, resolved
from cellflow.core._sealed import opened_json, sealed_json, sha256
from cellflow.core._typing import FloatArray
from cellflow.errors import ModelFileError, OutputError

__all__ = ["load", "save"]

_CONFIG_FILE = "flow.json"
_ARRAY_FILE = "flow.safetensors"


def save(
    config: Mapping[str, Any], arrays: Mapping[str, FloatArray], folder: str | os.PathLike[str]
) -> None:
    """Write what `state` returned; see `Flow.save`.

    The arrays come first, under a name with their checksum, then the JSON with that checksum, which
    makes them the model; at last they take their usual name. `load` finds them under either.
    """
    from safetensors.numpy import save as as_bytes

    blob = as_bytes(dict(arrays))
    place = as_path(folder, "folder")
    target = resolved(place)
    with output_errors(place):
        names = set(os.listdir(target)) if target.is_dir() else set()  # noqa: PTH208 (names only)
        _require_place(place, target, names)
    made = make_folder(target)
    staged = made / _staged_name(sha256(blob))
    usual = made / _ARRAY_FILE
    with folder_lock(made), output_errors(place):
        try:
            write_bytes(staged, blob, like=usual)
            write_bytes(made / _CONFIG_FILE, sealed_json(config, {_ARRAY_FILE: blob}))
        except OutputError:
            # An older model stands, and these arrays belong to none. An interruption may come after
            # the JSON has taken its place, and leaves them to the next call.
            staged.unlink(missing_ok=True)
            if not names:
                with suppress(OSError):
                    made.rmdir()
            raise
        staged.replace(usual)
        for orphan in made.iterdir():
            if _is_staged(orphan.name):
                orphan.unlink(missing_ok=True)
        synced(made)


def _require_place(place: Path, target: Path, names: set[str]) -> None:
    """Refuse what is no folder, or a folder with other things in it."""
    own = {_CONFIG_FILE, _ARRAY_FILE}
    foreign = sorted(n for n in names - own if not _is_staged(n) and not is_temporary(n))
    if foreign or (target.exists() and not target.is_dir()):
        more = f" (it holds {foreign[0]!r})" if foreign else ""
        msg = (
            f"{place} exists and is not the folder of a saved flow{more}; choose another, or"
            " empty it."
        )
        raise ModelFileError(msg)
    if place.is_symlink() and not target.exists():
        msg = f"{place} is a link to {target}, which does not exist. Make it, or remove the link."
        raise OutputError(msg)


def load(folder: str | os.PathLike[str]) -> tuple[Mapping[str, Any], dict[str, FloatArray]]:
    """Read what `save` wrote; see `Flow.load`."""
    from safetensors.numpy import load as from_bytes

    config, blob, file = _read_model(as_path(folder, "folder"))
    try:
        return config, from_bytes(blob)
    except Exception as cause:  # a class of the library, KeyError for an unknown type, and more
        msg = (
            f"{file} cannot be read as safetensors ({type(cause).__name__}: {cause}). Restore it,"
            " or fit again."
        )
        raise ModelFileError(msg) from cause


def _read_model(place: Path) -> tuple[Mapping[str, Any], bytes, Path]:
    """Read configuration and arrays, compared with their checksums, and the arrays' file."""
    seen = None
    while True:
        text = _read_file(place, _CONFIG_FILE)
        config, wanted, readable = _opened_seal(place, text)
        file = place / _ARRAY_FILE
        blob = _read_file(place, _ARRAY_FILE, missing=b"")
        if sha256(blob) != wanted and (place / _staged_name(wanted)).is_file():
            file = place / _staged_name(wanted)
            blob = _read_file(place, file.name, missing=b"")
        whole = sha256(blob) == wanted
        # Another process may have saved between the two reads; then the JSON is another one now.
        if whole or text == seen:
            break
        seen = text
    if not blob and not file.exists():
        raise _no_flow(place, f"{_ARRAY_FILE} is missing")
    for name, right in ((file, whole), (place / _CONFIG_FILE, readable)):
        if not right:
            msg = (
                f"{name} is damaged: its checksum is not the recorded one. Restore it from a copy,"
                " or fit again."
            )
            raise ModelFileError(msg)
    return config, blob, file


def _read_file(place: Path, name: str, *, missing: bytes | None = None) -> bytes:
    """Content of a file of a model."""
    file = place / name
    try:
        # A pipe or a device would be waited for.
        if file.exists() and not file.is_file():
            raise _no_flow(place, f"{name} is not a regular file")
        return file.read_bytes()
    except FileNotFoundError as cause:
        if missing is not None:
            return missing
        raise _no_flow(place, f"{name} is missing") from cause
    except ModelFileError:
        raise
    except (OSError, ValueError) as cause:
        raise _no_flow(place, cause) from cause


def _opened_seal(place: Path, text: bytes) -> tuple[Mapping[str, Any], str, bool]:
    """Configuration of a model's JSON, checksum of its arrays, whether the first is whole."""
    try:
        config, sums, whole = opened_json(text)
        return config, sums[_ARRAY_FILE], whole
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        why = f"{cause} is missing" if isinstance(cause, KeyError) else cause
        raise _no_flow(place, f"{_CONFIG_FILE} is not what Flow.save writes ({why})") from cause


def _no_flow(place: Path, why: object) -> ModelFileError:
    msg = (
        f"{place} does not hold a saved flow ({_CONFIG_FILE} and {_ARRAY_FILE}): {why}. Restore it"
        " from a copy, or fit again."
    )
    return ModelFileError(msg)


def _staged_name(checksum: str) -> str:
    return f"flow-{checksum[:16]}.safetensors"


def _is_staged(name: str) -> bool:
    return re.fullmatch(r"flow-[0-9a-f]{16}\.safetensors", name) is not None
