"""Detection of `cellflow-tools`, another package whose import name is `cellflow`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from cellflow.errors import CellFlowWarning, SetupError

__all__ = ["refuse_namesake"]


def refuse_namesake(home: Path, folders: Iterable[str]) -> None:
    """Warn if the other package is installed too, or refuse if its files are mixed with ours.

    The names of folders are enough and take a millisecond; `importlib.metadata` would take longer
    than the rest of `import cellflow`.

    Parameters
    ----------
    home
        The folder that holds this package's folder.
    folders
        The folders of `sys.path`.

    Raises
    ------
    SetupError
        The other package is in the same folder, so that the files of the two are mixed.

    Warns
    -----
    CellFlowWarning
        It is in another folder of the path: this package works, but another program may import the
        other one.
    """
    for folder in dict.fromkeys(map(Path, folders)):
        if next(folder.glob("cellflow_tools-*.dist-info"), None) is None:
            continue
        found = (
            "`cellflow-tools`, another package that is imported as `cellflow`, is installed in"
            f" {folder}"
        )
        if folder.resolve() == home.resolve():
            msg = (
                f"{found}, and its files are mixed with those of cellflow-trajectory. Keep one of"
                " them per environment: `pip uninstall cellflow-tools cellflow-trajectory`, then"
                " install the one you want."
            )
            raise SetupError(msg)
        msg = (
            f"{found}. This is cellflow-trajectory; `pip uninstall cellflow-tools` makes sure that"
            " it is everywhere."
        )
        warnings.warn(msg, CellFlowWarning, stacklevel=3)
