"""Pairs of cells, which paths connect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellflow.core._display import Compact

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Pairs"]


@dataclass(frozen=True, eq=False, repr=False)
class Pairs(Compact):
    """Ends of paths, row by row; each row has its own interval."""

    x0: Tensor  # starts, `(n, d)`
    x1: Tensor  # ends, `(n, d)`
    t0: Tensor  # their times, `(n,)`
    t1: Tensor
    context: Tensor | None = None  # features of the pairs' condition, `(n, c)`
    #: Row of each pair in the table of a prepared path's constants, `(n,)`; None where pairs are
    #: drawn from plans directly.
    row: Tensor | None = None
    #: Random numbers for paths that are warped in time (`paths.TimeWarped`), uniform on [-1, 1],
    #: `(n,)`; None for no warp.
    warp: Tensor | None = None
