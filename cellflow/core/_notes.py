"""Lines that say what a call has added: by logging, and on a terminal and in a notebook as text.

They are records of the logger `cellflow.added` at the level INFO. Where logging is not set up, an
interactive session shows them on the standard output. `logging.getLogger("cellflow")` with any
level above INFO turns them off.
"""

from __future__ import annotations

import logging
import sys

from cellflow.core._progress import in_notebook

__all__ = ["note"]

_LOGGER = logging.getLogger("cellflow.added")


def note(text: str) -> None:
    """Say one line."""
    if _LOGGER.isEnabledFor(logging.INFO):
        _LOGGER.info(text)
    elif _is_unset() and _is_interactive():
        sys.stdout.write(f"{text}\n")


def _is_unset() -> bool:
    """Whether no level was set for the package."""
    package = logging.getLogger("cellflow")
    return package.level == logging.NOTSET and _LOGGER.level == logging.NOTSET


def _is_interactive() -> bool:
    """Whether the standard output is a terminal or a notebook."""
    out = sys.stdout
    return out is not None and not out.closed and (in_notebook() or out.isatty())
