"""When a progress bar is shown."""

from __future__ import annotations

import sys

__all__ = ["is_shown"]


def is_shown(progress: bool | None) -> bool:  # noqa: FBT001 (the public argument)
    """Whether to show a progress bar; None means only on a terminal or in a notebook."""
    if progress is not None:
        return progress
    # A notebook is a shell of IPython with a kernel. An imported ipykernel is no sign of one.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")
