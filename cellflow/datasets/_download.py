"""Published files, downloaded once into the user's cache."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from cellflow.core._paths import as_path
from cellflow.errors import InputError, MissingDataError

__all__ = ["Download", "local_file"]

_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Download:
    """A published file.

    Parameters
    ----------
    file
        Its name.
    url
        Where it is downloaded from.
    sha256
        Its checksum.
    page
        A page about it, for people.
    size
        In words.
    """

    file: str
    url: str
    sha256: str
    page: str
    size: str


def local_file(source: Download, path: str | os.PathLike[str] | None) -> Path:
    """Return the path of a file on this machine; it is downloaded where no path is given.

    Raises
    ------
    MissingDataError
        No such file, or it could not be downloaded; the message says what to download from where.
    InputError
        A path that cannot be used.
    """
    if path is None:
        return _downloaded(source)
    given = as_path(path)
    try:
        file = given / source.file if given.is_dir() else given
    except (OSError, ValueError) as cause:  # too long, or with a null character
        msg = (
            f"path={str(given)[:80]!r} is no usable path ({cause}); pass the path of {source.file}."
        )
        raise InputError(msg) from cause
    if not file.is_file():
        msg = (
            f"No file {file}. Download {source.file} ({source.size}) from {source.page} and pass"
            f" path='.../{source.file}'."
        )
        raise MissingDataError(msg)
    return file


def _downloaded(source: Download) -> Path:
    """Download once into the user's cache, and compare the checksum."""
    import pooch

    cache = pooch.os_cache("cellflow")
    download = pooch.HTTPDownloader(
        timeout=_TIMEOUT_SECONDS,
        progressbar=sys.stderr.isatty(),
        # Mendeley refuses the default of Python's clients.
        headers={"User-Agent": "Mozilla/5.0 (cellflow)"},
    )
    try:
        return Path(
            pooch.retrieve(
                source.url, f"sha256:{source.sha256}", source.file, cache, downloader=download
            )
        )
    # No network, no such page, a full disk; or another file than expected.
    except (OSError, ValueError) as cause:
        msg = (
            f"{source.file} could not be downloaded from {source.url} ({type(cause).__name__}:"
            f" {cause}). Download it ({source.size}, sha256 {source.sha256}) from {source.page} on"
            f" a machine that can, then either pass path='.../{source.file}' or put it into"
            f" {cache}."
        )
        raise MissingDataError(msg) from cause
