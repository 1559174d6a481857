"""When a progress bar is shown."""

from __future__ import annotations

import sys

__all__ = ["in_notebook", "is_shown"]


def is_shown(progress: bool | None) -> bool:  # noqa: FBT001 (the public argument)
    """Whether to show a progress bar; None means only on a terminal or in a notebook."""
    if progress is not None:
        return progress
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Whether the caller is a notebook: a shell of IPython with a kernel."""
    # An imported ipykernel is no sign of one.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")
