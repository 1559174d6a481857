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


def sealed_json(values: Any, files: Mapping[str, bytes], *, indent: int | None = 1) -> bytes:
    """JSON of plain values with their checksum and those of files by name."""
    sums = {name: sha256(content) for name, content in files.items()}
    sums["config"] = sha256(canonical(json.loads(json.dumps(values))))
    return json.dumps({"config": values, "sha256": sums}, indent=indent).encode()


def opened_json(text: bytes) -> tuple[Any, dict[str, str], bool]:
    """Values of a sealed JSON, checksums of files by name, and whether the values are whole.

    Raises
    ------
    ValueError, KeyError, TypeError, RecursionError
        No sealed JSON.
    """
    seal = json.loads(text)
    values = seal["config"]
    sums = {str(name): str(value) for name, value in dict(seal["sha256"]).items()}
    return values, sums, sha256(canonical(values)) == sums.pop("config")
