"""Progress bars for those who watch."""

from __future__ import annotations

import sys

__all__ = ["is_shown"]


def is_shown(progress: bool | None) -> bool:  # noqa: FBT001 (the public argument as it came)
    """Whether to draw a progress bar: as asked, or by default only to somebody who is watching (a terminal, a notebook)."""
    if progress is not None:
        return progress
    # In a notebook IPython knows a kernel; that ipykernel was imported by somebody says nothing.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")
