"""Packages of other tools, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cellflow.errors import SetupError

__all__ = ["load"]

#: What pip installs, by what is imported.
_DISTRIBUTIONS = {"cellrank": "cellrank"}


def load(package: str, call: str) -> Any:
    """Import a package of another tool.

    Parameters
    ----------
    package
        Its import name.
    call
        The public call that needs it, as messages name it.

    Raises
    ------
    SetupError
        It is not installed, or cannot be imported; the message names the command.
    """
    name = _DISTRIBUTIONS[package]
    try:
        return import_module(package)
    except ModuleNotFoundError as cause:
        if cause.name is not None and cause.name.split(".")[0] == package:
            msg = f"cf.interop.{call} needs {name}, which is not installed: pip install {name}"
            raise SetupError(msg) from cause
        found: ImportError = cause
    except ImportError as cause:
        found = cause
    msg = (
        f"cf.interop.{call} needs {name}, which is installed and cannot be imported: {found}."
        f" Expected one that fits to the other packages: pip install --upgrade {name}"
    )
    raise SetupError(msg) from found
