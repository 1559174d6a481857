"""Every error and warning that cellflow raises, with common bases.

A message names the key, what was found (first cell, column, value), what was expected, and the
remedy. `except cf.errors.CellFlowError` catches all errors; each also derives from the matching
built-in error.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

__all__ = [
    "CellFlowError",
    "CellFlowWarning",
    "CouplingError",
    "CouplingWarning",
    "InputError",
    "InputTypeError",
    "InputWarning",
    "IntegrationError",
    "IntegrationWarning",
    "MissingDataError",
    "MissingKeyError",
    "ModelFileError",
    "OutputError",
    "SetupError",
    "TrainingError",
    "WorkerError",
    "closest",
    "level_of_caller",
    "naming_cells",
    "nearest_name",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__


#: Folder of the package, as in the file names of stack frames.
_PACKAGE = str(Path(__file__).parent) + os.sep


class CellFlowError(Exception):
    """Base of every error of cellflow."""


class InputError(CellFlowError, ValueError):
    """The data or an argument is not usable as it is."""


class InputTypeError(InputError, TypeError):
    """An argument is of the wrong type (a DataFrame where an AnnData is needed)."""


class MissingKeyError(InputError, KeyError):
    """A key does not exist; the message lists the keys that do."""

    # KeyError would print the repr of the message, quotes and escapes included.
    __str__ = Exception.__str__


class CouplingError(CellFlowError, RuntimeError):
    """Optimal transport is infeasible, did not converge, or does not fit into memory."""


class IntegrationError(CellFlowError, ArithmeticError):
    """The fitted dynamics could not be integrated; names the time and the cell.

    Parameters
    ----------
    message
        The problem; the name of the cell precedes it where there is one.
    cell
        Row of the cell in the call, or its name in the AnnData.
    time
        First reported time at which its state is not finite.
    partial
        `cellflow.simulation.Trajectories` with all that was computed; NaN where a state is missing
        or not finite.
    """

    def __init__(
        self,
        message: str,
        *,
        cell: int | str | None = None,
        time: float | None = None,
        partial: Any = None,
    ) -> None:
        super().__init__(message)
        self.cell = cell
        self.time = time
        self.partial = partial

    def __str__(self) -> str:
        """Message with the cell in front."""
        message = str(self.args[0])
        return message if self.cell is None else f"Cell {self.cell!r} {message}"


@contextmanager
def naming_cells(names: Any) -> Iterator[None]:
    """Give the cell of an `IntegrationError` in the block its name in the caller's data.

    Parameters
    ----------
    names
        One entry per row of the block: rows among all cells, or names of cells.
    """
    try:
        yield
    except IntegrationError as error:
        if isinstance(error.cell, int):
            name = names[error.cell]
            error.cell = str(name) if isinstance(name, str) else int(name)
            if error.partial is not None and isinstance(error.cell, int):
                error.partial = replace(error.partial, source=names[error.partial.source])
        raise


class TrainingError(CellFlowError, ArithmeticError):
    """A value is not finite in training; names the step and the learning rate."""


class ModelFileError(CellFlowError, OSError):
    """A saved model is missing, damaged, of a newer format, or not a model at all."""


class WorkerError(CellFlowError, RuntimeError):
    """A worker process of a benchmark crashed or was killed (out of memory)."""


class OutputError(CellFlowError, OSError):
    """A file cannot be written (folder, permission, full disk); an older file is unchanged."""


class SetupError(CellFlowError, ImportError):
    """The environment lacks an optional package or a device, or has a conflicting package."""


class MissingDataError(CellFlowError, FileNotFoundError):
    """A data set is not on this machine and could not be downloaded."""


class CellFlowWarning(UserWarning):
    """Base of every warning that cellflow gives."""


class InputWarning(CellFlowWarning):
    """The data are usable but unusual (raw counts, an embedding, very few cells)."""


class CouplingWarning(CellFlowWarning):
    """A transport plan is usable but not as good as requested.

    Its certified gap is above the tolerance, or it moves more mass between cell types than if no
    cell moved.
    """


class IntegrationWarning(CellFlowWarning):
    """A trajectory is usable but inaccurate, or outside of the observed times."""


def closest(name: object, known: Iterable[str]) -> str:
    """Return a suggestion such as `" (did you mean 'X_pca'?)"`, or nothing if no name is similar.

    Examples
    --------
    >>> closest("X_pac", ["X_pca", "X_umap"])
    " (did you mean 'X_pca'?)"
    """
    found = nearest_name(name, known)
    return "" if found is None else f" (did you mean {found!r}?)"


def nearest_name(name: object, known: Iterable[str]) -> str | None:
    """The known name that differs in case only, or the most similar one, if any is."""
    names = [str(k) for k in known]
    same = [k for k in names if k.casefold() == str(name).casefold()]
    return next(iter(same or difflib.get_close_matches(str(name), names, n=1)), None)


def level_of_caller() -> int:
    """The `stacklevel` with which `warnings.warn` names the line that called the package.

    Call it in the function that warns.
    """
    level = found = 0
    frame = sys._getframe()  # noqa: SLF001 (the inspect module is not imported for this)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        # `warnings.warn` does not count the frames of the import system either.
        level += not ("importlib" in file and "_bootstrap" in file)
        if file.startswith(_PACKAGE):
            found = level
        frame = frame.f_back
    return found
