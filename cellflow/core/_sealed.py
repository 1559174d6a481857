"""Checksums of stored content, and a JSON that holds those of the files beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["canonical", "opened_json", "sealed_json", "sha256"]


def sha256(content: bytes) -> str:
    """Checksum of bytes."""
    return hashlib.sha256(content).hexdigest()


def canonical(values: Any) -> bytes:
    """The one JSON text of plain values that their checksum is computed from."""
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def sealed_json(
    values: Mapping[str, Any], files: Mapping[str, bytes], *, flat: bool = False
) -> bytes:
    """JSON of plain values with their checksum and those of files by name.

    The values are under `"config"`, or with `flat` at the top.
    """
    sums = {name: sha256(content) for name, content in files.items()}
    sums["config"] = sha256(canonical(json.loads(json.dumps(values))))
    content = dict(values) if flat else {"config": values}
    return json.dumps(content | {"sha256": sums}, indent=None if flat else 1).encode()


def opened_json(text: bytes, *, flat: bool = False) -> tuple[Any, dict[str, str], bool]:
    """Values of a sealed JSON, checksums of files by name, and whether the values are whole.

    Raises
    ------
    ValueError, KeyError, TypeError, RecursionError
        No sealed JSON.
    """
    seal = json.loads(text)
    sums = {str(name): str(value) for name, value in dict(seal["sha256"]).items()}
    values = {k: v for k, v in seal.items() if k != "sha256"} if flat else seal["config"]
    return values, sums, sha256(canonical(values)) == sums.pop("config")
