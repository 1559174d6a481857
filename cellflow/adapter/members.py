"""What the members of an ensemble answered, read back from an AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._numbers import as_number
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["as_level", "members_of", "no_members"]


def as_level(interval: float) -> float:
    """The level of an interval.

    Raises
    ------
    InputError
        A number that is not between 0 and 1.
    """
    return as_number("interval", interval, above=0.0, below=1.0)


def no_members(level: float, what: str, again: str) -> InputError:
    """The error for intervals of a single flow.

    Parameters
    ----------
    level
        That was asked for.
    what
        Whose interval: `"adata.obsm['lineages_fwd']"`.
    again
        The call after the fit; empty where it is the same call again.
    """
    then = f", then {again}" if again else ""
    return InputError(
        f"interval={level:g}, but {what} is of a single flow, which cannot say how sure it is."
        f" Expected an ensemble: fit with cf.tl.flow(..., n_members=5){then}."
    )


def members_of(
    adata: AnnData, name: str, shape: tuple[int, ...], *, level: float, what: str, again: str
) -> FloatArray:
    """Answers of the members in `obsm`, as float64 of this shape.

    Raises
    ------
    InputError
        There are none, or they have another shape; see `no_members` for the arguments.
    """
    if name not in adata.obsm:
        raise no_members(level, what, again)
    found = np.asarray(adata.obsm[name], dtype=np.float64)
    if found.shape != shape:
        msg = (
            f"adata.obsm[{name!r}] has shape {found.shape}; expected {shape}, as its record says."
            f" Compute it again: {again}."
        )
        raise InputError(msg)
    return found
