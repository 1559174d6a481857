"""Values that genes are given, as they are asked for: `0.0`, `"+2sd"`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cellflow.core._numbers import is_number, shown
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, InputTypeError

__all__ = ["Wanted", "read_edits", "read_value"]

#: A shift in standard deviations: "+2sd", "-0.5 sd".
_SHIFT = re.compile(r"([+-])\s*(\d+(?:\.\d*)?|\.\d+)\s*sd", re.IGNORECASE)
_EXPECTED = (
    "expected a number, the expression that the gene gets (0.0 for a knock-out), or a shift in"
    " standard deviations with its sign, such as '+2sd' or '-0.5sd'"
)


@dataclass(frozen=True)
class Wanted:
    """The value that a gene is given.

    Parameters
    ----------
    level
        Expression in the unit of the layer of the fit; None for a shift.
    shift
        In standard deviations of the gene; None for a level.
    """

    level: float | None = None
    shift: float | None = None

    def __str__(self) -> str:
        return f"{self.level:g}" if self.level is not None else f"{self.shift:+g}sd"

    def of(self, decoded: FloatArray, sd: FloatArray, floor: FloatArray) -> FloatArray:
        """Expression of cells afterwards, shape `(n, g)`.

        Parameters
        ----------
        decoded
            Before, shape `(n, g)`.
        sd
            Of the genes, shape `(g,)`.
        floor
            What a shift does not bring expression below, shape `(g,)`.
        """
        if self.level is not None:
            return np.full(decoded.shape, self.level)
        moved = decoded + float(self.shift or 0.0) * sd
        return np.asarray(np.maximum(moved, np.minimum(decoded, floor)))


def read_edits(edits: object) -> dict[str, Wanted]:
    """Read which genes get which values.

    Raises
    ------
    InputTypeError
        No dictionary, or a gene that is not named by text.
    InputError
        No gene, or a value that is none; see `read_value`.
    """
    if not isinstance(edits, Mapping):
        msg = (
            f"edits={shown(edits)} (of type {type(edits).__name__}); expected a dictionary from"
            " gene to value, such as {'GATA1': 0.0}."
        )
        raise InputTypeError(msg)
    if not edits:
        msg = "edits={} names no gene; expected at least one, such as {'GATA1': 0.0}."
        raise InputError(msg)
    for name in edits:
        if not isinstance(name, str):
            msg = (
                f"edits has the key {shown(name)}; expected names of genes, as in adata.var_names."
            )
            raise InputTypeError(msg)
    return {str(name): read_value(f"edits[{name!r}]", value) for name, value in edits.items()}


def read_value(where: str, value: object) -> Wanted:
    """Read one value; `where` is what messages call it.

    Raises
    ------
    InputError
        No finite number, and no shift with a sign.
    """
    if is_number(value) and math.isfinite(value):
        return Wanted(level=float(value))
    found = _SHIFT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        msg = f"{where}={shown(value)}; {_EXPECTED}."
        raise InputError(msg)
    return Wanted(shift=float(found[1] + found[2]))
